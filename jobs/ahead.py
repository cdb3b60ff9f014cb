"""What a waiting job has ahead of it in its tenant's line, read from the ledger.

Each statement walks one index of one tenant and stops at a limit; what it stops at is
said. Costs come from the worker time that the tenant's attempts were settled at.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jobs.statements import rows

#: Jobs ahead that are counted.
MOST_COUNTED: Final = 10_000
#: Settled attempts that the received share and the costs are read from, the latest.
MOST_SETTLED: Final = 2_000
MOST_COSTS: Final = 500
#: The window of the received share.
WINDOW_US: Final = 300_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """The jobs ahead, by kind; with `is_longer` there are more of them."""

    kinds: Mapping[str, int]
    is_longer: bool

    @property
    def jobs(self) -> int:
        """Return how many jobs were counted."""
        return sum(self.kinds.values())


@dataclass(frozen=True, slots=True)
class KindCost:
    """What jobs of one kind have cost lately, in worker-microseconds."""

    mean_us: int
    #: The costliest job, all its attempts together, and how many a job took at most.
    most_us: int
    attempts: int
    longest_attempt_us: int


@dataclass(frozen=True, slots=True)
class Received:
    """Worker time settled in a window that ends now."""

    settled_us: int
    window_us: int


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What the ledger alone says about whether a tenant's jobs can start."""

    is_paused: bool
    tier: str
    pool: str
    slots: int
    has_leader: bool
    paused_reason: str = ""


# The three columns are compared together so that only the index of queues fits: by the
# one of ids, everything older of every tenant would be read.
_LINE = """
SELECT kind, count(*) FROM (
    SELECT kind FROM jobs_job
    WHERE tenant_id = %(tenant)s AND priority = %(priority)s AND state = 'queued'
      AND (tenant_id, priority, id) < (%(tenant)s, %(priority)s, %(job)s::uuid)
    LIMIT %(limit)s
) AS line GROUP BY kind
"""

_SETTLED = """
SELECT job_id, quantity, occurred_at FROM usage_events
WHERE tenant_id = %(tenant)s AND meter = 'worker_us'
  AND occurred_at > now() - %(window)s * interval '1 microsecond'
ORDER BY occurred_at DESC LIMIT %(limit)s
"""

_COSTS = f"""
WITH settled AS ({_SETTLED}), by_job AS (
    SELECT job_id, sum(quantity) AS us, max(quantity) AS longest_us, count(*) AS times
    FROM settled GROUP BY job_id
)
SELECT j.kind, avg(us)::bigint, max(us)::bigint, max(times), max(longest_us)
FROM by_job CROSS JOIN LATERAL (
    SELECT kind FROM jobs_job WHERE id = by_job.job_id LIMIT 1
) AS j GROUP BY j.kind
"""  # noqa: S608

# An attempt that began before the window counts with what lies in it.
_RECEIVED = f"""
WITH settled AS ({_SETTLED}), window_start AS (
    SELECT CASE WHEN count(*) < %(limit)s
                THEN now() - %(window)s * interval '1 microsecond'
                ELSE min(occurred_at) END AS since
    FROM settled
)
SELECT COALESCE(sum(LEAST(quantity,
           extract(epoch FROM occurred_at - since) * 1000000)), 0)::bigint,
       (extract(epoch FROM now() - min(since)) * 1000000)::bigint
FROM window_start LEFT JOIN settled ON true
"""  # noqa: S608

_CIRCUMSTANCES = """
SELECT t.is_paused, tier.name, pool.name,
       (SELECT COALESCE(sum(slots), 0)::int FROM jobs_worker WHERE pool = pool.name
        AND last_seen_at > clock_timestamp() - %(fresh)s * interval '1 second'),
       EXISTS (SELECT FROM jobs_leaderlease
               WHERE name = %(lease)s AND expires_at > clock_timestamp()),
       t.paused_reason
FROM tenants_tenant t JOIN tenants_tier tier ON tier.name = t.tier_id,
     LATERAL (SELECT COALESCE(NULLIF(t.pool, ''), tier.default_pool) AS name) AS pool
WHERE t.slug = %(tenant)s
"""

_DAY_US: Final = 86_400_000_000


def line(*, tenant: str, priority: int, job_id: str) -> Line:
    """Return the queued jobs of the same class that came before this one."""
    found = rows(
        _LINE,
        {
            "tenant": tenant,
            "priority": priority,
            "job": job_id,
            "limit": MOST_COUNTED + 1,
        },
    )
    kinds = dict(found)
    return Line(kinds, is_longer=sum(kinds.values()) > MOST_COUNTED)


def costs(*, tenant: str) -> dict[str, KindCost]:
    """Return what each kind has cost the tenant over the last day at most."""
    values = {"tenant": tenant, "window": _DAY_US, "limit": MOST_COSTS}
    return {kind: KindCost(*cost) for kind, *cost in rows(_COSTS, values)}


def received(*, tenant: str) -> Received:
    """Return the worker time that the tenant had lately; what was lost is not in it."""
    values = {"tenant": tenant, "window": WINDOW_US, "limit": MOST_SETTLED}
    return Received(*rows(_RECEIVED, values)[0])


def circumstances(*, tenant: str, lease: str, fresh_seconds: int) -> Circumstances:
    """Return what the ledger alone says; needs the scope of every tenant."""
    values = {"tenant": tenant, "lease": lease, "fresh": fresh_seconds}
    return Circumstances(*rows(_CIRCUMSTANCES, values)[0])
