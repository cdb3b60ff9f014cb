"""Reads the ledger for the verdict, past every proxy and every process of the product.

It reads as the platform does, so that row-level security shows the rows of all tenants.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2
from psycopg2.extensions import connection

from taskqueue_site.chaos.verdict import AttemptFact, FileFact, JobFact, UsageFact

_JOBS = """
SELECT id::text, tenant_id, kind, state, payload, result, error->>'code'
FROM jobs_job ORDER BY id
"""
_ATTEMPTS = """
SELECT id, job_id::text, started_at IS NOT NULL, outcome, COALESCE(settled_us, 0),
       COALESCE(is_billable, false)
FROM jobs_attempt ORDER BY job_id, number
"""
_FILES = """
SELECT f.job_id::text, f.rows, f.inserted, f.conflicting, f.rejected,
       (SELECT count(*) FROM fintech_transactions t WHERE t.file_id = f.id),
       (SELECT count(DISTINCT txn_id) FROM fintech_transactions t
        WHERE t.file_id = f.id),
       (SELECT count(*) FROM ingestion_keptoutrow k
        WHERE k.file_id = f.id AND k.why <> 'flagged'),
       f.same_as_id IS NOT NULL
FROM ingestion_ingestedfile f
"""
_USAGE = "SELECT job_id::text, meter, quantity FROM usage_events"
_STATES = "SELECT state, count(*) FROM jobs_job GROUP BY state"
_LIVE = """
SELECT id FROM jobs_attempt
WHERE outcome IS NULL AND started_at IS NOT NULL AND worker LIKE %s
"""
_ENDED = """
SELECT outcome, extract(epoch FROM finished_at - %s)::float8
FROM jobs_attempt WHERE id = ANY(%s) AND COALESCE(outcome, 'lost') = 'lost'
"""
_WORKERS = """
SELECT count(*) FROM jobs_worker
WHERE slots > 0 AND last_seen_at > clock_timestamp() - interval '8 s'
"""
_LEADER = "SELECT holder FROM jobs_leaderlease WHERE name = 'dispatcher'"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """Attempts at work on a victim at the moment it was interrupted."""

    at: datetime
    attempt_ids: Sequence[int]


class Ledger:
    """A reader of the ledger that outlives its server."""

    def __init__(self, url: str) -> None:
        """Connect when first asked; `url` is that of the server itself."""
        self._url = url
        self._connection: connection | None = None

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            with suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def states(self) -> Counter[str]:
        """Return how many jobs are in each state."""
        return Counter(dict(self._rows(_STATES)))

    def interrupted(self, pid: int) -> Interrupted:
        """Return what the worker with this process id is at work on, by now."""
        ids = [attempt_id for (attempt_id,) in self._rows(_LIVE, f"%-{pid}")]
        ((now,),) = self._rows("SELECT clock_timestamp()")
        return Interrupted(now, ids)

    def leader(self) -> str:
        """Return the dispatcher that holds the lease: host, process id and a mark."""
        ((holder,),) = self._rows(_LEADER) or [("",)]
        return str(holder)

    def recoveries(self, interrupted: Interrupted) -> list[float | None]:
        """Return seconds until each attempt that was lost had its job queued again.

        None is an attempt without an end. Those that ended in peace are left out.
        """
        rows = self._rows(_ENDED, interrupted.at, list(interrupted.attempt_ids))
        return [seconds if outcome else None for outcome, seconds in rows]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything read in the block be of one moment."""
        self._rows("SELECT 1")  # on a connection that works
        self._tell("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self._tell("COMMIT")

    def workers(self) -> int:
        """Return how many workers report that they take messages."""
        ((number,),) = self._rows(_WORKERS)
        return int(number)

    def jobs(self) -> list[JobFact]:
        """Return every job."""
        return [JobFact(*row) for row in self._rows(_JOBS)]

    def attempts(self) -> list[AttemptFact]:
        """Return every attempt, those of a job in order."""
        return [AttemptFact(*row) for row in self._rows(_ATTEMPTS)]

    def loads(self) -> list[FileFact]:
        """Return every file with what is stored of it."""
        return [FileFact(*row) for row in self._rows(_FILES)]

    def usage(self) -> list[UsageFact]:
        """Return every usage event."""
        return [UsageFact(*row) for row in self._rows(_USAGE)]

    def _rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a query; once more on a new connection if the server went away."""
        try:
            return self._try(statement, values)
        except psycopg2.Error:
            self.close()
            return self._try(statement, values)

    def _tell(self, statement: str) -> None:
        if self._connection is not None:
            with self._connection.cursor() as cursor:
                cursor.execute(statement)

    def _try(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        if self._connection is None:
            opened: connection = psycopg2.connect(self._url, connect_timeout=5)
            opened.autocommit = True
            self._connection = opened
            with opened.cursor() as cursor:
                cursor.execute("SET ROLE dtq_platform")
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall())
