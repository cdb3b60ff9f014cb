"""`manage.py worker`: a worker of a pool reports it, with its slots, while it lives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Worker
from taskqueue_site.pools import live_slots
from tenants.scoping import all_tenants
from tests.acceptance.product import wait_for
from tests.integration.web import ROOT, database_url


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pool", "a b"], "'a b' is not the name of a pool. Use 1 to 63"),
        (["--pool", ""], "not the name of a pool"),
        (["--concurrency", "0"], "not a whole number from 1 to 1024"),
        (["--concurrency", "1025"], "not a whole number from 1 to 1024"),
        (["--concurrency", "-1"], "not a whole number from 1 to 1024"),
        (["--pool", "x", "--maintenance"], "not allowed with"),
    ],
)
def test_a_bad_pool_or_number_of_slots_is_refused(words: list[str], told: str):
    with pytest.raises(CommandError, match=told):
        call_command("worker", *words)


@pytest.mark.django_db(transaction=True)
def test_a_worker_of_a_pool_reports_its_slots_until_it_leaves(
    tmp_path: Path, redis_url: str
):
    values = {
        "DATABASE_URL": database_url(),
        "BROKER_URL": redis_url,
        "REDIS_URL": redis_url,
        "STACK_DATA": str(tmp_path),
    }
    command = ["manage.py", "worker", "--pool", "reports", "--concurrency", "3"]
    with (
        (tmp_path / "worker.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **values},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            wait_for(lambda: "reports" in _slots(), 60)
            assert _slots() == {"reports": 3}
            # One that is told to leave while it starts leaves its row to go stale.
            wait_for(lambda: b" ready." in (tmp_path / "worker.log").read_bytes(), 60)
        finally:
            process.terminate()
        assert process.wait(timeout=60) == 0
    with all_tenants(reason="test"):
        assert list(Worker.objects.values_list("name", "pool", "slots")) == []


def _slots() -> dict[str, int]:
    with all_tenants(reason="test"):
        return live_slots()
