"""What the ledger says about dead jobs, grouped by what killed them."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, QuerySet
from django.db.models.fields.json import KT

from jobs.lifecycle import State
from jobs.models import DeadLetter

#: Rows that the grouping looks at: the newest of the list as filtered.
MAX_GROUPED = 10_000


@dataclass(frozen=True, slots=True)
class Group:
    """Dead jobs with one fingerprint."""

    fingerprint: str
    code: str
    message: str
    jobs: int
    tenants: int
    first_at: datetime
    last_at: datetime


def dead() -> QuerySet[DeadLetter]:
    """Return the dead jobs in scope."""
    return DeadLetter.objects.filter(state=State.DEAD)


def undecided() -> QuerySet[DeadLetter]:
    """Return the dead jobs in scope that nobody has decided about."""
    return dead().filter(discarded_at=None)


def count(*, most: int) -> int:
    """Return the number of jobs that wait for a person to decide, at most `most`."""
    return undecided().order_by()[:most].count()


def groups(rows: QuerySet[DeadLetter], *, most: int = 8) -> list[Group]:
    """Return the largest groups of dead jobs, largest first."""
    newest = rows.order_by("-id").values("id")[:MAX_GROUPED]
    found = (
        DeadLetter.objects.filter(id__in=newest)
        .order_by()
        .values("fingerprint")
        .annotate(
            code=Min(KT("error__code")),
            message=Min(KT("error__message")),
            jobs=Count("id"),
            tenants=Count("tenant_id", distinct=True),
            first_at=Min("finished_at"),
            last_at=Max("finished_at"),
        )
        .order_by("-jobs", "fingerprint")[:most]
    )
    return [Group(**row) for row in found]
