"""Removes old jobs that have ended, with what hangs on them, batch by batch.

Each batch is one transaction that removes whole jobs, so that a run may end anywhere
and another goes on. A job stays while a hold wants it; usage stays for good, since
bills are sums over it. Later apps add holds and leftovers from their AppConfig.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from jobs.lifecycle import TERMINAL_STATES
from jobs.recorded import first_id
from jobs.statements import rows
from tenants.models import Tenant
from tenants.scoping import all_tenants

#: Jobs that are removed in one transaction.
BATCH_JOBS: Final = 500

_holds: Final[dict[str, str]] = {}
_leftovers: Final[dict[str, tuple[str, str]]] = {}


def hold(name: str, condition: str) -> None:
    """Keep the jobs `j` for which this SQL condition is true.

    Raises ValueError when two holds claim one name.
    """
    if _holds.setdefault(name, condition) != condition:
        raise ValueError(f"two holds are named {name!r}")


def leftover(name: str, table: str, condition: str) -> None:
    """Remove with the jobs in `doomed (id)` the rows `x` of a table that match.

    Leftovers go in the order of their registration, before attempts and jobs. Raises
    ValueError when two claim one name.
    """
    if _leftovers.setdefault(name, (table, condition)) != (table, condition):
        raise ValueError(f"two leftovers are named {name!r}")


hold("undecided dead letters", "j.state = 'dead' AND j.discarded_at IS NULL")

# A new leader replays what is newer than its pool's snapshot or was open in it.
hold(
    "attempts a new dispatcher would replay",
    """EXISTS (
        SELECT FROM jobs_attempt a LEFT JOIN jobs_schedulersnapshot s USING (pool)
        WHERE a.job_id = j.id AND (a.outcome IS NULL OR a.id > s.last_attempt_id
                                   OR s.state -> 'open' @> to_jsonb(a.id)))""",
)

_OF_JOB: Final = "x.job_id IN (SELECT id FROM doomed)"


def _all_leftovers() -> dict[str, tuple[str, str]]:
    """Return what goes with the jobs, in the order in which it goes."""
    return {
        **_leftovers,
        "events": ("jobs_jobevent", _OF_JOB),
        "attempts": ("jobs_attempt", _OF_JOB),
    }


# Ids sort by arrival, and nothing ends before it arrived: that bounds what is read.
_OLD = """
FROM jobs_job j
WHERE j.tenant_id = %(tenant)s AND j.id > %(after)s AND j.id < %(first)s
  AND j.state = ANY(%(terminal)s) AND j.finished_at < %(cutoff)s
"""
_COUNT_JOBS = "SELECT count(*) FILTER (WHERE NOT ({held})), {each} {old}"
_COUNT_ROWS = """
WITH doomed AS (SELECT j.id {old} AND NOT ({held}))
SELECT count(*) FROM {table} x WHERE {condition}
"""
_DOOM = """
SELECT j.id::text {old} AND NOT ({held})
ORDER BY j.id LIMIT %(batch)s FOR UPDATE OF j SKIP LOCKED
"""
# Events are removed by nobody else: their trigger asks for this in the transaction.
_ALLOW = "SELECT set_config('app.pruning', 'on', true)"
_REMOVE = """
WITH doomed AS (SELECT unnest(%(jobs)s::uuid[]) AS id), gone AS (
    DELETE FROM {table} x WHERE {condition} RETURNING 1)
SELECT count(*) FROM gone
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What pruning a tenant would remove, and how many old jobs each hold keeps."""

    tenant: str
    retention_days: int
    jobs: int
    #: Rows that would go with the jobs, by what they are.
    rows: dict[str, int]
    held: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return asdict(self)


def retention_days(tenant: Tenant) -> int:
    """Return how many days a tenant's jobs are kept after their end."""
    return tenant.retention_days or settings.RETENTION_DAYS


def plan(*, tenant: Tenant, now: datetime) -> Plan:
    """Return what `prune` would do now. Opens its own transaction."""
    values, held = _values(tenant, now), _held()
    each = ", ".join(f"count(*) FILTER (WHERE {c})" for c in _holds.values())
    with all_tenants(reason="plan a pruning"):
        ((jobs, *kept),) = rows(
            _COUNT_JOBS.format(held=held, each=each, old=_OLD), values
        )
        hanging = {
            name: _number(
                _COUNT_ROWS.format(
                    old=_OLD, held=held, table=table, condition=condition
                ),
                values,
            )
            for name, (table, condition) in _all_leftovers().items()
        }
    days = retention_days(tenant)
    return Plan(tenant.slug, days, jobs, hanging, dict(zip(_holds, kept, strict=True)))


def prune(
    *, tenant: Tenant, now: datetime, batch: int = BATCH_JOBS
) -> Iterator[dict[str, int]]:
    """Remove a tenant's old jobs; yields what went after each batch is committed.

    The counts are those of jobs and of what went with them, by name. Jobs that somebody
    else is changing are left for the next run.
    """
    values = {**_values(tenant, now), "batch": batch}
    while True:
        with all_tenants(reason="prune"):
            doomed = [
                job_id
                for (job_id,) in rows(_DOOM.format(old=_OLD, held=_held()), values)
            ]
            rows(_ALLOW, {})
            removed = _remove(doomed)
        if not doomed:
            return
        yield removed
        values["after"] = doomed[-1]


def _remove(jobs: list[str]) -> dict[str, int]:
    jobs_too = {"jobs": ("jobs_job", "x.id IN (SELECT id FROM doomed)")}
    return {
        name: _number(_REMOVE.format(table=table, condition=condition), {"jobs": jobs})
        for name, (table, condition) in {**_all_leftovers(), **jobs_too}.items()
    }


def _number(statement: str, values: dict[str, Any]) -> int:
    ((number,),) = rows(statement, values)
    return int(number)


def _held() -> str:
    return " OR ".join(f"({condition})" for condition in _holds.values())


def _values(tenant: Tenant, now: datetime) -> dict[str, Any]:
    cutoff = now - timedelta(days=retention_days(tenant))
    return {
        "tenant": tenant.slug,
        "terminal": sorted(TERMINAL_STATES),
        "cutoff": cutoff,
        "after": str(UUID(int=0)),
        "first": str(first_id(cutoff)),
    }
