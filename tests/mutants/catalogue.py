"""Every planted bug by its number: those that can be planted, and those that wait.

The first forty are a list of known ways to get a queue of payments wrong; the others
came with features that the list does not know.
"""

from typing import Final

from tests.mutants import data, files, matching, protocol
from tests.mutants.mutant import Mutant, Waiting

#: How many the list has.
LISTED: Final = 40

MUTANTS: Final[tuple[Mutant, ...]] = tuple(
    sorted(
        (*protocol.MUTANTS, *data.MUTANTS, *files.MUTANTS, *matching.MUTANTS),
        key=lambda mutant: mutant.number,
    )
)

_KEYS: Final = "idempotency keys"

WAITING: Final = (
    Waiting(21, "idempotency key written in another transaction", _KEYS),
    Waiting(22, "idempotency key without its tenant", _KEYS),
    Waiting(25, "lookup in forms shows other tenants", "an admin for a tenant's staff"),
    Waiting(
        29, "limiter reads, adds and writes in Python", "a limiter between processes"
    ),
    Waiting(30, "counters of Redis billed", "usage counters in Redis"),
    Waiting(32, "mask of the logs misses `extra=`", "a filter that masks logs"),
)
