"""Which attempt each child of a worker is at work on, for its parent to read.

A child that is killed cannot say which job of a bundle did it. Memory shared before the
fork outlives the child: one number for each child, the attempt it is on, or zero.
"""

import mmap
import struct
from collections.abc import Collection
from typing import Final

from billiard import current_process

#: Most children of a worker.
CHILDREN: Final = 1024
_CELL: Final = struct.Struct("q")

_cells = mmap.mmap(-1, CHILDREN * _CELL.size)


def _place() -> int:
    # The pool numbers its children from 0 and gives a successor its number again.
    index: int = getattr(current_process(), "index", 0)
    return index % CHILDREN * _CELL.size


def mark(attempt_id: int) -> None:
    """Note the attempt that this child begins; 0 when it has ended."""
    _CELL.pack_into(_cells, _place(), attempt_id)


def mine() -> int:
    """Return the attempt that this child is at work on, or 0."""
    (attempt_id,) = _CELL.unpack_from(_cells, _place())
    return int(attempt_id)


def noted() -> set[int]:
    """Return the attempts that the children of this worker are at work on."""
    found = {_CELL.unpack_from(_cells, i * _CELL.size)[0] for i in range(CHILDREN)}
    return found - {0}


def among(attempt_ids: Collection[int]) -> list[int]:
    """Return those of the attempts that some child noted last."""
    return sorted(noted().intersection(attempt_ids))


def clear(attempt_ids: Collection[int]) -> None:
    """Forget these attempts, once what became of their child is known."""
    for index in range(CHILDREN):
        if _CELL.unpack_from(_cells, index * _CELL.size)[0] in attempt_ids:
            _CELL.pack_into(_cells, index * _CELL.size, 0)
