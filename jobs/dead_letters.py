"""What the ledger says about dead jobs, grouped by what killed them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Max, Min, Prefetch, QuerySet
from django.db.models.fields.json import KT

from jobs.lifecycle import State
from jobs.models import Attempt, DeadLetter

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which dead letters are meant; what is not given lets all of them through."""

    kind: str | None = None
    code: str | None = None
    fingerprint: str | None = None
    died_before: datetime | None = None

    def of(self, rows: QuerySet[DeadLetter]) -> QuerySet[DeadLetter]:
        """Return those of the rows that are meant."""
        wanted = {
            "kind": self.kind,
            "error__code": self.code,
            "fingerprint": self.fingerprint,
            "finished_at__lt": self.died_before,
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        return rows.filter(**given)


def discarded() -> QuerySet[DeadLetter]:
    """Return the dead jobs in scope that a person has decided to leave dead."""
    return dead().exclude(discarded_at=None)


def page(
    rows: QuerySet[DeadLetter], *, limit: int, before: UUID | None = None
) -> tuple[list[DeadLetter], bool]:
    """Return the newest of the rows, and whether older ones follow.

    With `before` only those that were enqueued before that job.
    """
    if before is not None:
        rows = rows.filter(id__lt=before)
    found = list(rows.order_by("-id")[: limit + 1])
    return found[:limit], len(found) > limit


def find(*, job_id: UUID) -> DeadLetter | None:
    """Return a dead job in scope with its attempts, without their tracebacks."""
    attempts = Attempt.objects.order_by("number").defer("traceback")
    rows = dead().prefetch_related(Prefetch("attempts", queryset=attempts))
    return rows.filter(id=job_id).first()


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
