"""The one-machine stack: what it starts, keeps, revives, refuses and leaves behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest
import redis

from taskqueue_site.processes import OWNER_VARIABLE, stop_processes

PROJECT = Path(__file__).parents[2]
SMALL_STACK = Path(__file__).with_name("small_stack.py")
DEADLINE_SECONDS = 60


class RunningStack:
    """A small stack in a process of its own, and the lines it has printed."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        """Start it on a free port."""
        self.directory = directory
        self.port = free_port()
        self.output = directory.with_name(f"{directory.name}.{self.port}.out")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, SMALL_STACK, directory, str(self.port), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=PROJECT,
                env={**os.environ, "PYTHONPATH": str(PROJECT)},
            )

    def lines(self) -> list[str]:
        """Return what it has printed so far."""
        return self.output.read_text().splitlines()

    def is_ready(self) -> bool:
        """Return whether it says so."""
        assert self.process.poll() is None, self.output.read_text()
        return f"ready http://127.0.0.1:{self.port}" in self.lines()

    def pid(self, name: str) -> int:
        """Return the pid in the line of a process."""
        line = next(line for line in self.lines() if line.startswith(f"{name} "))
        return int(line.split()[2])

    def url(self, variable: str) -> str:
        """Return a variable that it published."""
        text = (self.directory / "stack.env").read_text()
        return dict(line.split("=", 1) for line in text.splitlines())[variable]

    def end(self) -> int:
        """Stop it if it still runs; return its exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINE_SECONDS)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A stack directory that an unprivileged user can enter, unlike tmp_path."""
    yield from stack_directory()


@pytest.fixture
def start(directory: Path) -> Iterator[Callable[[], RunningStack]]:
    """A function that starts a small stack and waits until it is ready."""
    stacks: list[RunningStack] = []

    def start_stack() -> RunningStack:
        stacks.append(RunningStack(directory))
        until(stacks[-1].is_ready)
        return stacks[-1]

    yield start_stack
    for stack in stacks:
        stack.end()


@pytest.fixture(scope="module")
def common() -> Iterator[RunningStack]:
    """One running stack for the tests that leave it as it is."""
    for directory in stack_directory():
        stack = RunningStack(directory)
        until(stack.is_ready)
        yield stack
        stack.end()


def test_a_stack_prints_its_parts_and_is_usable_when_ready(
    common: RunningStack,
) -> None:
    names = [line.split()[0] for line in common.lines()]
    assert names == ["postgresql", "valkey", "web", "worker", "ready"]
    assert answers(common.port)
    with closing(psycopg2.connect(common.url("DATABASE_URL"))) as database:
        assert one(
            database,
            "SELECT current_user::text, rolsuper, rolbypassrls, rolcreatedb,"
            " rolcreaterole FROM pg_roles WHERE rolname = current_user",
        ) == ("dtq", False, False, True, True)
        assert one(database, "SHOW listen_addresses") == ("",)
        assert one(database, "SHOW fsync") == ("on",)
    assert redis.Redis.from_url(common.url("BROKER_URL")).ping()


def test_what_opens_a_stack_is_private(common: RunningStack) -> None:
    for name in ("stack.env", "secret_key", "stack.lock", "valkey/valkey.conf"):
        assert (common.directory / name).stat().st_mode & 0o777 == 0o600, name
    with pytest.raises(redis.AuthenticationError):
        redis.Redis.from_url(
            "redis://" + common.url("REDIS_URL").partition("@")[2]
        ).ping()


def test_a_second_stack_on_the_directory_is_refused_in_one_line(
    common: RunningStack,
) -> None:
    second = RunningStack(common.directory)
    assert second.process.wait(DEADLINE_SECONDS) == 1
    assert second.lines() == [
        f"a stack already runs on {common.directory} (pid {common.process.pid}): "
        "stop it, or choose another --data"
    ]
    assert can_connect(common.url("DATABASE_URL"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing_but_the_data(
    start: Callable[[], RunningStack], directory: Path, number: signal.Signals
) -> None:
    stack = start()
    leave_data(stack)
    secret = stack.url("SECRET_KEY")
    sockets = stack.url("DATABASE_URL").partition("host=")[2].partition("&")[0]
    assert left_running(directory)
    stack.process.send_signal(number)
    stack.process.send_signal(number)
    assert stack.process.wait(DEADLINE_SECONDS) == 0
    # The one that ignores the signal; who was asked to end and did is not named.
    assert stack.lines()[-1] == "worker       killed: did not end within 0.3 s"
    assert stack.lines()[-2].startswith("ready ")
    assert left_running(directory) == []
    assert not (directory / "stack.env").exists()
    assert not Path(sockets).exists()
    again = start()
    assert_data(again)
    assert again.url("SECRET_KEY") == secret


def test_a_start_after_a_kill_stops_the_orphans_and_keeps_the_data(
    start: Callable[[], RunningStack], directory: Path
) -> None:
    killed = start()
    leave_data(killed)
    # Ignores the signal that the kernel sends when its parent dies.
    worker = psutil.Process(killed.pid("worker"))
    server = psutil.Process(postmaster(directory))
    server.suspend()
    killed.process.kill()
    killed.process.wait()
    assert not has_ended(worker)
    assert not has_ended(server)
    server.resume()
    assert_data(start())
    assert has_ended(worker)
    assert has_ended(server)


def test_parts_that_die_come_back_at_the_same_address(
    start: Callable[[], RunningStack], directory: Path
) -> None:
    stack = start()
    leave_data(stack)
    web = psutil.Process(stack.pid("web"))
    server = postmaster(directory)
    cache = redis.Redis.from_url(stack.url("REDIS_URL"))
    first_life = cache.info("server")["run_id"]
    for pid in (web.pid, server, cache.info("server")["process_id"]):
        os.kill(pid, signal.SIGKILL)
    until(lambda: answers(stack.port))
    until(lambda: postmaster(directory) not in (0, server))
    until(lambda: run_id(cache) not in ("", first_life))
    until(lambda: can_connect(stack.url("DATABASE_URL")))
    assert_data(stack)
    deaths = [line.split()[0] for line in stack.lines() if " died, restart" in line]
    assert sorted(deaths) == ["postgresql", "valkey", "web"]


def test_a_taken_port_is_named_before_anything_starts(directory: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = subprocess.run(
            [sys.executable, "manage.py", "stack", "--port", str(port)],
            env={**os.environ, "STACK_DATA": str(directory)},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=False,
        )
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr == (
        f"CommandError: port {port} on 127.0.0.1 cannot be used "
        "(Address already in use): free it, or choose another --port\n"
    )
    assert not (directory / "postgres").exists()
    assert not (directory / "log").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["exit('no such table')"], "migrate failed: no such table"),
        (["", "exit('bad wsgi')"], "the web process did not become ready: bad wsgi"),
    ],
)
def test_a_failed_start_says_why_and_leaves_nothing(
    directory: Path, arguments: list[str], message: str
) -> None:
    stack = RunningStack(directory, *arguments)
    assert stack.process.wait(DEADLINE_SECONDS) == 1
    assert stack.lines()[-1].startswith(message)
    assert left_running(directory) == []


def starts(url: str) -> int:
    """Count the calls of this function on one database."""
    with closing(psycopg2.connect(url)) as database, database.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS starts (at timestamptz)")
        cursor.execute("INSERT INTO starts VALUES (now())")
        database.commit()
        cursor.execute("SELECT count(*) FROM starts")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def leave_data(stack: RunningStack) -> None:
    """Write a row and a message that a later start has to find."""
    assert starts(stack.url("DATABASE_URL")) == 1
    broker = redis.Redis.from_url(stack.url("BROKER_URL"))
    broker.rpush("queue", "message")
    # A kill loses at most the last second of Valkey; wait for it to be on disk.
    until(lambda: broker.execute_command("WAITAOF", 1, 0, 1000)[0] == 1)


def assert_data(stack: RunningStack) -> None:
    """Check that what leave_data wrote is still there."""
    assert starts(stack.url("DATABASE_URL")) == 2
    broker = redis.Redis.from_url(stack.url("BROKER_URL"))
    assert broker.lrange("queue", 0, -1) == [b"message"]


def stack_directory() -> Iterator[Path]:
    """Yield a path to start a stack on, and clear it of processes and files."""
    parent = Path(tempfile.mkdtemp(prefix="stack-test-"))
    parent.chmod(0o711)
    yield parent / "data"
    stop_processes(left_running(parent), patience=5, with_signal=signal.SIGKILL)
    shutil.rmtree(parent)


def one(database: psycopg2.extensions.connection, query: str) -> tuple[object, ...]:
    """Return the one row of a query."""
    with database.cursor() as cursor:
        cursor.execute(query)
        row = cursor.fetchone()
    assert row is not None
    return row


def left_running(directory: Path) -> list[psutil.Process]:
    """Return every process that serves the directory, by mark or by working folder."""
    return [process for process in psutil.process_iter() if _serves(process, directory)]


def _serves(process: psutil.Process, directory: Path) -> bool:
    try:
        owner = process.environ().get(OWNER_VARIABLE, "")
        return str(directory) in owner or str(directory) in process.cwd()
    except (psutil.Error, OSError):
        return False


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended, be it still uncollected."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def postmaster(directory: Path) -> int:
    """Return the pid in PostgreSQL's lock, 0 while there is none."""
    lock = directory / "postgres" / "postmaster.pid"
    text = lock.read_text() if lock.exists() else ""
    return int(text.split()[0]) if text else 0


def run_id(cache: redis.Redis) -> str:
    """Return which life of the server this is, empty while it is down."""
    try:
        return str(cache.info("server")["run_id"])
    except redis.ConnectionError:
        return ""


def can_connect(url: str) -> bool:
    """Return whether the database lets us in."""
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def answers(port: int) -> bool:
    """Return whether something listens on the port."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
