"""What the ledger recorded of past jobs, for a replay under other settings.

One statement reads the newest jobs by their ids, which sort by arrival, and their
attempts by the key of job and number: its cost follows its limit, not the ledger.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from fairshare.whatif import RecordedJob
from jobs.lifecycle import TERMINAL_STATES
from jobs.statements import rows

#: What a job counts for that has not ended, where nothing tells what its like cost.
UNKNOWN_COST_US: Final = 1_000_000

# A retry moves run_after past the first dispatch; then only creation is known. What is
# at work has cost what it ran so far. A job cancelled before it ran asked for nothing.
_RECORDED = """
WITH newest AS (
    SELECT * FROM jobs_job WHERE id >= %(first)s ORDER BY id DESC LIMIT %(limit)s
)
SELECT j.tenant_id, j.kind, j.priority,
       (extract(epoch FROM CASE
            WHEN j.run_after BETWEEN j.created_at
                 AND COALESCE(j.dispatched_at, j.finished_at, clock_timestamp())
            THEN j.run_after ELSE j.created_at END) * 1000000)::bigint,
       COALESCE(spent.us, 0)::bigint, j.state = ANY(%(terminal)s)
FROM newest j
LEFT JOIN LATERAL (
    SELECT sum(COALESCE(a.settled_us, extract(
               epoch FROM clock_timestamp() - a.started_at) * 1000000, 0)) AS us
    FROM jobs_attempt a WHERE a.job_id = j.id
) AS spent ON true
WHERE j.state <> 'scheduled' AND NOT (j.state = 'cancelled' AND j.attempt_count = 0)
ORDER BY j.id
"""

_COUNT = """
SELECT count(*) FROM (
    SELECT 1 FROM jobs_job WHERE id >= %(first)s LIMIT %(limit)s
) AS newest
"""


@dataclass(frozen=True, slots=True)
class Recording:
    """The newest jobs that arrived since a moment, oldest first.

    `unfinished` counts by tenant those that had not ended, which cost here what their
    like cost; older ones are left out if `is_cut`.
    """

    jobs: Sequence[RecordedJob]
    unfinished: Mapping[str, int]
    is_cut: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """A job as the ledger has it; `spent_us` over all its attempts."""

    tenant: str
    kind: str
    priority: int
    arrival_us: int
    spent_us: int
    is_over: bool


def recorded(*, since: datetime, most_jobs: int) -> Recording:
    """Return what was recorded of the newest jobs, in the scope in force.

    A job arrived when it was enqueued, or when it was due if that was later. It has
    cost the worker time of all its attempts.
    """
    values = {"first": str(first_id(since)), "limit": most_jobs}
    terminal = [state.value for state in TERMINAL_STATES]
    found = [_Row(*row) for row in rows(_RECORDED, {**values, "terminal": terminal})]
    ((counted,),) = rows(_COUNT, {**values, "limit": most_jobs + 1})
    return Recording(
        jobs=priced(found),
        unfinished=Counter(row.tenant for row in found if not row.is_over),
        is_cut=counted > most_jobs,
    )


def first_id(moment: datetime) -> UUID:
    """Return the smallest id that a job enqueued at this moment can have.

    Ids count from 1970; nothing was enqueued before.
    """
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)


def priced(found: Iterable[_Row]) -> list[RecordedJob]:
    """Give each job its cost: the recorded one, or if it has not ended, the usual one.

    The usual cost is the mean of its tenant's jobs of its kind, of all jobs of its
    kind, or of all jobs, whichever is known first.
    """
    found = list(found)
    sums: dict[tuple[str | None, ...], tuple[int, int]] = {}
    for row in found:
        for like in _likes(row) if row.is_over else ():
            cost_us, count = sums.get(like, (0, 0))
            sums[like] = (cost_us + row.spent_us, count + 1)

    def price_us(row: _Row) -> int:
        if row.is_over:
            return row.spent_us
        known = next((sums[like] for like in _likes(row) if like in sums), None)
        usual = UNKNOWN_COST_US if known is None else known[0] // known[1]
        return max(usual, row.spent_us)

    return [
        RecordedJob(row.tenant, row.arrival_us, price_us(row), row.kind, row.priority)
        for row in found
    ]


def _likes(row: _Row) -> tuple[tuple[str | None, ...], ...]:
    return ((row.tenant, row.kind), (None, row.kind), (None, None))
