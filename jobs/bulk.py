"""Decisions about many dead letters: kept in the ledger, carried out a few at a time.

Ten thousand jobs retried in one statement would lock their rows, flood the queue and
leave nobody a way to stop it. So the jobs that a person saw counted are written down,
and the leading dispatcher decides about some of them every so often, until none is left
or somebody calls it off. A job is struck off the list in the transaction that decides
about it, so a crash neither forgets nor repeats one. Callers open the scope.
"""

from collections.abc import Callable
from math import ceil
from typing import Final

from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from jobs import deciding
from jobs.models import BulkDecision, BulkItem, DeadLetter
from jobs.statements import rows
from tenants.acting import acting, current_act

#: Jobs in a second, unless a person says otherwise, and at most: they are done in one
#: turn of the dispatcher.
PER_SECOND: Final = 100
MOST_PER_SECOND: Final = 200
#: Decisions that go on side by side; more of them wait.
MOST_AT_ONCE: Final = 20

_DECIDE: Final[dict[str, Callable[..., int]]] = {
    BulkDecision.Decision.RETRY: deciding.jobs_revive,
    BulkDecision.Decision.DISCARD: deciding.jobs_discard,
    BulkDecision.Decision.RESTORE: deciding.jobs_restore,
}

# A letter that waits for another decision is left to that one.
_LIST = """
INSERT INTO jobs_bulkitem (job_id, bulk_id, died_at, discarded_at)
SELECT id, %s, finished_at, discarded_at FROM ({}) AS meant
ON CONFLICT DO NOTHING
"""

# MATERIALIZED: else the planner may look for the next ones again for each it has found,
# and take them all.
_STRIKE_OFF = """
WITH next AS MATERIALIZED (
    SELECT job_id FROM jobs_bulkitem WHERE bulk_id = %(bulk)s
    ORDER BY job_id LIMIT %(most)s
), struck AS (
    DELETE FROM jobs_bulkitem i USING next WHERE i.job_id = next.job_id
    RETURNING i.job_id, i.died_at, i.discarded_at
)
SELECT struck.job_id, j.id IS NOT NULL
FROM struck LEFT JOIN jobs_job j
    ON j.id = struck.job_id AND j.finished_at = struck.died_at
    AND j.discarded_at IS NOT DISTINCT FROM struck.discarded_at
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
    columns = letters.order_by().values("id", "finished_at", "discarded_at")
    meant, values = columns.query.sql_with_params()
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
    # The lock on a decision comes before those on its items, as where it is called off.
    open_ones = _open().order_by("pk").select_for_update(skip_locked=True)
    return sum(
        _step(bulk, most=ceil(bulk.per_second * elapsed_seconds))
        for bulk in open_ones[:MOST_AT_ONCE]
    )


def _open() -> QuerySet[BulkDecision]:
    return BulkDecision.objects.filter(finished_at=None)


def _step(bulk: BulkDecision, *, most: int) -> int:
    struck = rows(_STRIKE_OFF, {"bulk": bulk.pk, "most": most})
    if not struck:
        _open().filter(pk=bulk.pk).update(finished_at=Now())
        return 0
    with acting(who=bulk.decided_by, why=bulk.reason):
        unchanged = [job_id for job_id, is_unchanged in struck if is_unchanged]
        done = _DECIDE[bulk.decision](job_ids=unchanged)
    BulkDecision.objects.filter(pk=bulk.pk).update(
        done_count=F("done_count") + done,
        passed_over_count=F("passed_over_count") + len(struck) - done,
    )
    return len(struck)
