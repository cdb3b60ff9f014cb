"""`kill -9` in the middle of a large file: it ends once, with exactly its rows."""

import os
import signal
from typing import Any

import pytest

from tests.acceptance.conftest import LargeFile
from tests.acceptance.product import Product, children, wait_for


def kill_child(product: Product) -> None:
    """Kill the pool process that works on the file: the one that used most CPU."""
    pool = children(product.pid("worker"))
    os.kill(max(pool, key=_cpu_ticks), signal.SIGKILL)


def kill_worker(product: Product) -> None:
    os.kill(product.pid("worker"), signal.SIGKILL)


def kill_dispatcher(product: Product) -> None:
    os.kill(product.pid("dispatcher"), signal.SIGKILL)


def _cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def wait_until_done(product: Product, key: str, job_id: str, share: float) -> None:
    """Wait until so much of the file is loaded."""

    def is_done() -> bool:
        progress = product.call(key, f"/jobs/{job_id}")[1]["progress"]
        return bool(progress["done"] > share * (progress["total"] or 10**12))

    wait_for(is_done, 120)


def check_exactly_once(
    product: Product, tenant: str, job: Any, file: LargeFile
) -> None:
    """Every count, row, reject and billed unit is as if nothing had happened."""
    assert job["state"] == "succeeded", job
    assert {name: job["result"][name] for name in file.counts} == file.counts
    assert [a["outcome"] for a in job["attempts"]].count("succeeded") == 1
    stored = product.query(
        "SELECT count(*), count(DISTINCT txn_id) FROM fintech_transactions "
        "WHERE tenant_id = %s",
        tenant,
    )
    assert stored == [(file.counts["inserted"],) * 2]
    rejects = product.query(
        'SELECT line, "column", reason FROM ingestion_keptoutrow '
        "WHERE tenant_id = %s AND why = 'rejected' ORDER BY line",
        tenant,
    )
    assert [list(reject) for reject in rejects] == file.truth["rejects"]
    used = product.query(
        "SELECT meter, sum(quantity) FROM usage_events "
        "WHERE job_id = %s AND meter <> 'worker_us' GROUP BY meter",
        job["id"],
    )
    assert dict(used) == {
        "rows": file.counts["rows"],
        "bytes": file.path.stat().st_size,
        "jobs": 1,
    }
    billed, settled = product.query(
        "SELECT (SELECT sum(quantity) FROM usage_events "
        "        WHERE job_id = %(job)s AND meter = 'worker_us'), "
        "       (SELECT sum(settled_us) FROM jobs_attempt "
        "        WHERE job_id = %(job)s AND is_billable)".replace("%(job)s", "%s"),
        job["id"],
        job["id"],
    )[0]
    assert billed == settled > 0


@pytest.mark.parametrize(
    ("tenant", "kill", "lost"),
    [
        ("child", kill_child, 1),
        ("worker", kill_worker, 1),
        ("dispatcher", kill_dispatcher, 0),
    ],
)
def test_the_file_survives_on_the_embedded_default(
    embedded: Product, large_file: LargeFile, tenant: str, kill: Any, lost: int
):
    key = embedded.create_tenant(tenant)
    embedded.manage("upload", tenant, large_file.path)
    job_id = embedded.enqueue_ingest(key, tenant, "large.csv")
    wait_until_done(embedded, key, job_id, 0.2)
    kill(embedded)
    job = embedded.wait_for_end(key, job_id)
    check_exactly_once(embedded, tenant, job, large_file)
    # Without a dispatcher nobody knows whether others wait, so a load may yield.
    outcomes = [attempt["outcome"] for attempt in job["attempts"]]
    ends = [outcome for outcome in outcomes if outcome != "yielded"]
    assert ends == ["lost"] * lost + ["succeeded"]


def test_the_file_survives_all_three_on_rabbitmq_and_s3(
    on_services: Product, large_file: LargeFile
):
    key = on_services.create_tenant("t1")
    on_services.manage("upload", "t1", large_file.path)
    job_id = on_services.enqueue_ingest(key, "t1", "large.csv")
    for share, kill in ((0.15, kill_child), (0.4, kill_dispatcher), (0.6, kill_worker)):
        wait_until_done(on_services, key, job_id, share)
        kill(on_services)
    job = on_services.wait_for_end(key, job_id)
    check_exactly_once(on_services, "t1", job, large_file)
