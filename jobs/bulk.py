"""Decisions about many dead letters: kept in the ledger, carried out a few at a time.

Ten thousand jobs retried in one statement would lock their rows, flood the queue and
leave nobody a way to stop it. So the jobs that a person saw counted are written down,
and the leading dispatcher decides about some of them every so often, until none is left
or somebody calls it off. A job is struck off the list in the transaction that decides
about it, so a crash neither forgets nor repeats one. Callers open the scope.
"""

from collections.abc import Callable, Collection
from math import ceil
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from jobs import deciding
from jobs.models import BulkDecision, BulkItem, DeadLetter
from jobs.statements import rows
from tenants.acting import acting, current_act

#: Jobs in a second, unless a person says otherwise, and at most.
PER_SECOND: Final = 100
MOST_PER_SECOND: Final = 1000
#: Jobs of one step of one decision: what a dispatcher can do in a turn.
MOST_IN_A_STEP: Final = 100
#: Decisions that go on side by side; more of them wait.
MOST_AT_ONCE: Final = 5

_DECIDE: Final[dict[str, Callable[..., int]]] = {
    BulkDecision.Decision.RETRY: deciding.jobs_revive,
    BulkDecision.Decision.DISCARD: deciding.jobs_discard,
    BulkDecision.Decision.RESTORE: deciding.jobs_restore,
}

_LIST = "INSERT INTO jobs_bulkitem (bulk_id, job_id) SELECT %s, id FROM ({}) AS meant"

_STRIKE_OFF = """
DELETE FROM jobs_bulkitem
WHERE bulk_id = %(bulk)s AND job_id IN (
    SELECT job_id FROM jobs_bulkitem WHERE bulk_id = %(bulk)s
    ORDER BY job_id LIMIT %(most)s FOR UPDATE SKIP LOCKED
)
RETURNING job_id
"""


def bulk_start(
    *,
    decision: str,
    letters: QuerySet[DeadLetter],
    criteria: str,
    per_second: int = PER_SECOND,
) -> BulkDecision:
    """Write down what was decided about these dead letters, to be done in time.

    Who decides and why come from `tenants.acting.acting` around the call; `criteria`
    says in words which letters were meant.
    """
    act = current_act()
    bulk: BulkDecision = BulkDecision.objects.create(
        decision=decision,
        criteria=criteria,
        reason=act.why,
        decided_by=act.who,
        per_second=max(1, min(per_second, MOST_PER_SECOND)),
    )
    meant, values = letters.order_by().values("id").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(_LIST.format(meant), [bulk.pk, *values])
        bulk.total_count = cursor.rowcount
    bulk.save(update_fields=["total_count"])
    return bulk


def bulk_cancel(*, bulk_id: int) -> bool:
    """Call off what is left of a decision; returns whether something was left."""
    called_off = (
        _open().filter(pk=bulk_id).update(cancelled_at=Now(), finished_at=Now())
    )
    if called_off:
        BulkItem.objects.filter(bulk_id=bulk_id).delete()
    return bool(called_off)


def bulk_step(*, elapsed_seconds: float) -> int:
    """Do what each open decision may do in so many seconds; returns how many jobs."""
    return sum(
        _step(bulk, most=min(MOST_IN_A_STEP, ceil(bulk.per_second * elapsed_seconds)))
        for bulk in _open().order_by("pk")[:MOST_AT_ONCE]
    )


def _open() -> QuerySet[BulkDecision]:
    return BulkDecision.objects.filter(finished_at=None)


def _step(bulk: BulkDecision, *, most: int) -> int:
    struck = rows(_STRIKE_OFF, {"bulk": bulk.pk, "most": most})
    if not struck:
        _finish(bulk)
        return 0
    done = _decide(bulk, [job_id for (job_id,) in struck])
    BulkDecision.objects.filter(pk=bulk.pk).update(
        done_count=F("done_count") + done,
        passed_over_count=F("passed_over_count") + len(struck) - done,
    )
    return len(struck)


def _decide(bulk: BulkDecision, job_ids: Collection[UUID]) -> int:
    with acting(who=bulk.decided_by, why=bulk.reason):
        return _DECIDE[bulk.decision](job_ids=job_ids)


def _finish(bulk: BulkDecision) -> None:
    """End a decision of which nothing is left, and nobody else has locked anything."""
    if not BulkItem.objects.filter(bulk_id=bulk.pk).exists():
        _open().filter(pk=bulk.pk).update(finished_at=Now())
