"""A stop in the middle of a load: nothing is spent, and nothing is done twice.

By default SIGTERM to a stack on its embedded servers. `STOPS=all` takes every way to
stop, a larger file, and the servers of production too; nothing else may use their
queues meanwhile.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import psutil
import pytest

from tests.acceptance import stopping
from tests.acceptance.conftest import QUICK, SLOTS, generate
from tests.acceptance.product import Product, wait_for
from tests.acceptance.stopping import Load
from tests.acceptance.test_kills import check_exactly_once

IS_LONG = os.environ.get("STOPS") == "all"
SERVERS = ["embedded", "own_servers"] if IS_LONG else ["embedded"]


@dataclass(frozen=True)
class Way:
    """A way to stop the stack, or its worker alone."""

    name: str
    send: Callable[[int, int], None]
    numbers: list[int]
    of_worker: bool = False

    def stop(self, product: Product) -> None:
        """Stop it, and wait for its end."""
        stack = product.process
        assert stack is not None
        pid = product.pid("worker") if self.of_worker else stack.pid
        for number in self.numbers:
            self.send(pid, number)
            time.sleep(0.2)
        if self.of_worker:
            wait_for(lambda: not _runs(pid), 60)
            return
        assert stack.wait(timeout=60) == 0
        assert "killed" not in product.said()
        assert stopping.left_running(product) == []


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


TERM, INT = signal.SIGTERM, signal.SIGINT
WAYS = [
    Way("SIGTERM", os.kill, [TERM]),
    Way("SIGTERM twice", os.kill, [TERM, TERM]),
    Way("Ctrl-C", os.killpg, [INT]),
    Way("Ctrl-C twice", os.killpg, [INT, INT]),
    Way("SIGTERM of the worker", os.kill, [TERM], of_worker=True),
    Way("SIGTERM of its group", os.killpg, [TERM], of_worker=True),
    Way("Ctrl-C twice of the worker", os.killpg, [INT, INT], of_worker=True),
]


@pytest.fixture(params=SERVERS)
def product(request: pytest.FixtureRequest) -> Iterator[Product]:
    """The product that all tests share, or one that leads a group of processes."""
    if not IS_LONG:
        yield request.getfixturevalue(request.param)
        return
    own = request.param != "embedded"
    servers = request.getfixturevalue(request.param) if own else {}
    folder = request.getfixturevalue("tmp_path_factory").mktemp("stopping")
    product = Product(folder / "data", **QUICK, **servers)
    product.start(concurrency=SLOTS, in_group=True)
    yield product
    if product.is_running:
        assert product.stop() == 0


@pytest.mark.parametrize("way", WAYS if IS_LONG else WAYS[:1], ids=lambda way: way.name)
def test_a_stop_in_the_middle_of_a_load_spends_and_repeats_nothing(
    product: Product, tmp_path: Path, way: Way, capsys: pytest.CaptureFixture[str]
):
    file = generate(tmp_path, rows=200_000)
    load = stopping.begin(product, file)
    before, began = load.in_flight(), time.monotonic()
    way.stop(product)
    seconds = time.monotonic() - began
    with stopping.database_of(product):
        stopping.check_nothing_is_spent(load)
        stopping.check_rows_end_at_the_checkpoint(load)
        given_back = stopping.given_back(load)
    with capsys.disabled():
        print(
            f"\n{way.name}: {seconds:.2f} s to the end, in flight {before}, "
            f"given back {given_back}"
        )
    # Something of each sort was in the way of the stop.
    assert given_back["long"] == 2
    if not product.is_running:
        product.start(concurrency=SLOTS, in_group=IS_LONG)
    check_it_ends_as_if_undisturbed(load)


def check_it_ends_as_if_undisturbed(load: Load) -> None:
    """Every job succeeds, and the file has the counts, rows and usage of one run.

    Rows that were loaded twice would be counted as duplicates, and chunks that were
    begun anew would end elsewhere.
    """
    wait_for(load.is_done, 180)
    stopping.check_nothing_is_spent(load)
    job = load.product.wait_for_end(load.keys["files"], load.file_job)
    check_exactly_once(load.product, "files", job, load.file)
    rows = load.file.counts["rows"]
    chunks = ceil(rows / stopping.CHUNK_ROWS)
    size = load.file.path.stat().st_size
    assert stopping.used(load) == {"rows": (chunks, rows), "bytes": (chunks, size)}
