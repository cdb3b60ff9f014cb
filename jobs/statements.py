"""How a statement of the ledger is run, and how states get into it."""

import json
import re
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import connection
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from jobs.lifecycle import Event, sources, target
from tenants.scoping import scoped

# Of a queue's tables PostgreSQL's statistics are always old: from them it takes the
# live rows for next to none, and reads a whole table or a partial index where it should
# look up some keys. And since the way by the keys is the same for all values, it is
# planned once for a connection. In force until the end of the transaction.
_BY_KEY = """
SELECT set_config('enable_seqscan', 'off', true),
       set_config('enable_bitmapscan', 'off', true),
       set_config('plan_cache_mode', 'force_generic_plan', true);
"""
_BOUND: Final = "SELECT set_config('idle_in_transaction_session_timeout', %s, true)"
_VALUE: Final = re.compile(r"%\((\w+)\)s(::\w+(?:\[\])?)?")
#: JSON's escape of NUL, and not a backslash that is followed by its digits.
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")

#: How often a connection in use is asked whether it still lives.
_CHECK_SECONDS: Final = 1.0
_checked = threading.local()


def look_after_connection() -> None:
    """Let this thread's connection go if it broke or is too old.

    Asking the server takes a good part of what a tiny job takes, so a connection that
    answered a moment ago and has not failed since is taken to live.
    """
    now = time.monotonic()
    if connection.errors_occurred or now >= getattr(_checked, "until", 0.0):
        connection.close_if_unusable_or_obsolete()
        _checked.until = now + _CHECK_SECONDS


def bound_pauses(*, seconds: float) -> None:
    """Let the server end this transaction if we stop in it for so long.

    A process that freezes between two statements would otherwise keep the rows it has
    written locked, and others waiting for them, until it thaws.
    """
    with connection.cursor() as cursor:
        cursor.execute(_BOUND, [f"{round(seconds * 1000)}ms"])


def rows(statement: str, values: dict[str, Any]) -> list[Any]:
    """Execute one statement in the scope in force and return all its rows."""
    with connection.cursor() as cursor:
        return _rows(cursor, statement, values)


def rows_by_key(
    statement: str, values: dict[str, Any], *, prefix: str = ""
) -> list[Any]:
    """Do the same for a statement that finds all its rows by their primary keys.

    It is prepared on a connection's first use of it, unless the connections go through
    a pooler that hands them on after each transaction. `prefix` may be EXPLAIN.
    """
    if not settings.PREPARE_STATEMENTS:
        return rows(f"{_BY_KEY}{prefix} {statement}", values)
    prepared = _prepared(statement)
    with connection.cursor() as cursor:
        known = _known.setdefault(connection.connection, set())
        if prepared.name not in known:
            cursor.execute(prepared.declaration)
            known.add(prepared.name)
        return _rows(cursor, f"{_BY_KEY}{prefix} {prepared.call}", values)


def _rows(cursor: Any, statement: str, values: dict[str, Any]) -> list[Any]:
    cursor.execute(*scoped(statement, values))
    # The scope's statement went first. psycopg2 keeps the last result by itself;
    # Django takes psycopg 3 where it is installed, which keeps them all.
    while is_psycopg3 and cursor.nextset():
        pass
    return list(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class _Prepared:
    """How a statement is declared to a connection, and then called by its name."""

    name: str
    declaration: str
    call: str


#: The names that each open connection knows.
_known: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


@lru_cache(maxsize=64)
def _prepared(statement: str) -> _Prepared:
    casts = dict(_VALUE.findall(statement))
    places = {name: f"${place}" for place, name in enumerate(casts, start=1)}
    body = _VALUE.sub(lambda found: places[found[1]] + (found[2] or ""), statement)
    name = f"by_key_{sha256(statement.encode()).hexdigest()[:16]}"
    given = ", ".join(f"%({name})s{cast}" for name, cast in casts.items())
    return _Prepared(name, f"PREPARE {name} AS {body}", f"EXECUTE {name} ({given})")


def move(event: Event) -> dict[str, Any]:
    """Return an event, and the states it leads `from` and `to`, as values."""
    return {"event": event.value, "from": sources(event), "to": target(event).value}


def to_json(value: Any) -> str | None:
    """Return the value as JSON that PostgreSQL can keep, None as NULL.

    Raises TypeError for what is not JSON; ValueError for infinite numbers, NUL and lone
    surrogates, at the caller, who can still say whose value it was.
    """
    if value is None:
        return None
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    text.encode()
    if _NUL.search(text):
        raise ValueError("a text with a NUL character cannot be kept")
    return text
