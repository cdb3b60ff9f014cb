"""The delay before a failed job is tried again.

The delay doubles with each failure from `BASE_SECONDS` up to `CAP_SECONDS`; a random
fifth spreads jobs that failed together. Before jitter: 5, 10, 20, 40, … 900 seconds.
"""

from typing import Final

BASE_SECONDS: Final = 5.0
CAP_SECONDS: Final = 900.0


def delay_seconds(failures: int, *, jitter: float) -> float:
    """Return the delay after so many failures (from 1), with jitter in [0, 1).

    >>> delay_seconds(1, jitter=0.5), delay_seconds(3, jitter=0.5)
    (5.0, 20.0)
    >>> delay_seconds(60, jitter=0.5)
    900.0
    """
    if failures < 1 or not 0 <= jitter < 1:
        raise ValueError(f"failures {failures} or jitter {jitter} out of range")
    # The exponent is capped first: 2.0 ** 2000 would overflow.
    exact = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** min(failures - 1, 32))
    return exact * (0.9 + 0.2 * jitter)
