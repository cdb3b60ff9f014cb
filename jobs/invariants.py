"""What is always true of the ledger: each invariant is a statement that finds breaches.

A statement returns the rows that break its invariant, `tenant_id` first (null where no
tenant owns the row), and sees one moment of the ledger: whatever the protocol writes
together needs no allowance. Only what has to wait for a clock or a sweep has one, in
seconds of the database's clock. jobs/audit.py runs them and lists the values they may
name. Later apps add theirs with `register`.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Invariant:
    """One thing that is always true, how to find where it is not, and what to do."""

    name: str
    meaning: str
    statement: str
    remedy: str
    #: Demanded only of a ledger in which all work has come to its end.
    at_rest: bool = False


_registered: Final[dict[str, Invariant]] = {}


def register(*invariants: Invariant) -> None:
    """Have these audited too; registering one again changes nothing.

    Raises ValueError when two claim one name.
    """
    for invariant in invariants:
        if _registered.setdefault(invariant.name, invariant) is not invariant:
            raise ValueError(f"two invariants are named {invariant.name!r}")


def registered() -> tuple[Invariant, ...]:
    """Return all invariants, the ledger's own first."""
    return tuple(_registered.values())


_DEFECT: Final = "The ledger was changed past its protocol. Keep this report and the "
_BY_HAND: Final = (
    _DEFECT + "logs, find out who wrote to the database, and correct the rows by hand."
)
_STALE: Final = (
    "Is a dispatcher leading, and does its log say why it does not sweep? Start one "
    "with `manage.py dispatch`."
)

LEDGER: Final = (
    # --- Jobs and their live attempts -------------------------------------------------
    Invariant(
        name="no_job_is_stuck",
        meaning="A dispatched or running job has a live attempt; else nothing will "
        "ever move it.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.state, j.attempt_count
            FROM jobs_job j
            WHERE j.state IN ('dispatched', 'running') AND NOT EXISTS (
                SELECT FROM jobs_attempt a WHERE a.job_id = j.id AND a.outcome IS NULL)
        """,
        remedy=_DEFECT + "logs, then queue the jobs again: docs/operations.md, section "
        "A stuck job.",
    ),
    Invariant(
        name="one_live_attempt",
        meaning="A job has at most one live attempt.",
        statement="""
            SELECT a.tenant_id, a.job_id, count(*) AS live FROM jobs_attempt a
            WHERE a.outcome IS NULL
            GROUP BY a.tenant_id, a.job_id HAVING count(*) > 1
        """,
        remedy="The unique index attempt_one_live is missing or damaged: make it "
        "again, and look at what the jobs did twice.",
    ),
    Invariant(
        name="job_and_attempt_agree",
        meaning="A dispatched job's live attempt has not started, a running job's has.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.state, a.id AS attempt_id,
                   a.started_at
            FROM jobs_attempt a JOIN jobs_job j ON j.id = a.job_id
            WHERE a.outcome IS NULL
              AND (j.state = 'dispatched' AND a.started_at IS NOT NULL
                   OR j.state = 'running' AND a.started_at IS NULL)
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="waiting_job_is_idle",
        meaning="A scheduled, queued or retryable job has no live attempt.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.state, a.id AS attempt_id
            FROM jobs_attempt a JOIN jobs_job j ON j.id = a.job_id
            WHERE a.outcome IS NULL AND j.state = ANY(%(waiting)s)
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="ended_job_is_idle",
        meaning="A job that has ended has no live attempt.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.state, a.id AS attempt_id
            FROM jobs_attempt a JOIN jobs_job j ON j.id = a.job_id
            WHERE a.outcome IS NULL AND j.state = ANY(%(terminal)s)
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="ended_job_has_its_time",
        meaning="A job has finished_at when it has ended, and not before.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.state, j.finished_at FROM jobs_job j
            WHERE (j.state = ANY(%(terminal)s)) <> (j.finished_at IS NOT NULL)
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="every_job_has_ended",
        meaning="Once all work has come to its end, every accepted job has one.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.state, j.created_at FROM jobs_job j
            WHERE NOT j.state = ANY(%(terminal)s)
        """,
        remedy="Wait longer; if the numbers stay, look at these jobs' pages for why.",
        at_rest=True,
    ),
    # --- What clocks and sweeps look after --------------------------------------------
    Invariant(
        name="lease_is_renewed_or_swept",
        meaning="No lease of a live attempt ran out more than 15 s ago.",
        statement="""
            SELECT a.tenant_id, a.job_id, a.id AS attempt_id, a.worker,
                   a.lease_expires_at
            FROM jobs_attempt a
            WHERE a.outcome IS NULL AND a.started_at IS NOT NULL
              AND COALESCE(a.lease_expires_at, '-infinity')
                  < clock_timestamp() - interval '15 seconds'
        """,
        remedy=_STALE,
    ),
    Invariant(
        name="attempt_is_taken_or_replaced",
        meaning="No attempt waits to be started for 45 s past START_TIMEOUT_SECONDS "
        "while its pool has a free slot, of a worker that has been there as long.",
        statement="""
            WITH live AS (
                SELECT pool, sum(slots) AS slots FROM jobs_worker
                WHERE last_seen_at > clock_timestamp() - %(fresh)s * interval '1 second'
                  AND started_at < clock_timestamp()
                      - (%(start_timeout)s + 45) * interval '1 second'
                GROUP BY pool
            ), busy AS (
                SELECT pool, count(DISTINCT (worker, started_at)) AS slots
                FROM jobs_attempt WHERE outcome IS NULL AND started_at IS NOT NULL
                GROUP BY pool
            )
            SELECT a.tenant_id, a.job_id, a.id AS attempt_id, a.pool, a.dispatched_at
            FROM jobs_attempt a JOIN live USING (pool) LEFT JOIN busy USING (pool)
            WHERE a.outcome IS NULL AND a.started_at IS NULL
              AND a.dispatched_at < clock_timestamp()
                  - (%(start_timeout)s + 45) * interval '1 second'
              AND live.slots > COALESCE(busy.slots, 0)
        """,
        remedy=_STALE + " If it leads, can the pool's workers reach the broker?",
    ),
    Invariant(
        name="due_job_is_queued",
        meaning="No scheduled or retryable job has been due for more than 10 s, unless "
        "scheduling is switched off for it.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.state, j.run_after
            FROM jobs_job j JOIN tenants_tenant t ON t.slug = j.tenant_id
            JOIN tenants_tier tier ON tier.name = t.tier_id
            WHERE j.state IN ('scheduled', 'retryable')
              AND j.run_after < clock_timestamp() - interval '10 seconds'
              AND t.is_scheduling AND NOT EXISTS (
                  SELECT FROM jobs_switch s
                  WHERE NOT s.is_scheduling AND (s.scope, s.name) IN (
                      ('kind', j.kind),
                      ('pool', COALESCE(NULLIF(t.pool, ''), tier.default_pool))))
        """,
        remedy=_STALE + " After a long stop it catches up with 1000 jobs a second.",
    ),
    Invariant(
        name="scheduler_is_kept",
        meaning="Each pool's snapshot was taken within 15 s of its leader's last sign.",
        statement="""
            SELECT NULL::text AS tenant_id, s.pool, s.taken_at
            FROM jobs_schedulersnapshot s JOIN jobs_leaderlease l ON l.name = %(leader)s
            WHERE s.state ->> 'format' = %(format)s
              AND s.taken_at
                  < LEAST(l.expires_at, clock_timestamp()) - interval '15 seconds'
        """,
        remedy="A leader that has just begun writes it within seconds: run this again. "
        "If it stays, read the dispatcher's log: a new leader would go on from too far "
        "back.",
    ),
    # --- Counts -----------------------------------------------------------------------
    Invariant(
        name="attempts_are_counted",
        meaning="A job's attempts have the numbers from 1 to attempt_count.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.attempt_count,
                   count(a.id) AS attempts, max(a.number) AS latest
            FROM jobs_job j LEFT JOIN jobs_attempt a ON a.job_id = j.id
            GROUP BY j.id
            HAVING count(a.id) <> j.attempt_count
                OR COALESCE(max(a.number), 0) <> j.attempt_count
                OR COALESCE(min(a.number), 1) <> 1
        """,
        remedy=_BY_HAND,
    ),
    Invariant(
        name="failures_are_within_bounds",
        meaning="No job has failed more often than max_attempts allows.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.state, j.failed_count, j.max_attempts
            FROM jobs_job j WHERE j.failed_count > j.max_attempts
        """,
        remedy=_BY_HAND,
    ),
    # A retry by a person starts the counts afresh; that a job has died before shows in
    # its having been counted.
    Invariant(
        name="failures_are_counted",
        meaning="A job counts no more failures and losses than its attempts had, and "
        "all of them until its first end.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.failed_count, seen.failed AS failed,
                   j.lost_count + j.innocent_count AS lost_count, seen.lost AS lost
            FROM jobs_job j CROSS JOIN LATERAL (
                SELECT count(*) FILTER (WHERE a.outcome = 'failed') AS failed,
                       count(*) FILTER (WHERE a.outcome = 'lost'
                                        AND a.started_at IS NOT NULL) AS lost
                FROM jobs_attempt a WHERE a.job_id = j.id
            ) AS seen
            WHERE j.failed_count > seen.failed
               OR j.lost_count + j.innocent_count > seen.lost
               OR (j.failed_count < seen.failed
                   OR j.lost_count + j.innocent_count < seen.lost)
                  AND NOT j.state = ANY(%(terminal)s) AND NOT EXISTS (
                      SELECT FROM usage_events u WHERE u.tenant_id = j.tenant_id
                      AND u.source = 'job:' || j.id || ':jobs')
        """,
        remedy=_BY_HAND,
    ),
    # --- The log of events ------------------------------------------------------------
    # A job that has not moved since there is a log has no event yet.
    Invariant(
        name="event_log_agrees",
        meaning="A job is in the state to which its last event led.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.state, last.to_state AS logged_state
            FROM jobs_job j CROSS JOIN LATERAL (
                SELECT e.to_state FROM jobs_jobevent e WHERE e.job_id = j.id
                ORDER BY e.id DESC LIMIT 1) AS last
            WHERE last.to_state <> j.state
        """,
        remedy=_BY_HAND,
    ),
    # --- Usage ------------------------------------------------------------------------
    Invariant(
        name="attempt_is_billed_once",
        meaning="A settled billable attempt has a usage event of its worker time, and "
        "no other attempt has one.",
        statement="""
            SELECT a.tenant_id, a.job_id, a.id AS attempt_id, a.outcome, a.is_billable,
                   a.settled_us, u.quantity AS counted_us
            FROM jobs_attempt a LEFT JOIN usage_events u
                ON u.tenant_id = a.tenant_id AND u.source = 'attempt:' || a.id
            WHERE CASE WHEN a.outcome IS NOT NULL AND a.is_billable
                THEN (u.meter, u.quantity) IS DISTINCT FROM ('worker_us', a.settled_us)
                ELSE u.id IS NOT NULL END
        """,
        remedy="Bills of this time would be wrong: close no period before it is clear. "
        + _BY_HAND,
    ),
    # The first end counts the job; ends after a retry find it counted.
    Invariant(
        name="ended_job_is_counted_once",
        meaning="A job that has ended was counted as one job, at its first end.",
        statement="""
            SELECT j.tenant_id, j.id AS job_id, j.state, u.quantity AS counted
            FROM jobs_job j LEFT JOIN usage_events u
                ON u.tenant_id = j.tenant_id AND u.source = 'job:' || j.id || ':jobs'
            WHERE j.state = ANY(%(terminal)s)
              AND (u.meter, u.quantity) IS DISTINCT FROM ('jobs', 1)
        """,
        remedy="Bills of this time would be wrong: close no period before it is clear. "
        + _BY_HAND,
    ),
    Invariant(
        name="usage_is_of_its_tenant",
        meaning="A usage event belongs to the tenant of its job.",
        statement="""
            SELECT u.tenant_id, u.job_id, u.id AS event_id, u.source
            FROM usage_events u JOIN jobs_job j ON j.id = u.job_id
            WHERE j.tenant_id <> u.tenant_id
        """,
        remedy=_BY_HAND,
    ),
)

register(*LEDGER)
