"""What a new user types first: `make demo`, `make up`, and the call it prints."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO
from urllib.request import Request, urlopen

import pytest

from taskqueue_site.demo_sources import FILES
from tests.acceptance.product import (
    FINAL,
    ROOT,
    Product,
    own_environment,
    wait_for,
)
from tests.services.process import free_port


def processes_using(folder: Path) -> list[str]:
    """Return the command lines of processes that name a folder, or run inside it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            inside = (entry / "cwd").resolve().is_relative_to(folder)
        except OSError:
            continue
        if str(folder) in command or inside:
            found.append(command)
    return found


def test_the_demonstration_runs_ends_and_leaves_nothing(tmp_path: Path):
    data = tmp_path / "data"
    command = ["manage.py", "demo", "--once", "--port", str(free_port())]
    done = subprocess.run(
        [sys.executable, *command, "--data", str(data)],
        cwd=ROOT,
        env=own_environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(
        r"^(aurora|borealis|cascade) +(\S+)(?: \(20 files\))? +"
        r"(\d+) +(\d+) +(\d+) +(\d+) +(\d+) ",
        done.stdout,
        re.MULTILINE,
    )
    assert len(rows) == 9
    for _, _, total, *parts in rows:
        assert int(total) == sum(map(int, parts)) > 0
    shares = re.findall(r"(\d+\.\d)% \((14\.3|28\.6|57\.1)%\)", done.stdout)
    assert sum(float(received) for received, _ in shares) == pytest.approx(100, abs=0.2)
    rejects = re.findall(r"^\w+ +(/\S+/rejects/\S+\.csv)$", done.stdout, re.MULTILINE)
    assert len(rejects) == 9
    for file in rejects:
        assert Path(file).read_text().startswith("line,column,reason,value\n")
    check_the_sources(done.stdout)
    check_the_reconciliation(done.stdout)
    check_the_progress(done.stdout)
    assert processes_using(data) == []


def check_the_progress(output: str) -> None:
    """See that no line of progress only says again what the one before said."""
    lines = [line for line in output.splitlines() if line.endswith("%")]
    assert any("aurora" in line for line in lines)
    assert any("100%" in line for line in lines)
    assert not [line for line, after in pairwise(lines) if line == after]


def check_the_sources(output: str) -> None:
    """Look at the line of each source's good and bad file."""
    head = "A good and a bad file of each source"
    lines = re.findall(
        r"^(\w+\.\w+) +([A-Z]\w+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)(?: +(.+))?$",
        output.partition(head)[2].partition("A day of echo's ledger")[0],
        re.MULTILINE,
    )
    found = {name: (source, *map(int, n), why) for name, source, *n, why in lines}
    for source, good, bad in FILES:
        name, read, inserted, *others, why = found.pop(good)
        assert (name, inserted, others, why) == (source, read, [0, 0, 0], "")
        assert read > 0
        name, read, inserted, *others, why = found.pop(bad)
        assert name == source
        if why.startswith("quarantine: line "):
            assert [inserted, *others] == [0, 0, 0, 0]
            assert read > 0
        else:
            assert read == inserted + sum(others)
            assert re.fullmatch(r"line \d+ \S+ [a-z_]+", why)
            assert others[-1] > 0
    assert found == {}


def check_the_reconciliation(output: str) -> None:
    """Look at what the run over the samples' day told."""
    told = output.partition("A day of echo's ledger")[2]
    assert (
        "41 rows: 11 pairs plainly match, rules match 5 more rows and suggest a match "
        "of 2, 12 are left."
    ) in told
    lines = re.findall(r"^([a-z_]+) +(\d+) +([\d,.]+)  (.+)$", told, re.MULTILINE)
    assert [(kind, int(number), amount) for kind, number, amount, _ in lines] == [
        ("amount", 1, "287,212.73"),
        ("duplicate", 1, "181.78"),
        ("fee", 1, "7,996.35"),
        ("missing_external", 1, "95.00"),
        ("missing_internal", 1, "80,910.38"),
        ("stale_pending", 1, "3.64"),
        ("status", 1, "239,292.11"),
    ]
    assert lines[2][3] == "7996.35 here, 7993.99 there: 2.36 INR apart"
    assert re.search(r"/admin/reconciliation/run/\d+/change/$", told, re.MULTILINE)
    assert "/admin/reconciliation/reconciliation/?tenant__slug__exact=echo" in told


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one user, who starts the product again and again."""
    return tmp_path_factory.mktemp("user") / "data"


@contextmanager
def up(data: Path) -> Iterator[subprocess.Popen[str]]:
    """Run `make up` in a group of its own, as a terminal does."""
    command = [sys.executable, "manage.py", "up", "--port", str(free_port())]
    with subprocess.Popen(
        [*command, "--data", str(data)],
        cwd=ROOT,
        env=own_environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        yield process


def test_the_printed_call_works_as_it_is(data: Path):
    with up(data) as process:
        try:
            call = printed_call(process.stdout)
            url, key, body = call[2], call[4].rpartition(" ")[2], call[8]
            answer = post(url, key, body)
            assert answer[0] == 202
            product = Product(data)
            product.port = int(url.split(":")[2].partition("/")[0])
            job = product.wait_for_end(key, answer[1]["id"])
            assert job["state"] in FINAL
            assert job["result"]["inserted"] == 1988
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert process.returncode == 0
    assert processes_using(data) == []


# SIGTERM is how every test here ends its product.
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_no_way_to_end_it_leaves_the_stack_behind(data: Path, number: int):
    with up(data) as process:
        printed_call(process.stdout)
        assert processes_using(data) != []
        # To the whole group, as a terminal that closes sends it.
        os.killpg(process.pid, number)
        process.communicate(timeout=60)
    wait_for(lambda: processes_using(data) == [], 60)


def printed_call(output: IO[str] | None) -> list[str]:
    """Read until the curl call is complete; returns its words."""
    assert output is not None
    deadline = time.monotonic() + 120
    lines: list[str] = []
    for line in output:
        assert time.monotonic() < deadline
        if line.startswith("curl") or lines:
            lines.append(line.rstrip("\n"))
        if lines and not lines[-1].endswith("\\"):
            break
    # shlex knows quotes, but not that a backslash joins two lines.
    return shlex.split(" ".join(line.rstrip("\\") for line in lines))


def post(url: str, key: str, body: str) -> tuple[int, dict[str, str]]:
    """Send the call as curl would."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    with urlopen(Request(url, body.encode(), headers), timeout=30) as response:
        return response.status, json.load(response)
