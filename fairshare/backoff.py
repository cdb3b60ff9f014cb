"""The delay before a failed job is tried again.

The delay doubles with each failure from a base up to a cap; a random fifth spreads jobs
that failed together. Before jitter, by default: 5, 10, 20, 40, … 900 seconds.
"""

from dataclasses import dataclass
from typing import Final

BASE_SECONDS: Final = 5.0
CAP_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The first delay and the longest, in seconds. Raises ValueError for nonsense."""

    base_seconds: float = BASE_SECONDS
    cap_seconds: float = CAP_SECONDS

    def __post_init__(self) -> None:
        if not 0 < self.base_seconds <= self.cap_seconds:
            raise ValueError(
                f"base {self.base_seconds} and cap {self.cap_seconds} out of order"
            )


DEFAULT: Final = Backoff()


def delay_seconds(failures: int, *, jitter: float, backoff: Backoff = DEFAULT) -> float:
    """Return the delay after so many failures (from 1), with jitter in [0, 1).

    >>> delay_seconds(1, jitter=0.5), delay_seconds(3, jitter=0.5)
    (5.0, 20.0)
    >>> delay_seconds(60, jitter=0.5)
    900.0
    """
    if failures < 1 or not 0 <= jitter < 1:
        raise ValueError(f"failures {failures} or jitter {jitter} out of range")
    # The exponent is capped first: 2.0 ** 2000 would overflow.
    exact = min(
        backoff.cap_seconds, backoff.base_seconds * 2.0 ** min(failures - 1, 32)
    )
    return exact * (0.9 + 0.2 * jitter)
