"""Make the pictures of the README and the docs again:

    python -m tests.acceptance.screenshots

Starts the product on its embedded default in a folder of its own, puts it to work, and
writes docs/images/{dashboard,fair_share_page,jobs,job,preview}.png, and those of
reconciliation: {reconciliation,run,mismatches,schedule}.png. CHROMIUM names the
browser (default: chromium on PATH).
"""

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import django

from tests.acceptance.browser import signed_in
from tests.acceptance.product import ROOT, Product

IMAGES = ROOT / "docs" / "images"
#: Weight, number of jobs and seconds of each, by tenant.
FLOOD = {
    "aurora": (1, 60, 0.9),
    "borealis": (2, 300, 0.25),
    "cascade": (4, 90, 1.2),
}
SAMPLE = "upi_sample.csv"


def main() -> None:
    """Run, look, and stop."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
    django.setup()
    # It knows models, so it comes after the settings.
    from tests.acceptance import reconciliation_pictures

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or ""
    with tempfile.TemporaryDirectory() as folder:
        product = Product(Path(folder) / "data", SYNTHETIC_KINDS="1")
        product.start(concurrency=4)
        try:
            keys = _flood(product)
            time.sleep(40)
            _add_urgent(product, keys)
            time.sleep(4)
            with signed_in(chromium, product) as (page, errors):
                _take(page, product)
                reconciliation_pictures.prepare(product, Path(folder))
                reconciliation_pictures.take(page, product, IMAGES)
            print("\n".join(errors) or "no errors in the console")
        finally:
            product.stop()


def _flood(product: Product) -> dict[str, str]:
    """Enqueue more than the workers can do, by turns, and some that fail.

    Returns the tenants' keys.
    """
    keys = {
        tenant: product.create_tenant(tenant, weight=weight)
        for tenant, (weight, _, _) in FLOOD.items()
    }
    for tenant, key in keys.items():
        product.manage("upload", tenant, ROOT / "samples" / SAMPLE)
        product.enqueue_ingest(key, tenant, SAMPLE)
        product.enqueue_ingest(key, tenant, "days/21.csv")
        for fail in ("permanent", "retryable"):
            _sleep(product, key, tenant, seconds=0.1, fail=fail)
    for number in range(max(jobs for _, jobs, _ in FLOOD.values())):
        for tenant, (_, jobs, seconds) in FLOOD.items():
            if number < jobs:
                _sleep(product, keys[tenant], tenant, seconds=seconds)
    return keys


def _add_urgent(product: Product, keys: dict[str, str]) -> None:
    """Enqueue jobs that overtake their own tenant's: the list then shows all states."""
    for tenant, key in keys.items():
        _sleep(product, key, tenant, seconds=1.5, priority="high")
        _sleep(product, key, tenant, seconds=0.1, priority="urgent", fail="permanent")
        _sleep(product, key, tenant, seconds=0.2, priority="urgent")
        product.enqueue_ingest(key, tenant, SAMPLE)


def _sleep(product: Product, key: str, tenant: str, **payload: Any) -> None:
    body = {"tenant_id": tenant, "steps": 4, **payload}
    product.call(key, "/enqueue/sleep", body)


def _take(page: Any, product: Product) -> None:
    admin = f"http://127.0.0.1:{product.port}/admin/"
    IMAGES.mkdir(parents=True, exist_ok=True)
    (job_id,) = product.query(
        "SELECT job_id FROM ingestion_ingestedfile ORDER BY id LIMIT 1"
    )[0]
    for name, url in (
        ("dashboard", admin),
        ("fair_share_page", f"{admin}fair-share/?window=1"),
        ("jobs", f"{admin}jobs/job/"),
        ("job", f"{admin}jobs/job/{job_id}/change/"),
    ):
        page.goto(url)
        page.wait_for_timeout(800)
        page.screenshot(path=IMAGES / f"{name}.png")
    page.goto(f"{admin}tenants/tenant/borealis/change/")
    page.fill("input[name=quota-0-weight]", "8")
    page.click("button[name=_preview]")
    page.wait_for_selector("[data-testid=preview]")
    page.screenshot(path=IMAGES / "preview.png")


if __name__ == "__main__":
    main()
