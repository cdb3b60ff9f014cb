"""What the overview shows, read from the ledger in a handful of statements.

Every statement is bounded by an index: open jobs by state, attempts by the time they
ended, live attempts by pool. `now` is the database's own clock. What a tenant was
entitled to is read by shares.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection

from fairshare import entitlement
from jobs.dispatcher import LEASE_NAME, WORKER_FRESH_SECONDS
from taskqueue_site import shares
from taskqueue_site.shares import Window

#: The window over which shares of worker time are compared.
WINDOW: Final = Window(minutes=15, step_seconds=60)
FAILURES_SHOWN: Final = 5

_TENANTS = """
WITH open_jobs AS (
    SELECT tenant_id,
           count(*) FILTER (WHERE state = 'queued') AS queued,
           count(*) FILTER (WHERE state = 'dispatched') AS dispatched,
           count(*) FILTER (WHERE state = 'running') AS running,
           count(*) FILTER (WHERE state = 'retryable') AS retryable,
           count(*) FILTER (WHERE state = 'scheduled') AS scheduled,
           count(*) FILTER (WHERE state = 'dead') AS dead,
           min(run_after) FILTER (WHERE state = 'queued') AS oldest
    FROM (
        SELECT tenant_id, state, run_after FROM jobs_job WHERE state = 'queued'
        UNION ALL
        SELECT tenant_id, state, run_after FROM jobs_job
        WHERE state IN ('retryable', 'scheduled', 'dead') AND discarded_at IS NULL
        UNION ALL
        SELECT tenant_id,
               CASE WHEN started_at IS NULL THEN 'dispatched' ELSE 'running' END, NULL
        FROM jobs_attempt WHERE outcome IS NULL
    ) AS open_job
    GROUP BY tenant_id
)
SELECT t.slug, t.name, t.tier_id, COALESCE(NULLIF(t.pool, ''), tier.default_pool),
       COALESCE(q.weight, 1), t.is_paused, t.paused_reason,
       COALESCE(o.queued, 0), COALESCE(o.dispatched, 0), COALESCE(o.running, 0),
       COALESCE(o.retryable, 0), COALESCE(o.scheduled, 0), COALESCE(o.dead, 0),
       extract(epoch FROM clock_timestamp() - o.oldest)::float8
FROM tenants_tenant t
JOIN tenants_tier tier ON tier.name = t.tier_id
LEFT JOIN quotas_quota q ON q.tenant_id = t.slug
LEFT JOIN open_jobs o ON o.tenant_id = t.slug
WHERE %(slugs)s::text[] IS NULL OR t.slug = ANY(%(slugs)s)
ORDER BY t.slug
"""

_POOLS = """
WITH live AS (
    SELECT pool, count(*) AS workers, sum(slots) AS slots FROM jobs_worker
    WHERE last_seen_at > clock_timestamp() - %(fresh)s * interval '1 second'
    GROUP BY pool
), busy AS (
    SELECT pool, count(*) FILTER (WHERE started_at IS NOT NULL) AS running,
           count(*) FILTER (WHERE started_at IS NULL) AS published
    FROM jobs_attempt WHERE outcome IS NULL GROUP BY pool
)
SELECT COALESCE(live.pool, busy.pool), COALESCE(workers, 0), COALESCE(slots, 0),
       COALESCE(running, 0), COALESCE(published, 0)
FROM live FULL JOIN busy ON busy.pool = live.pool ORDER BY 1
"""

_SUCCEEDED = """
SELECT count(*) FROM jobs_attempt
WHERE finished_at > clock_timestamp() - interval '1 hour' AND outcome = 'succeeded'
"""

_LEADER = """
SELECT holder, term, extract(epoch FROM expires_at - clock_timestamp())::float8
FROM jobs_leaderlease WHERE name = %(name)s
"""

_FAILURES = """
SELECT j.id, j.tenant_id, j.kind, j.state, j.error ->> 'code', j.error ->> 'message',
       j.failed_count, j.lost_count, j.max_attempts, a.finished_at
FROM (
    (SELECT * FROM jobs_job WHERE state = 'dead' AND discarded_at IS NULL
     ORDER BY id DESC LIMIT %(most)s)
    UNION ALL
    (SELECT * FROM jobs_job WHERE state = 'retryable' ORDER BY id DESC LIMIT %(most)s)
) AS j
LEFT JOIN jobs_attempt a ON a.job_id = j.id AND a.number = j.attempt_count
ORDER BY a.finished_at DESC NULLS LAST LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class TenantLoad:
    """A tenant's standing now."""

    slug: str
    name: str
    tier: str
    pool: str
    weight: Decimal
    is_paused: bool
    paused_reason: str
    queued: int
    dispatched: int
    running: int
    retryable: int
    scheduled: int
    dead: int
    oldest_wait_seconds: float | None


@dataclass(frozen=True, slots=True)
class Share:
    """A tenant's share of its pool's worker time in the window, in percent.

    None if it had no work, or the pool gave none.
    """

    load: TenantLoad
    entitled: float | None
    received: float | None


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """A pool's capacity and what takes it."""

    name: str
    workers: int
    slots: int
    running: int
    published: int

    @property
    def free(self) -> int:
        """Return the slots that nothing takes."""
        return max(0, self.slots - self.running - self.published)

    @property
    def marks(self) -> list[bool]:
        """Return one mark for each slot: whether it is taken."""
        return [number >= self.free for number in range(self.slots)][::-1]


@dataclass(frozen=True, slots=True)
class Leader:
    """The dispatcher's lease; it leads while seconds are left."""

    holder: str
    term: int
    seconds_left: float

    @property
    def is_leading(self) -> bool:
        """Return whether a dispatcher leads now."""
        return self.seconds_left > 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A job whose last attempt failed and that has not recovered."""

    job_id: UUID
    tenant: str
    kind: str
    state: str
    code: str | None
    message: str | None
    failed_count: int
    lost_count: int
    max_attempts: int
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything on the overview."""

    shares: list[Share]
    pools: list[PoolLoad]
    leader: Leader | None
    succeeded: int
    failures: list[Failure]

    def total(self, state: str) -> int:
        """Return the number of jobs in a state, over all tenants."""
        return sum(getattr(share.load, state) for share in self.shares)

    @property
    def oldest_wait_seconds(self) -> float | None:
        """Return how long the job that waits longest has been due."""
        waits = (share.load.oldest_wait_seconds for share in self.shares)
        return max((wait for wait in waits if wait is not None), default=None)


def overview() -> Overview:
    """Read the whole overview."""
    leaders = _rows(_LEADER, name=LEASE_NAME)
    return Overview(
        shares=_shares(tenant_loads()),
        pools=pool_loads(),
        leader=Leader(*leaders[0]) if leaders else None,
        succeeded=_rows(_SUCCEEDED)[0][0],
        failures=[Failure(*row) for row in _rows(_FAILURES, most=FAILURES_SHOWN)],
    )


def tenant_loads(slugs: list[str] | None = None) -> list[TenantLoad]:
    """Return the standing of these tenants, or of all."""
    return [TenantLoad(*row) for row in _rows(_TENANTS, slugs=slugs)]


def pool_loads() -> list[PoolLoad]:
    """Return every pool that has a live worker or an attempt, by name."""
    return [PoolLoad(*row) for row in _rows(_POOLS, fresh=WORKER_FRESH_SECONDS)]


def _shares(loads: Iterable[TenantLoad]) -> list[Share]:
    """Return what each tenant received in the window, and what it was entitled to."""
    now = shares.now()
    found = shares.window_shares(WINDOW, shares.tenants_now(), now=now)
    return [_share(load, found.of(load.pool, load.slug)) for load in loads]


def _share(load: TenantLoad, share: entitlement.Share | None) -> Share:
    if share is None:
        return Share(load, None, None)
    return Share(load, entitled=100 * share.entitled, received=100 * share.received)


def _rows(statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
