"""Procrastinate: a queue in PostgreSQL with a statement or two for each job."""

from benchmarks.peers.postgres_queue import PostgresQueue


class Procrastinate(PostgresQueue):
    """Worker processes that fetch jobs by themselves."""

    name = "procrastinate"
    settings = (
        "Procrastinate on PostgreSQL (psycopg 3); {slots} worker processes of 5 jobs "
        "at once each, LISTEN/NOTIFY on, jobs kept; enqueued by defer and batch_defer; "
        "the rest as by default"
    )
    packages = ("procrastinate", "psycopg")
    sender = "benchmarks.peers.procrastinate_app"
