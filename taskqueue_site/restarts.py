"""How long a component that died rests before its next start."""

from dataclasses import dataclass


@dataclass(slots=True)
class Restarts:
    """Growing pauses: 1, 2, 4 … 30 s, back to 1 s after a life of a minute.

    Times are seconds on any clock that never steps back; the caller passes them in.
    """

    first_pause: float = 1.0
    longest_pause: float = 30.0
    healthy_life: float = 60.0
    started_at: float = 0.0
    restart_at: float | None = None
    _pause: float = 0.0

    def started(self, now: float) -> None:
        """Note that the component was started."""
        self.started_at = now
        self.restart_at = None

    def died(self, now: float) -> float:
        """Note that the component was found dead; return the pause before its start."""
        if now - self.started_at >= self.healthy_life:
            self._pause = 0.0
        self._pause = min(self._pause * 2 or self.first_pause, self.longest_pause)
        self.restart_at = now + self._pause
        return self._pause

    def is_due(self, now: float) -> bool:
        """Return whether the pause is over."""
        return self.restart_at is not None and now >= self.restart_at
