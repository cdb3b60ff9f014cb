"""PostgreSQL, and in it the role and the database that the tests use.

Row-level security does not bind a superuser, so the tests run as a login role with no
more rights than the product asks of its own: it may create databases and roles.
"""

import getpass
import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection, cursor, parse_dsn

from taskqueue_site.embedded import EmbeddedPostgres
from taskqueue_site.processes import ServiceError
from tests.services.service import Service, Wish

LOCAL = "127.0.0.1:5432"
ROLE = "dtq_test"
ROLE_RIGHTS = "LOGIN NOSUPERUSER CREATEDB CREATEROLE INHERIT NOBYPASSRLS"
#: Made by a migration for the whole server; another login may have made them first.
SHARED_ROLES = ("dtq_tenant", "dtq_platform", "dtq_scopes")
#: From this version on, CREATEROLE is not enough to pass on a role made by another.
ADMIN_OPTION_VERSION = 160_000
#: What the maker of a role holds: it may pass the role on, and no more than that.
MAKERS_GRANT = "GRANT {} TO {} WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
#: Any number, as long as every run takes the same one.
ROLE_LOCK = 0x64747154


@contextmanager
def provide(wish: Wish) -> Iterator[Service]:
    """Take DATABASE_URL, else a local server that admits us as a superuser, else ours.

    Raises ServiceError if DATABASE_URL cannot be used for tests.
    """
    if given := wish.environ.get("DATABASE_URL"):
        for line in faults_of(given):
            print(f"{'postgresql':<12}note     {line}", flush=True)
        yield _service("given", given)
    elif not wish.private and (superuser := _local_superuser()):
        with _database_of_our_own(superuser) as url:
            yield _service("found", url)
    else:
        # Its login has the rights of ROLE, and the whole server is thrown away.
        server = EmbeddedPostgres(wish.scratch)
        try:
            yield _service("started", server.start())
        finally:
            server.stop()


def faults_of(url: str) -> list[str]:
    """Return what makes this URL's role a poor one for tests, one line each.

    Raises ServiceError if it cannot create databases or does not get in.
    """
    try:
        with closing(_connect(url)) as opened, opened.cursor() as cursor:
            cursor.execute(
                "SELECT rolsuper OR rolbypassrls, rolcreatedb OR rolsuper"
                " FROM pg_roles WHERE rolname = current_user"
            )
            above_policies, may_create = cursor.fetchone() or (False, False)
    except psycopg2.OperationalError as error:
        reason = " ".join(str(error).split())
        raise ServiceError(f"DATABASE_URL cannot be used: {reason}") from error
    if not may_create:
        raise ServiceError(
            "DATABASE_URL cannot be used: its role may not create databases"
        )
    if above_policies:
        return ["the role of DATABASE_URL is not bound by row-level security"]
    return []


def _local_superuser() -> str | None:
    """Return who may administer the local server without a password, if anyone."""
    for user in ("postgres", getpass.getuser()):
        try:
            with closing(_connect(f"postgresql://{user}@{LOCAL}/postgres")) as opened:
                if opened.info.parameter_status("is_superuser") == "on":
                    return user
        except psycopg2.OperationalError:
            continue
    return None


@contextmanager
def _database_of_our_own(superuser: str) -> Iterator[str]:
    """Make an empty database, and drop it with all that the tests named after it."""
    administration = f"postgresql://{superuser}@{LOCAL}/postgres"
    name, password = f"dtq_{os.getpid()}", secrets.token_urlsafe(24)
    with closing(_connect(administration)) as server:
        _ensure_role(server, password)
        create = sql.SQL("CREATE DATABASE {} OWNER {}")
        _execute(server, create.format(sql.Identifier(name), sql.Identifier(ROLE)))
    try:
        yield f"postgresql://{ROLE}:{password}@{LOCAL}/{name}"
    finally:
        with closing(_connect(administration)) as server:
            _drop_databases(server, name)


def _ensure_role(server: connection, password: str) -> None:
    """Give the test role its rights; runs that start together take turns."""
    server.autocommit = False
    with server, server.cursor() as opened:
        opened.execute("SELECT pg_advisory_xact_lock(%s)", [ROLE_LOCK])
        present = _present_roles(opened)
        verb = sql.SQL("ALTER" if ROLE in present else "CREATE")
        statement = sql.SQL("{} ROLE {} {} PASSWORD {}")
        rights, role = sql.SQL(ROLE_RIGHTS), sql.Identifier(ROLE)
        opened.execute(statement.format(verb, role, rights, sql.Literal(password)))
        if server.server_version >= ADMIN_OPTION_VERSION:
            for shared in map(sql.Identifier, present - {ROLE}):
                opened.execute(sql.SQL(MAKERS_GRANT).format(shared, role))
    server.autocommit = True


def _present_roles(opened: cursor) -> set[str]:
    opened.execute(
        "SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [[ROLE, *SHARED_ROLES]]
    )
    return {name for (name,) in opened.fetchall()}


def _drop_databases(server: connection, name: str) -> None:
    with server.cursor() as cursor:
        # Django tests in `test_<name>`; parallel runs add a suffix.
        cursor.execute(
            "SELECT datname FROM pg_database WHERE datname ~ %s",
            [rf"^(test_)?{name}(_.+)?$"],
        )
        names = [found for (found,) in cursor.fetchall()]
    for found in names:
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        _execute(server, drop.format(sql.Identifier(found)))


def _execute(server: connection, statement: sql.Composed) -> None:
    with server.cursor() as cursor:
        cursor.execute(statement)


def _connect(url: str) -> connection:
    """Open a connection outside any transaction, as CREATE DATABASE demands."""
    opened: connection = psycopg2.connect(url, connect_timeout=5)
    opened.autocommit = True
    return opened


def _service(how: str, url: str) -> Service:
    parts = parse_dsn(url)
    host = parts.get("host", "")
    where = host if host.startswith("/") else f"{host}:{parts.get('port', 5432)}"
    return Service(
        name="postgresql", how=how, where=where, environment={"DATABASE_URL": url}
    )
