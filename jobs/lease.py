"""A thread that renews the lease of a step longer than the lease.

Each checkpoint renews too. The thread stops renewing when one step takes longer than
`STEP_TIMEOUT_SECONDS`: then it counts as stuck, and the sweep ends the attempt.
"""

import logging
import threading
import time

from django.db import Error, connection

from jobs import ledger
from tenants.scoping import all_tenants

logger = logging.getLogger(__name__)


class LeaseKeeper:
    """Renews the lease of the attempt it watches, a third of the lease apart."""

    def __init__(self, *, lease_seconds: int, step_timeout_seconds: int) -> None:
        self.lease_seconds = lease_seconds
        self.step_timeout_seconds = step_timeout_seconds
        self._attempt_id: int | None = None
        self._step_began = 0.0
        self._thread: threading.Thread | None = None

    def watch(self, attempt_id: int) -> None:
        """Keep this attempt's lease from now on."""
        self._step_began = time.monotonic()
        self._attempt_id = attempt_id
        # Started on first use: a thread does not survive the fork of the pool.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, daemon=True, name="lease")
            self._thread.start()

    def step_done(self) -> None:
        """Note a checkpoint, which has renewed the lease itself."""
        self._step_began = time.monotonic()

    def release(self) -> None:
        """Watch nothing."""
        self._attempt_id = None

    def _run(self) -> None:
        while True:
            time.sleep(self.lease_seconds / 3)
            attempt_id = self._attempt_id
            step_took = time.monotonic() - self._step_began
            if attempt_id is None or step_took < self.lease_seconds / 4:
                continue
            if step_took < self.step_timeout_seconds:
                self._renew(attempt_id)

    def _renew(self, attempt_id: int) -> None:
        try:
            with all_tenants(reason="renew a lease"):
                ledger.renew(attempt_id=attempt_id, lease_seconds=self.lease_seconds)
        except Error:
            logger.exception("Unable to renew the lease of attempt %s", attempt_id)
            connection.close()
