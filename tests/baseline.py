"""Puts the migrated rows back behind a test that commits, and takes out all others.

Django's way is `flush`: it empties every table and makes content types, permissions and
built-in rows anew. That took longer than most tests, and rows that only a migration
writes were gone for good. Here one query finds the tables that differ from the database
as it was migrated, and those alone are put right. The files of tables that have grown
large are thrown away, as `flush` does with all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter
from typing import Any

import pytest
from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.test import TransactionTestCase
from psycopg2 import sql

from tenants.scoping import PLATFORM_ROLE

#: From this size on, a new file costs less than rows that are deleted one by one.
LARGE_BYTES = 1_000_000

_TABLES = """
SELECT relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1
"""
#: Foreign keys that are checked at once; the others wait for the commit.
_REFERENCES = """
SELECT r.relname, t.relname FROM pg_constraint c
JOIN pg_class r ON r.oid = c.conrelid JOIN pg_class t ON t.oid = c.confrelid
WHERE c.contype = 'f' AND NOT c.condeferrable AND r.oid <> t.oid
"""
_LARGE = f"{_TABLES.replace('ORDER BY 1', '')} AND pg_relation_size(oid) > %s"
_ROWS = "SELECT coalesce(json_agg(t ORDER BY t::text), '[]')::text FROM {table} t"
_DIFFERS = f"SELECT {{name}} WHERE ({_ROWS}) <> {{rows}}"
_HAS_ROWS = "SELECT {name} WHERE EXISTS (SELECT FROM {table})"
_WRITE = """
INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, {rows})
"""


class Baseline:
    """The rows of every table at the moment it is made."""

    def __init__(self) -> None:
        """Read them, as one who sees the rows of all tenants."""
        with transaction.atomic(), connection.cursor() as cursor:
            #: Those that refer to others come before them.
            self._tables = _referrers_first(cursor)
            _see_all_rows(cursor)
            self._rows = {name: _rows(cursor, name) for name in self._tables}
        self._find_different = sql.SQL(" UNION ALL ").join(
            self._about(name, _HAS_ROWS if self._is_empty(name) else _DIFFERS)
            for name in self._tables
        )

    def put_back(self) -> None:
        """Let every table hold these rows and no others."""
        with transaction.atomic(), connection.cursor() as cursor:
            # Like a truncation, this waits for whoever is still writing.
            cursor.execute(_on("LOCK TABLE {}", self._tables))
            cursor.execute(_LARGE, [LARGE_BYTES])
            if large := _names(cursor):
                cursor.execute(_on("TRUNCATE {} CASCADE", large))
            _see_all_rows(cursor)
            cursor.execute(self._find_different)
            self._write(cursor, set(_names(cursor)))

    def _write(self, cursor: Any, different: set[str]) -> None:
        tables = [name for name in self._tables if name in different]
        for name in tables:
            cursor.execute(_on("DELETE FROM {}", [name]))
        for name in reversed(tables):
            if not self._is_empty(name):
                cursor.execute(self._about(name, _WRITE))

    def _is_empty(self, name: str) -> bool:
        return self._rows[name] == "[]"

    def _about(self, name: str, statement: str) -> sql.Composed:
        return sql.SQL(statement).format(
            table=sql.Identifier(name),
            name=sql.Literal(name),
            rows=sql.Literal(self._rows[name]),
        )


@contextmanager
def kept() -> Iterator[None]:
    """Let each test that commits end with the rows that are there now."""
    baseline = Baseline()
    flush = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]

    def tear_down(case: TransactionTestCase) -> None:
        is_ordinary = case.databases == {DEFAULT_DB_ALIAS} and not case.available_apps
        if is_ordinary:
            baseline.put_back()
        else:
            flush(case)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", tear_down)
        yield


def _referrers_first(cursor: Any) -> list[str]:
    cursor.execute(_TABLES)
    order = TopologicalSorter({name: set() for name in _names(cursor)})
    cursor.execute(_REFERENCES)
    for referrer, referred in cursor.fetchall():
        order.add(referred, referrer)
    return list(order.static_order())


def _see_all_rows(cursor: Any) -> None:
    """Pass the tenants' walls, and the guard of what happened to jobs."""
    cursor.execute(f"SET LOCAL ROLE {PLATFORM_ROLE}; SET LOCAL app.pruning = 'on'")


def _rows(cursor: Any, name: str) -> str:
    cursor.execute(sql.SQL(_ROWS).format(table=sql.Identifier(name)))
    (rows,) = cursor.fetchone()
    return str(rows)


def _on(statement: str, tables: list[str]) -> sql.Composed:
    return sql.SQL(statement).format(sql.SQL(", ").join(map(sql.Identifier, tables)))


def _names(cursor: Any) -> list[str]:
    return [name for (name,) in cursor.fetchall()]
