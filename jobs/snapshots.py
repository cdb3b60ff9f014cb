"""Where a pool's scheduler stood, so that a new leader goes on from there.

A snapshot keeps virtual times without the charges of open attempts, which attempts
those were, and the last attempt dispatched. Only the leader appends attempts, in the
order of their ids, so every attempt is in the snapshot's sums, or named by it, or
newer: each is charged once, whatever commits while the snapshot is written.

A tenant has a row of its own, written when it has changed. One that has not changed
has neither been charged nor given anything back since, so its old row is as good.
"""

from typing import Final

from fairshare.snapshot import Snapshot
from jobs.backlog import OpenAttempt
from jobs.pool import Pool
from jobs.statements import rows

# One statement, so that the shared clocks and the tenants are of the same moment.
_KEEP = """
WITH leader AS (
    SELECT FROM jobs_leaderlease
    WHERE name = %(name)s AND holder = %(holder)s AND term = %(term)s
      AND expires_at > clock_timestamp()
    FOR SHARE
), changed AS (
    INSERT INTO jobs_tenantsnapshot (pool, tenant_slug, state)
    SELECT %(pool)s, slug, state
    FROM leader, unnest(%(slugs)s::text[], %(states)s::text[]) AS t (slug, state)
    ON CONFLICT (pool, tenant_slug) DO UPDATE SET state = EXCLUDED.state
), gone AS (
    DELETE FROM jobs_tenantsnapshot t USING leader
    WHERE t.pool = %(pool)s AND t.tenant_slug = ANY(%(gone)s)
)
INSERT INTO jobs_schedulersnapshot (pool, last_attempt_id, state)
SELECT %(pool)s, %(last)s, jsonb_build_object('format', %(format)s::text,
    'scheduler', %(scheduler)s::text, 'open', to_jsonb(%(open)s::bigint[]))
FROM leader
ON CONFLICT (pool) DO UPDATE
SET last_attempt_id = EXCLUDED.last_attempt_id, state = EXCLUDED.state,
    taken_at = clock_timestamp()
RETURNING pool
"""

_KEPT = """
SELECT pool, last_attempt_id, state ->> 'scheduler' FROM jobs_schedulersnapshot
WHERE state ->> 'format' = %(format)s
"""

# Tenants beside clocks of another form, or beside none.
_FORGET_OTHERS = """
DELETE FROM jobs_tenantsnapshot t WHERE NOT EXISTS (
    SELECT FROM jobs_schedulersnapshot s
    WHERE s.pool = t.pool AND s.state ->> 'format' = %(format)s)
RETURNING pool
"""

_TENANTS_KEPT = """
SELECT tenant_slug, state FROM jobs_tenantsnapshot WHERE pool = %(pool)s
"""

# In the order of dispatch: what the snapshots do not contain, and what is still open.
_SINCE = """
SELECT a.id, a.job_id::text, a.tenant_id, j.kind, j.priority, a.pool, a.held_us,
       a.weight, a.tier_weight, a.started_at IS NOT NULL, a.settled_us
FROM jobs_attempt a JOIN jobs_job j ON j.id = a.job_id
WHERE a.id IN (
    SELECT id FROM jobs_attempt WHERE outcome IS NULL
    UNION
    SELECT a.id FROM jobs_schedulersnapshot s JOIN jobs_attempt a
        ON a.pool = s.pool AND a.id > s.last_attempt_id
    UNION
    SELECT o.id::bigint FROM jobs_schedulersnapshot s,
        LATERAL jsonb_array_elements_text(s.state -> 'open') AS o (id)
)
ORDER BY a.id
"""

#: Each writes the tenants that have changed since: the more often, the fewer.
SNAPSHOT_SECONDS: Final = 1.0
#: Change it with the form of a snapshot: another version's is then left aside.
FORMAT: Final = "2"


def keep(pool: Pool, *, lease: tuple[str, str, int]) -> bool:
    """Write where the pool stands, as far as it has changed since the last call.

    Returns False when the leader no longer leads; what has changed is then lost, and
    the pool can be kept no more.
    """
    snapshot, gone = pool.scheduler.changes()
    states = snapshot.tenants_json()
    name, holder, term = lease
    values = {
        "pool": pool.name,
        "last": pool.last_attempt_id,
        "scheduler": snapshot.shared_json(),
        "slugs": list(states),
        "states": list(states.values()),
        "gone": gone,
        "open": list(pool.flights),
        "format": FORMAT,
        "name": name,
        "holder": holder,
        "term": term,
    }
    return bool(rows(_KEEP, values))


def kept() -> dict[str, tuple[int, Snapshot]]:
    """Return each pool's last attempt and scheduler, as last written.

    What cannot be read is forgotten, so that `keep` writes over nothing else.
    """
    rows(_FORGET_OTHERS, {"format": FORMAT})
    return {
        pool: (last_attempt_id, Snapshot.from_json(shared, _tenants(pool)))
        for pool, last_attempt_id, shared in rows(_KEPT, {"format": FORMAT})
    }


def _tenants(pool: str) -> dict[str, str]:
    found: list[tuple[str, str]] = rows(_TENANTS_KEPT, {"pool": pool})
    return dict(found)


def attempts_since() -> list[tuple[OpenAttempt, int | None]]:
    """Return the attempts to replay, with the cost of those that are settled."""
    return [(OpenAttempt(*row[:-1]), row[-1]) for row in rows(_SINCE, {})]
