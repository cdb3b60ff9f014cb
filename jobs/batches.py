"""Decides about many dead letters, a batch to a call; who calls again sets the pace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet

from jobs.models import DeadLetter

#: Dead letters of one call.
MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Decided:
    """What a call has done, of how many."""

    #: Dead letters that were meant when the call came.
    matched: int
    changed: int
    #: Of those, the ones that this call did not come to.
    remaining: int


def decide_batch(
    *, rows: QuerySet[DeadLetter], apply: Callable[..., int], is_dry_run: bool = False
) -> Decided:
    """Decide about the oldest of the dead letters, at most `MOST` of them.

    `apply` is a service of jobs/deciding.py. What somebody else is changing is passed
    over, and remains.
    """
    matched = rows.order_by().count()
    if is_dry_run:
        return Decided(matched, 0, matched)
    oldest: Any = rows.order_by("id").select_for_update(skip_locked=True)
    ids = list(oldest.values_list("pk", flat=True)[:MOST])
    return Decided(matched, apply(job_ids=ids), max(0, matched - len(ids)))
