"""Who acts and why, for the log of what happened to jobs.

A process says once who it is; whoever acts for a person or a key says so around it.
Every transaction of a scope carries both to PostgreSQL (tenants/scoping.py), where the
triggers on the table of jobs read them.

    be("dispatcher host:1")                       # from here on, in this process
    with acting(who="staff alice", why="wrong file"):
        jobs_revive(job_ids=ids)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db import connection

#: To be put in front of a statement, or to be sent by itself.
TELL: Final = """
SELECT set_config('app.actor', %(acting_who)s, true),
       set_config('app.reason', %(acting_why)s, true)
"""


@dataclass(frozen=True, slots=True)
class Act:
    """Who acts, and why; either may be empty."""

    who: str = ""
    why: str = ""


_process = Act()
_act: ContextVar[Act | None] = ContextVar("act", default=None)


def current_act() -> Act:
    """Return who acts here and why."""
    return _act.get() or _process


def told() -> dict[str, Any]:
    """Return the values of `TELL`."""
    act = current_act()
    return {"acting_who": act.who, "acting_why": act.why}


def be(who: str) -> None:
    """Act as this from now on, in every thread of the process."""
    global _process
    _process = Act(who)


@contextmanager
def acting(*, who: str | None = None, why: str | None = None) -> Iterator[None]:
    """Act as somebody, or for a reason, in the block; what is not given stays."""
    given = {"who": who, "why": why}
    act = replace(current_act(), **{k: v for k, v in given.items() if v is not None})
    token = _act.set(act)
    try:
        _tell_open_transaction()
        yield
    finally:
        _act.reset(token)
        if not connection.needs_rollback:
            _tell_open_transaction()


@contextmanager
def nobody() -> Iterator[None]:
    """Act as nobody in the block, until somebody is known: see `act_as`."""
    token = _act.set(Act("nobody"))
    try:
        yield
    finally:
        _act.reset(token)


def act_as(who: str) -> None:
    """Act as this in the transactions to come, until the block around it ends."""
    _act.set(replace(current_act(), who=who))


def _tell_open_transaction() -> None:
    if connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute(TELL, told())
