"""The short form of `manage.py chaos`: six faults under load, and the verdict."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from taskqueue_site.processes import OWNER_VARIABLE
from tests.acceptance.conftest import QUICK
from tests.acceptance.product import ROOT, own_environment, wait_for
from tests.services import rabbitmq
from tests.services.service import Wish

SIX = (
    "worker-kill-9",
    "child-kill",
    "broker-restart",
    "pg-crash",
    "redis-flush",
    "dispatcher-kill",
)


def command(*options: object) -> list[str]:
    return [sys.executable, "manage.py", "chaos", *(str(each) for each in options)]


def own_processes(folder: str) -> list[psutil.Process]:
    """The processes that belong to a run in this folder."""
    found = []
    for process in psutil.process_iter():
        try:
            owner = process.environ().get(OWNER_VARIABLE, "")
        except (psutil.Error, OSError):
            continue
        if owner.startswith(folder):
            found.append(process)
    return found


@pytest.fixture
def environ() -> dict[str, str]:
    return {**own_environment(), **QUICK}


def test_six_faults_lose_nothing_and_double_nothing(
    environ: dict[str, str], tmp_path: Path
):
    rabbitmq.installed(Wish(environ=environ, scratch=tmp_path))
    told = tmp_path / "report.json"
    options = ["--minutes", 0.6, "--seed", 3, "--rate", 3, "--faults", ",".join(SIX)]
    done = subprocess.run(
        command(*options, "--json", told),
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr
    found: dict[str, Any] = json.loads(told.read_text())
    assert set(found["faults"]) == set(SIX)
    assert found["kills"] >= len(SIX) - 1
    assert found["accepted"] > 50
    assert found["accepted"] == sum(
        found[state] for state in ("succeeded", "dead", "cancelled")
    )
    assert (found["lost"], found["dup_effect"], found["stuck"]) == (0, 0, 0)
    assert found["units_billed"] == found["units_true"]
    assert all(found["units_true"].values())
    assert found["findings"] == []
    folder = done.stdout.partition(" in ")[2].partition("\n")[0]
    assert not Path(folder).exists()
    assert own_processes(folder) == []


def test_ctrl_c_leaves_nothing_behind(environ: dict[str, str], tmp_path: Path):
    log = tmp_path / "out"
    options = ["--minutes", 1, "--faults", "beat-kill", "--broker", "redis"]
    with log.open("wb") as out:
        run = subprocess.Popen(
            command(*options), cwd=ROOT, env=environ, stdout=out, stderr=out
        )
    wait_for(lambda: "worker-2" in log.read_text(), 120)
    folder = log.read_text().partition(" in ")[2].partition("\n")[0]
    assert own_processes(folder)
    os.kill(run.pid, signal.SIGINT)
    assert run.wait(timeout=60) == 1
    assert "stopped before the verdict" in log.read_text()
    assert not Path(folder).exists()
    assert own_processes(folder) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--faults", "pg-crash,no-such"], "there is no fault no-such"),
        (["--faults", "confirm-drop", "--broker", "redis"], "needs --broker rabbitmq"),
        (["--minutes", "0.2"], "too short"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(
    environ: dict[str, str], options: list[str], said: str
):
    done = subprocess.run(
        command(*options),
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert said in done.stderr.splitlines()[-1]


def test_without_rabbitmq_it_says_how_to_get_it(tmp_path: Path):
    """A program that finds nothing in its folders, as on a machine without RabbitMQ."""
    program = (
        "from pathlib import Path\n"
        "from taskqueue_site import embedded_rabbitmq as module\n"
        "from taskqueue_site.chaos.servers import Servers\n"
        "module.FOLDERS = ()\n"
        f"Servers(Path({str(tmp_path)!r}), broker='rabbitmq', path='')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "apt-get install rabbitmq-server" in done.stderr
    assert "--broker redis" in done.stderr
