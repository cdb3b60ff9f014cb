"""How a statement of the ledger is run, and how states get into it."""

import json
from typing import Any

from django.db import connection
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from jobs.lifecycle import Event, sources, target
from tenants.scoping import scoped

# Of a queue's tables PostgreSQL's statistics are always old: from them it takes the
# live rows for next to none, and reads a whole table or a partial index where it should
# look up some keys. In force until the end of the transaction.
_BY_KEY = """
SELECT set_config('enable_seqscan', 'off', true),
       set_config('enable_bitmapscan', 'off', true);
"""


def rows_by_key(statement: str, values: dict[str, Any]) -> list[Any]:
    """Execute a statement that finds all its rows by their primary keys."""
    return rows(_BY_KEY + statement, values)


def rows(statement: str, values: dict[str, Any]) -> list[Any]:
    """Execute one statement in the scope in force and return all its rows."""
    with connection.cursor() as cursor:
        cursor.execute(*scoped(statement, values))
        # The scope's statement went first. psycopg2 keeps the last result by itself;
        # Django takes psycopg 3 where it is installed, which keeps them all.
        while is_psycopg3 and cursor.nextset():
            pass
        return list(cursor.fetchall())


def move(event: Event) -> dict[str, Any]:
    """Return the states an event leads `from` and `to`, as values of a statement."""
    return {"from": sources(event), "to": target(event).value}


def to_json(value: Any) -> str | None:
    """Return the value as JSON, None as NULL."""
    return None if value is None else json.dumps(value)
