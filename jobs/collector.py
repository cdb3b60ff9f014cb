"""How often a worker's child looks for garbage in cycles."""

import gc
from typing import Final

#: Objects that are made between two looks; Python's own number is 700. A chunk of a
#: file is tens of thousands of them, none of which is part of a cycle.
_BETWEEN: Final = 50_000


def collect_seldom() -> None:
    """Look seldom, and never at what is there already.

    What nothing refers to is freed at once all the same; only cycles wait.
    """
    gc.freeze()
    gc.set_threshold(_BETWEEN, 20, 20)
