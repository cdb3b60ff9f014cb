"""What the dispatcher reads from the ledger."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from django.db import connection


@dataclass(frozen=True, slots=True)
class TenantConfig:
    """What the scheduler must know of a tenant; weight in thousandths."""

    slug: str
    weight: int
    cap: int | None
    is_paused: bool
    pool: str


@dataclass(frozen=True, slots=True)
class Head:
    """A queued job near the front of its tenant's line."""

    job_id: UUID
    tenant: str
    kind: str
    priority: int


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt that was dispatched and is not settled."""

    attempt_id: int
    job_id: UUID
    tenant: str
    kind: str
    priority: int
    pool: str
    held_us: int
    weight: int
    is_started: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How an attempt stands: its settled cost, or how long it has run so far."""

    attempt_id: int
    settled_us: int | None
    elapsed_us: int


_TENANTS = """
SELECT t.slug, COALESCE((q.weight * 1000)::bigint, 1000), q.max_in_flight, t.is_paused,
       COALESCE(NULLIF(t.pool, ''), tier.default_pool)
FROM tenants_tenant t
JOIN tenants_tier tier ON tier.name = t.tier_id
LEFT JOIN quotas_quota q ON q.tenant_id = t.slug
"""

# The classes are named one by one so that each look-up is a short index range.
_HEADS = """
SELECT head.id, t.slug, head.kind, head.priority
FROM tenants_tenant t
CROSS JOIN (VALUES (0), (1), (2), (3)) AS class (priority)
CROSS JOIN LATERAL (
    SELECT j.id, j.kind, j.priority FROM jobs_job j
    WHERE j.tenant_id = t.slug AND j.priority = class.priority AND j.state = 'queued'
    ORDER BY j.id LIMIT %(limit)s
) AS head
"""

_OPEN = """
SELECT a.id, a.job_id, a.tenant_id, j.kind, j.priority, a.pool, a.held_us, a.weight,
       a.started_at IS NOT NULL
FROM jobs_attempt a JOIN jobs_job j ON j.id = a.job_id
WHERE a.outcome IS NULL ORDER BY a.id
"""

_STANDINGS = """
SELECT id, settled_us,
       COALESCE(extract(epoch FROM clock_timestamp() - started_at) * 1000000, 0)::bigint
FROM jobs_attempt WHERE id = ANY(%(ids)s)
"""

_SLOTS = """
SELECT pool, sum(slots) FROM jobs_worker
WHERE last_seen_at > clock_timestamp() - %(fresh)s * interval '1 second'
GROUP BY pool
"""


def tenant_configs() -> list[TenantConfig]:
    """Return what the scheduler must know of every tenant."""
    with connection.cursor() as cursor:
        cursor.execute(_TENANTS)
        return [TenantConfig(*row) for row in cursor.fetchall()]


def heads(*, limit: int) -> list[Head]:
    """Return the first queued jobs of each class of each tenant, oldest first."""
    with connection.cursor() as cursor:
        cursor.execute(_HEADS, {"limit": limit})
        return [Head(*row) for row in cursor.fetchall()]


def open_attempts() -> list[OpenAttempt]:
    """Return every attempt that is not settled, in the order of dispatch."""
    with connection.cursor() as cursor:
        cursor.execute(_OPEN)
        return [OpenAttempt(*row) for row in cursor.fetchall()]


def standings(attempt_ids: Collection[int]) -> list[Standing]:
    """Return how these attempts stand now."""
    if not attempt_ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_STANDINGS, {"ids": list(attempt_ids)})
        return [Standing(*row) for row in cursor.fetchall()]


def slots(*, fresh_seconds: int) -> dict[str, int]:
    """Return how many slots each pool's live workers have."""
    with connection.cursor() as cursor:
        cursor.execute(_SLOTS, {"fresh": fresh_seconds})
        return dict(cursor.fetchall())
