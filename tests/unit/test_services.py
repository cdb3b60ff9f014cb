"""What the service runner decides, without any of the services."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from taskqueue_site import embedded_rabbitmq
from taskqueue_site.processes import ServiceError
from tests.services import chromium, debian, rabbitmq
from tests.services.process import running
from tests.services.redis import with_test_database
from tests.services.service import Wish

MISSING = (chromium, rabbitmq)


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with nothing installed, on which nothing may be installed."""
    monkeypatch.setattr(debian, "may_install", lambda: False)
    monkeypatch.setattr(embedded_rabbitmq, "FOLDERS", ())


def wish(scratch: Path, **environ: str) -> Wish:
    return Wish(environ=environ, scratch=scratch, private=True)


def program(folder: Path, name: str) -> Path:
    file = folder / name
    file.write_text("#!/bin/sh\n")
    file.chmod(0o755)
    return file


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.services", "run", *arguments],
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379/9"),
        ("redis://127.0.0.1:6379/", "redis://127.0.0.1:6379/9"),
        ("rediss://:pass@host:1/0?ssl=1", "rediss://:pass@host:1/9?ssl=1"),
        ("redis://127.0.0.1:6379/3", "redis://127.0.0.1:6379/3"),
    ],
)
def test_redis_database_zero_is_never_used(given: str, used: str) -> None:
    assert with_test_database(given) == used


@pytest.mark.usefixtures("bare_machine")
@pytest.mark.parametrize("finder", MISSING)
def test_what_cannot_be_had_is_said_in_one_line(finder, tmp_path: Path) -> None:
    with (
        pytest.raises(ServiceError) as error,
        finder.provide(wish(tmp_path, PATH=str(tmp_path))),
    ):
        pass
    assert str(error.value) == finder.HOW_TO_GET
    assert "\n" not in finder.HOW_TO_GET


def test_chromium_goes_by_any_of_its_names(tmp_path: Path) -> None:
    file = program(tmp_path, "google-chrome")
    with chromium.provide(wish(tmp_path, PATH=str(tmp_path))) as service:
        assert service.environment == {"CHROMIUM": str(file)}


def test_the_command_gets_the_environment_and_keeps_its_exit_code(
    tmp_path: Path,
) -> None:
    file = program(tmp_path, "browser")
    command = ("sh", "-c", 'echo "$CHROMIUM"; exit 7')
    done = run("--only", "chromium", "--", *command, CHROMIUM=str(file))
    assert done.returncode == 7
    assert done.stdout.splitlines() == [f"chromium    given    {file}", str(file)]


def test_a_missing_service_is_one_line_and_exit_code_1() -> None:
    done = run("--only", "chromium", "--", "echo", "never", CHROMIUM="/nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "CHROMIUM=/nowhere is not a program\n"


def test_a_server_is_gone_with_all_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 1000 & echo $! $$ >{pids.name}; wait"

    def ready() -> bool:
        return pids.exists() and len(pids.read_text().split()) == 2

    with running(["sh", "-c", script], folder=tmp_path, ready=ready):
        started = [int(pid) for pid in pids.read_text().split()]
        assert all(map(psutil.pid_exists, started))
    deadline = time.monotonic() + 10
    while any(map(psutil.pid_exists, started)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(psutil.pid_exists, started))


def test_a_server_that_ends_is_reported_with_its_last_line(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo the port is taken; exit 1"]
    with (
        pytest.raises(ServiceError, match="sh did not start: the port is taken"),
        running(command, folder=tmp_path, ready=lambda: False),
    ):
        pass
