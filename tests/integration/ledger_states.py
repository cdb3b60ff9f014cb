"""Jobs at each point of their life, as the tests of the audit need them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from django.db import connection

from jobs.errors import Failure
from jobs.models import Job
from jobs.sweeps import lose_expired
from tenants.scoping import all_tenants
from tests import arrange
from tests.arrange import dispatch, make_job, start


def sql(statement: str, **values: Any) -> None:
    """Change rows past the protocol."""
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute(statement, values)


def alter(statement: str) -> None:
    """Change the layout, until the test's transaction is undone."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(statement)


class Breach(NamedTuple):
    """How an invariant is broken: what starts it, and what is done to it."""

    name: str
    begin: Callable[[], Job]
    change: str
    alter: str = ""


USAGE = (
    "INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id) "
    "SELECT {tenant}, {source}, {meter}, {quantity}, {job} FROM "
)

# --- Jobs at each point of their life -------------------------------------------------


def dispatched() -> Job:
    job = make_job("t1")
    dispatch(job)
    return job


def running() -> Job:
    job = make_job("t1")
    start(dispatch(job))
    return job


def succeeded(**options: Any) -> Job:
    job = make_job("t1", **options)
    claim = start(dispatch(job))
    with all_tenants(reason="test"):
        arrange.finish(claim.assignment, {})
    return job


def failed(*, retry_in_seconds: float | None) -> Job:
    job = make_job("t1")
    claim = start(dispatch(job))
    failure = Failure({"code": "x", "message": "x"}, "f00d", "", is_retryable=True)
    with all_tenants(reason="test"):
        arrange.fail(claim.assignment, failure, retry_in_seconds=retry_in_seconds)
    return job


def retryable() -> Job:
    return failed(retry_in_seconds=60)


def lost() -> Job:
    job = running()
    sql("UPDATE jobs_attempt SET lease_expires_at = now() - interval '1 second'")
    with all_tenants(reason="test"):
        assert len(lose_expired(max_losses=3)) == 1
    return job
