"""Where a pool's scheduler stood, so that a new leader goes on from there.

A snapshot keeps virtual times without the charges of open attempts, which attempts
those were, and the last attempt dispatched. Only the leader appends attempts, in the
order of their ids, so every attempt is in the snapshot's sums, or named by it, or
newer: each is charged once, whatever commits while the snapshot is written.
"""

from typing import Final

from fairshare.snapshot import Snapshot
from jobs.backlog import OpenAttempt
from jobs.pool import Pool
from jobs.statements import rows

_KEEP = """
INSERT INTO jobs_schedulersnapshot (pool, last_attempt_id, state)
SELECT %(pool)s, %(last)s, jsonb_build_object('format', %(format)s::text,
    'scheduler', %(scheduler)s::text, 'open', to_jsonb(%(open)s::bigint[]))
WHERE EXISTS (SELECT FROM jobs_leaderlease
              WHERE name = %(name)s AND holder = %(holder)s AND term = %(term)s
                AND expires_at > clock_timestamp() FOR SHARE)
ON CONFLICT (pool) DO UPDATE
SET last_attempt_id = EXCLUDED.last_attempt_id, state = EXCLUDED.state,
    taken_at = clock_timestamp()
RETURNING pool
"""

_KEPT = """
SELECT pool, last_attempt_id, state ->> 'scheduler' FROM jobs_schedulersnapshot
WHERE state ->> 'format' = %(format)s
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

SNAPSHOT_SECONDS: Final = 10.0
#: Change it with the form of a snapshot: another version's is then left aside.
FORMAT: Final = "1"


def keep(pool: Pool, *, lease: tuple[str, str, int]) -> bool:
    """Write where the pool stands; False when the leader no longer leads."""
    name, holder, term = lease
    values = {
        "pool": pool.name,
        "last": pool.last_attempt_id,
        "scheduler": pool.scheduler.snapshot().to_json(),
        "open": list(pool.flights),
        "format": FORMAT,
        "name": name,
        "holder": holder,
        "term": term,
    }
    return bool(rows(_KEEP, values))


def kept() -> dict[str, tuple[int, Snapshot]]:
    """Return each pool's last attempt and scheduler, as last written."""
    return {
        pool: (last_attempt_id, Snapshot.from_json(state))
        for pool, last_attempt_id, state in rows(_KEPT, {"format": FORMAT})
    }


def attempts_since() -> list[tuple[OpenAttempt, int | None]]:
    """Return the attempts to replay, with the cost of those that are settled."""
    return [(OpenAttempt(*row[:-1]), row[-1]) for row in rows(_SINCE, {})]
