"""What the dispatcher reads from the ledger; each statement is bounded by a limit."""

from collections.abc import Collection
from dataclasses import dataclass

from jobs.statements import rows


@dataclass(frozen=True, slots=True)
class TenantConfig:
    """What the scheduler must know of a tenant; weights in thousandths."""

    slug: str
    weight: int
    cap: int | None
    #: Jobs per 1000 seconds, and how many at once after a quiet while.
    rate: int | None
    burst: int | None
    is_paused: bool
    pool: str
    tier: str
    tier_weight: int
    #: Most attempts in flight of all the tier's tenants.
    tier_cap: int | None = None
    #: Most in flight while another tenant could start a job.
    elastic_cap: int | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """A queued job near the front of its tenant's line; ids sort by arrival."""

    job_id: str
    tenant: str
    kind: str
    priority: int
    #: Whether it was lost with a bundle before, and so travels alone.
    is_suspect: bool
    #: Bytes left to work through, where that is known.
    size: int | None = None


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt as another leader dispatched it."""

    attempt_id: int
    job_id: str
    tenant: str
    kind: str
    priority: int
    pool: str
    held_us: int
    weight: int
    tier_weight: int
    is_started: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How an attempt stands: its settled cost, or how long it has run so far."""

    attempt_id: int
    outcome: str | None
    settled_us: int | None
    is_started: bool
    elapsed_us: int
    worker: str = ""


_TENANTS = """
SELECT t.slug, COALESCE((q.weight * 1000)::bigint, 1000), q.max_in_flight,
       (q.rate_per_second * 1000)::bigint, q.burst, t.is_paused,
       COALESCE(NULLIF(t.pool, ''), tier.default_pool),
       tier.name, (tier.weight * 1000)::bigint, tier.max_in_flight, q.elastic_cap
FROM tenants_tenant t
JOIN tenants_tier tier ON tier.name = t.tier_id
LEFT JOIN quotas_quota q ON q.tenant_id = t.slug
WHERE t.slug > %(after)s ORDER BY t.slug LIMIT %(limit)s
"""

# The classes are named one by one so that each look-up is a short index range.
_HEADS = """
SELECT head.id::text, t.slug, head.kind, head.priority, head.innocent_count > 0,
       CASE WHEN head.progress_unit = 'bytes'
            THEN GREATEST(0, head.progress_total - head.progress_done)
            ELSE head.size END
FROM unnest(%(tenants)s::text[]) AS t (slug)
CROSS JOIN (VALUES (0), (1), (2), (3)) AS class (priority)
CROSS JOIN LATERAL (
    SELECT j.id, j.kind, j.priority, j.innocent_count, j.size, j.progress_unit,
           j.progress_done, j.progress_total
    FROM jobs_job j
    WHERE j.tenant_id = t.slug AND j.priority = class.priority AND j.state = 'queued'
      AND j.kind <> ALL(%(without)s::text[])
    ORDER BY j.id LIMIT %(limit)s
) AS head
"""

# A loose index scan: from one tenant with queued work to the next.
_BACKLOGGED = """
WITH RECURSIVE walk (slug, place) AS (
    (SELECT tenant_id, 1 FROM jobs_job WHERE state = 'queued' AND tenant_id > %(after)s
     ORDER BY tenant_id LIMIT 1)
    UNION ALL
    SELECT (SELECT j.tenant_id FROM jobs_job j
            WHERE j.state = 'queued' AND j.tenant_id > walk.slug
            ORDER BY j.tenant_id LIMIT 1), place + 1
    FROM walk WHERE walk.slug IS NOT NULL AND place < %(limit)s
)
SELECT slug FROM walk WHERE slug IS NOT NULL
"""

_STANDINGS = """
SELECT id, outcome, settled_us, started_at IS NOT NULL,
       COALESCE(extract(epoch FROM now.now - started_at) * 1000000, 0)::bigint, worker
FROM jobs_attempt, (SELECT clock_timestamp() AS now) AS now
WHERE id = ANY(%(ids)s)
"""

_SLOTS = """
SELECT pool, sum(slots) FROM jobs_worker
WHERE last_seen_at > clock_timestamp() - %(fresh)s * interval '1 second'
GROUP BY pool
"""

_GONE = """
SELECT name FROM jobs_worker
WHERE last_seen_at <= clock_timestamp() - %(fresh)s * interval '1 second'
"""


def tenant_configs(*, after: str, limit: int) -> list[TenantConfig]:
    """Return what the scheduler must know of the next tenants, by their slugs."""
    found = rows(_TENANTS, {"after": after, "limit": limit})
    return [TenantConfig(*row) for row in found]


def heads(
    tenants: Collection[str], *, limit: int, without: Collection[str] = ()
) -> list[Head]:
    """Return the first queued jobs of each class of these tenants, oldest first.

    `without` names kinds that are passed over.
    """
    values = {"tenants": list(tenants), "limit": limit, "without": list(without)}
    return [Head(*row) for row in rows(_HEADS, values)]


def backlogged(*, after: str, limit: int) -> list[str]:
    """Return the next tenants that have queued work, in the order of their names."""
    found = rows(_BACKLOGGED, {"after": after, "limit": limit})
    return [slug for (slug,) in found]


def standings(attempt_ids: Collection[int]) -> list[Standing]:
    """Return how these attempts stand now."""
    if not attempt_ids:
        return []
    return [Standing(*row) for row in rows(_STANDINGS, {"ids": list(attempt_ids)})]


def slots(*, fresh_seconds: int) -> dict[str, int]:
    """Return how many slots each pool's live workers have."""
    return {pool: int(sum_) for pool, sum_ in rows(_SLOTS, {"fresh": fresh_seconds})}


def gone_workers(*, fresh_seconds: int) -> set[str]:
    """Return the workers that neither report themselves nor have said good-bye."""
    return {name for (name,) in rows(_GONE, {"fresh": fresh_seconds})}
