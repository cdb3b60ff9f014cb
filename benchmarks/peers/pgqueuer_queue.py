"""pgqueuer: a queue in PostgreSQL that claims and completes jobs in batches."""

from benchmarks.peers.postgres_queue import PostgresQueue


class PgQueuer(PostgresQueue):
    """Worker processes that claim many jobs at once."""

    name = "pgqueuer"
    settings = (
        "pgqueuer on PostgreSQL (asyncpg, uvloop); {slots} worker processes, 100 jobs "
        "claimed at once, completions buffered as by default (100 jobs or 0.1 s), so a "
        "crash may repeat jobs that had ended; enqueued one by one or 100 at once"
    )
    packages = ("pgqueuer", "asyncpg")
    backlog_factor = 10
    sender = "benchmarks.peers.pgqueuer_app"
