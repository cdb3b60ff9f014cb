"""Transactions of an attempt beside its step's own, each under the same fence.

A step may write in several transactions at once, on connections of their own. What
each has written must be known to it afterwards: the step itself may still fail.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from jobs import ledger
from jobs.handlers import Assignment
from jobs.ledger import AttemptSupersededError
from jobs.statements import bound_pauses
from tenants.scoping import tenant_scope


@contextmanager
def fenced(assignment: Assignment) -> Iterator[None]:
    """Open a transaction in the job's tenant that commits only while the attempt lives.

    Raises AttemptSupersededError, which rolls it back, once the lease is lost.
    """
    with tenant_scope(assignment.tenant), connection.cursor() as cursor:
        # The log is written in order: once the step's own commit is on the disk, so is
        # this one, and a crash before takes both.
        cursor.execute("SET LOCAL synchronous_commit = off")
        # A frozen worker's rows would keep the next attempt waiting. It may pause for
        # longer than a lease, since it waits for its neighbour, who may wait for such.
        bound_pauses(seconds=2 * settings.LEASE_SECONDS)
        yield
        # Last, for it locks the attempt's row, which the other transactions need too.
        renewed = ledger.renew(
            attempt_ids=[assignment.attempt_id], lease_seconds=settings.LEASE_SECONDS
        )
        if not renewed:
            raise AttemptSupersededError(assignment.attempt_id)
