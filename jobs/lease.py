"""A thread that keeps the leases of a bundle, and does what must not wait for its end.

It renews a third of the lease apart, also in the middle of a step, until one step has
taken `STEP_TIMEOUT_SECONDS`: then the attempt is stuck. It ends as failed, and this
child with it, or the slot would be lost. Where C code keeps every thread of the child
from its turn, the worker's own process renews the lease (`Proxy`) until the pool kills
the child at the time limit of the kind.
While a job of a bundle takes longer than the whole bundle was meant to, it hands the
jobs behind it back to the ledger, where a free slot finds them, and has the ends of
those before it written.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from django.db import Error, connection

from jobs import draining, ledger, limits, suspects
from jobs.bundle import Bundle
from jobs.statements import rows
from jobs.wake import wake_dispatcher
from tenants.acting import acting
from tenants.scoping import all_tenants, apart

logger = logging.getLogger(__name__)

#: A bundle is meant to take 45 ms; the rest of one that takes longer is handed back.
HAND_BACK_US: Final = 250_000
_LOOK_SECONDS: Final = 0.1


_BEHIND = """
SELECT b.id FROM jobs_attempt a
JOIN jobs_attempt b ON b.pool = a.pool AND b.worker = a.worker
    AND b.started_at = a.started_at
WHERE a.id = ANY(%(attempts)s) AND b.outcome IS NULL
  AND NOT b.id = ANY(%(noted)s)
  AND b.lease_expires_at < clock_timestamp() + %(left)s * interval '1 second'
"""


class LeaseKeeper:
    """Watches the one bundle that its process works on."""

    def __init__(self, *, lease_seconds: int, step_timeout_seconds: int) -> None:
        self.lease_seconds = lease_seconds
        self.step_timeout_seconds = step_timeout_seconds
        self._bundle: Bundle | None = None
        self._settle: Callable[[], None] = lambda: None
        self._step_began = 0.0
        self._renewed = 0.0
        self._watching = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, bundle: Bundle, *, settle: Callable[[], None]) -> None:
        """Keep this bundle's leases from now on; `settle` writes what has ended."""
        self._renewed = self._step_began = time.monotonic()
        self._settle = settle
        self._bundle = bundle
        # Started on first use: a thread does not survive the fork of the pool.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, daemon=True, name="lease")
            self._thread.start()

    def step_done(self) -> None:
        """Note a checkpoint, which has renewed the lease of its attempt itself."""
        self._step_began = time.monotonic()

    def release(self) -> None:
        """Watch nothing."""
        self._bundle = None

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            bundle = self._bundle
            if bundle is None:
                continue
            try:
                self._look_after(bundle)
            except Error:
                logger.exception("Unable to keep the leases of %s", bundle.live())
            finally:
                # Used so seldom that it need not stand beside the child's own.
                connection.close()

    def _look_after(self, bundle: Bundle) -> None:
        now = time.monotonic()
        if bundle.elapsed_us() > HAND_BACK_US:
            hand_back(bundle)
            self._settle()
        if now - self._step_began >= self.step_timeout_seconds:
            self._give_up(bundle)
        if now - self._renewed < self.lease_seconds / 3:
            return
        self._renewed = now
        with all_tenants(reason="renew leases"):
            ledger.renew(attempt_ids=bundle.live(), lease_seconds=self.lease_seconds)

    def _give_up(self, bundle: Bundle) -> None:
        """End the attempt that is stuck, and this process, which nothing else can."""
        attempt_id = suspects.mine()
        logger.error("Attempt %s is stuck in a step; ending its process", attempt_id)
        try:
            hand_back(bundle)
            limits.end_overdue(attempt_ids=[attempt_id], code=limits.STEP_TIMEOUT)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)


class Proxy:
    """Renews, in a worker's parent, the leases of what its children are long at.

    What waits behind that is handed back when its lease runs low: no thread of the
    child looks after it any more.

    A parent that is stopped or dead renews nothing; a child that hangs is killed by its
    own thread or at its time limit, and is then at work on nothing.
    """

    def __init__(self, *, lease_seconds: int) -> None:
        self.lease_seconds = lease_seconds
        self._seen: dict[int, float] = {}

    def renew(self) -> None:
        """Renew what has been at work for a third of a lease, in one statement.

        Raises django.db.Error.
        """
        now = time.monotonic()
        self._seen = {each: self._seen.get(each, now) for each in suspects.noted()}
        old = [a for a, at in self._seen.items() if now - at >= self.lease_seconds / 3]
        if not old:
            return
        with apart(reason="renew leases"):
            ledger.renew(attempt_ids=old, lease_seconds=self.lease_seconds)
            behind = rows(
                _BEHIND,
                {
                    "attempts": old,
                    "noted": list(self._seen),
                    "left": self.lease_seconds / 2,
                },
            )
            if behind:
                ledger.hand_back([attempt_id for (attempt_id,) in behind])
                wake_dispatcher()


def hand_back(bundle: Bundle) -> None:
    """Queue the jobs of a bundle again that nobody has begun."""
    rest = bundle.take_rest()
    if not rest:
        return
    why = draining.WHY if draining.is_on() else "a job before it took long"
    with acting(why=why), all_tenants(reason="hand back a bundle's rest"):
        ledger.hand_back(rest)
    logger.info("Handed back %s attempts behind a long job", len(rest))
    wake_dispatcher()
