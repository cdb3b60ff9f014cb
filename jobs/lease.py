"""A thread that keeps the leases of a bundle, and hands back what must not wait.

It renews a third of the lease apart, also in the middle of a step, until one step has
taken `STEP_TIMEOUT_SECONDS`: then the attempt counts as stuck, and the sweep ends it.
While a job of a bundle takes longer than the whole bundle was meant to, it hands the
jobs behind it back to the ledger, where a free slot finds them.
"""

import logging
import threading
import time
from typing import Final

from django.db import Error, connection

from jobs import draining, ledger
from jobs.bundle import Bundle
from jobs.wake import wake_dispatcher
from tenants.acting import acting
from tenants.scoping import all_tenants

logger = logging.getLogger(__name__)

#: A bundle is meant to take 45 ms; the rest of one that takes longer is handed back.
HAND_BACK_US: Final = 250_000
_LOOK_SECONDS: Final = 0.1


class LeaseKeeper:
    """Watches the one bundle that its process works on."""

    def __init__(self, *, lease_seconds: int, step_timeout_seconds: int) -> None:
        self.lease_seconds = lease_seconds
        self.step_timeout_seconds = step_timeout_seconds
        self._bundle: Bundle | None = None
        self._step_began = 0.0
        self._renewed = 0.0
        self._watching = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, bundle: Bundle) -> None:
        """Keep this bundle's leases from now on."""
        self._renewed = self._step_began = time.monotonic()
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
        if bundle.has_rest() and bundle.elapsed_us() > HAND_BACK_US:
            hand_back(bundle)
        is_stuck = now - self._step_began >= self.step_timeout_seconds
        if is_stuck or now - self._renewed < self.lease_seconds / 3:
            return
        self._renewed = now
        with all_tenants(reason="renew leases"):
            ledger.renew(attempt_ids=bundle.live(), lease_seconds=self.lease_seconds)


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
