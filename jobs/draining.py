"""Whether this worker is about to stop: told by the parent, asked by its children.

On SIGTERM a worker gives its work back: a job at its next checkpoint, what it has not
begun at once. Memory shared before the fork tells the children, also in the middle of a
job, where no message reaches them.
"""

import mmap
from typing import Final

#: Why work comes back, for the log of events.
WHY: Final = "the worker stopped"

#: 0: go on, 1: give back at checkpoints, 2: everything is given back.
_flag: Final = mmap.mmap(-1, 1)


def begin() -> None:
    """Have the work given back from now on. Safe in a signal handler."""
    _flag[0] = _flag[0] or 1


def end_now() -> None:
    """Wait for checkpoints no longer."""
    _flag[0] = 2


def is_on() -> bool:
    """Return whether this process and its parent are to give back what they have."""
    return bool(_flag[0])


def is_over() -> bool:
    """Return whether no checkpoint is waited for any more."""
    return _flag[0] == 2


def end() -> None:
    """Go on working, as before."""
    _flag[0] = 0
