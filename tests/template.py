"""A database in which the migrations have run, to be copied by whoever needs one.

They take seconds of a processor, and without it each process of a parallel run would
run them again, and so would each product that an acceptance test starts.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

_VARIABLE = "TEST_TEMPLATE"
_ROOT = Path(__file__).parents[1]


def name() -> str | None:
    """Return the database to copy, if this run has made one."""
    return os.environ.get(_VARIABLE)


@contextmanager
def made() -> Iterator[None]:
    """Make it on the server of DATABASE_URL, and drop it in the end."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    database = f"{parts.path.strip('/')}_template"
    url = urlunsplit(parts._replace(path=f"/{database}"))
    server = urlunsplit(parts._replace(path="/postgres"))
    _execute(server, "DROP DATABASE IF EXISTS {}", database)
    _execute(server, "CREATE DATABASE {}", database)
    try:
        _migrate(url)
        os.environ[_VARIABLE] = database
        yield
    finally:
        os.environ.pop(_VARIABLE, None)
        _execute(server, "DROP DATABASE IF EXISTS {} WITH (FORCE)", database)


def _migrate(url: str) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--noinput", "--verbosity", "0"],
        cwd=_ROOT,
        env={**os.environ, "DATABASE_URL": url},
        check=True,
    )


def _execute(server: str, statement: str, database: str) -> None:
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True  # databases are not made in a transaction
        with connection.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(sql.Identifier(database)))
