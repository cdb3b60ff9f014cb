"""The attempts of one message, on their way through one child of a worker.

Tiny jobs of one tenant travel together. They are taken up one by one, and each ends by
itself; what has not begun can be handed back at any time, from any thread, so that a
job that turns out long holds nobody up but itself.
"""

import threading
import time
from collections import deque
from collections.abc import Sequence

from jobs.ledger import Claim


class Bundle:
    """Claimed attempts: those to come, the one at work, those not settled yet."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._lock = threading.Lock()
        self._rest = deque(claims)
        self._live = {claim.assignment.attempt_id for claim in claims}
        self._claimed_at = time.monotonic_ns()

    def elapsed_us(self) -> int:
        """Return the microseconds since the attempts were claimed."""
        return (time.monotonic_ns() - self._claimed_at) // 1000

    def take(self) -> Claim | None:
        """Return the next attempt to work on, or None when none is left."""
        with self._lock:
            return self._rest.popleft() if self._rest else None

    def take_rest(self) -> list[int]:
        """Return the attempts not begun, which nobody will take up here any more."""
        with self._lock:
            rest = [claim.assignment.attempt_id for claim in self._rest]
            self._rest.clear()
            self._live.difference_update(rest)
        return rest

    def ended(self, attempt_ids: Sequence[int]) -> None:
        """Note attempts that are settled, or lost to somebody else."""
        with self._lock:
            self._live.difference_update(attempt_ids)

    def live(self) -> list[int]:
        """Return the attempts whose lease is to be kept."""
        with self._lock:
            return sorted(self._live)
