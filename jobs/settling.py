"""Writes the ends of attempts, at once or beside the work that follows.

What a settlement waits for, a round trip and a disk, would keep a slot idle: in a
worker's child a thread of its own writes it, while the next message is fetched and
begun. The order of writing is the order of ending, and no more than two settlements
wait, so that a slow ledger slows the work down instead of filling memory. A child that
is killed between two messages loses what it had ended and not written: the leases run
out, and the sweep queues the jobs again. No job begins before that is written, so a job
that kills its child takes nothing down but its own message.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import Queue
from typing import Final, Protocol

from django.db import Error, connection

from jobs import ledger
from jobs.bundle import Bundle
from jobs.ledger import Settlement
from jobs.statements import look_after_connection
from jobs.wake import wake_dispatcher
from tenants.acting import acting
from tenants.scoping import apart

logger = logging.getLogger(__name__)

_MOST_WAITING: Final = 2
#: Seconds between the tries to write; together well below a lease.
_TRY_AGAIN_AFTER: Final = (0.05, 0.5, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Ended:
    """Attempts of one tenant's bundle that have ended, and how."""

    tenant: str
    bundle: Bundle
    settlements: Sequence[Settlement]

    def write(self) -> None:
        """Settle them in the ledger, and keep their leases no longer."""
        why = next((s.why for s in self.settlements if s.why), "")
        with acting(why=why), apart(tenant=self.tenant):
            settled = ledger.settle(self.settlements)
        self.note(settled)

    def note(self, settled: set[int]) -> None:
        """Note which of them were settled."""
        ended = [settlement.attempt_id for settlement in self.settlements]
        if len(settled) < len(ended):
            logger.warning("Attempts %s lost their lease", set(ended) - settled)
        self.bundle.ended(ended)


class Settler(Protocol):
    """Somebody who writes settlements."""

    def settle(self, ended: Ended) -> None:
        """Write them now or soon."""

    def finish(self) -> None:
        """Return once all that was given has been tried."""


class Now:
    """Writes at once: in the caller's own transaction if there is one, but for what a
    long job of a bundle would hold up.
    """

    def settle(self, ended: Ended) -> None:
        """Write them; raises django.db.Error when the ledger is away."""
        ended.write()

    def finish(self) -> None:
        """Do nothing: nothing is ever left."""


class Beside:
    """Writes from a thread, and tells the dispatcher afterwards."""

    def __init__(self) -> None:
        self._waiting: Queue[Ended | None] = Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None

    def settle(self, ended: Ended) -> None:
        """Have them written soon; waits while two others wait already."""
        # Started on first use: a thread does not survive the fork of the pool.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=self._run, daemon=True, name="settle"
            )
            self._thread.start()
        self._waiting.put(ended)

    def finish(self) -> None:
        """Return once all that was given has been tried."""
        self._waiting.join()

    def close(self) -> None:
        """Return once all that was given has been tried; the thread ends."""
        if self._thread is not None and self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (ended := self._waiting.get()) is not None:
            try:
                _write(ended)
            finally:
                self._waiting.task_done()
        self._waiting.task_done()
        connection.close()


def _write(ended: Ended) -> None:
    """Write the ends, on a new connection where one broke; give up after the last try.

    To write twice does no harm: an attempt that is settled is passed over.
    """
    for pause in (*_TRY_AGAIN_AFTER, None):
        try:
            look_after_connection()
            ended.write()
            wake_dispatcher()
            return
        except Exception as error:
            # Whatever it was, the attempts that follow must not wait for it.
            connection.close()
            attempts = [settlement.attempt_id for settlement in ended.settlements]
            if pause is None or not isinstance(error, Error):
                logger.exception(
                    "Unable to settle attempts %s of %s; their leases will run out",
                    attempts,
                    ended.tenant,
                )
                return
            logger.warning("Settling attempts %s again: %s", attempts, error)
            time.sleep(pause)
