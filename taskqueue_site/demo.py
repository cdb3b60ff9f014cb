"""The demonstration: three tenants of different weight, real files, the real API.

What it knows of the jobs it knows over HTTP, as a producer would.
"""

import json
import random
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from ingestion.storage import object_key, store
from quotas.services import tenant_create
from samples.generate import Writer
from tenants.models import ApiKey, Tenant
from tenants.scoping import all_tenants
from tenants.services import api_key_create

FINAL_STATES = {"succeeded", "dead", "cancelled"}
WEIGHTS = {"aurora": Decimal(1), "borealis": Decimal(2), "cascade": Decimal(4)}
SAMPLES = ("upi_sample.csv", "upi_bad_rows.csv")
GENERATED_FILES = 20
GENERATED_ROWS = 2500


@dataclass(frozen=True, slots=True)
class Producer:
    """A tenant's side of the demonstration."""

    tenant: str
    weight: Decimal
    key: str
    base_url: str
    job_ids: list[str] = field(default_factory=list)

    def call(self, path: str, body: Any = None) -> Any:
        """Send a request with the tenant's key; returns the JSON answer."""
        return json.loads(self.text(path, body))

    def text(self, path: str, body: Any = None) -> str:
        """Send a request with the tenant's key; returns the answer as it is."""
        data = None if body is None else json.dumps(body).encode()
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
        }
        request = Request(self.base_url + path, data, headers)  # noqa: S310 - ours
        with urlopen(request, timeout=30) as response:  # noqa: S310
            return str(response.read(), "utf-8")

    def enqueue(self, path: str, source: str = "UPI") -> None:
        """Ask for a file to be loaded."""
        self.order("ingest", s3_path=path, source=source)

    def order(self, kind: str, **payload: Any) -> None:
        """Ask for a job of this kind."""
        body = {"tenant_id": self.tenant, **payload}
        self.job_ids.append(self.call(f"/enqueue/{kind}", body)["id"])

    def jobs(self, newest: int | None = None) -> list[Any]:
        """Return this run's jobs, or its newest, in the order they were enqueued."""
        found = self.call(f"/jobs?limit={newest or len(self.job_ids)}")["results"]
        return sorted(found, key=lambda job: job["id"])


def prepare(
    weights: Mapping[str, Decimal], *, now: datetime, base_url: str
) -> list[Producer]:
    """Create the tenants and a key for each; keys of an earlier run are revoked."""
    producers = []
    with all_tenants(reason="demonstration"):
        for slug, weight in weights.items():
            if not Tenant.objects.filter(slug=slug).exists():
                tenant_create(slug=slug, weight=weight)
            ApiKey.objects.filter(tenant_id=slug, name="demo", revoked_at=None).update(
                revoked_at=now
            )
            _, key = api_key_create(slug=slug, name="demo", now=now)
            producers.append(Producer(slug, weight, key, base_url))
    return producers


def upload(producers: Sequence[Producer], samples: Path, *, seed: int) -> list[str]:
    """Put each tenant's files into the store; returns their paths, alike for all."""
    names = [*SAMPLES]
    for producer in producers:
        for name in SAMPLES:
            with (samples / name).open("rb") as content:
                store().write(object_key(producer.tenant, name), content)
    for number in range(1, GENERATED_FILES + 1):
        names.append(f"days/{number:02}.csv")
        for producer in producers:
            bad_every = 500 if number == 1 else 0
            _upload_generated(producer, names[-1], seed + number, bad_every)
    return names


def _upload_generated(producer: Producer, name: str, seed: int, bad_every: int) -> None:
    with tempfile.TemporaryFile() as file:
        lines = Writer(seed).file(GENERATED_ROWS, bad_every, repeat_every=400)
        file.writelines(lines)
        file.seek(0)
        store().write(object_key(producer.tenant, name), file)


def enqueue(producers: Sequence[Producer], paths: Sequence[str]) -> None:
    """Enqueue every file, the tenants taking turns."""
    for path in paths:
        for producer in producers:
            producer.enqueue(path)


def watch(
    producers: Sequence[Producer],
    show: Callable[[str], None],
    *,
    newest: int | None = None,
    seconds: float = 120,
) -> dict[str, list[Any]]:
    """Show progress until every job is final; returns the jobs of each tenant.

    With `newest`, only so many jobs of each tenant are looked at. What has not changed
    is not shown again: a log would have a line for each look.
    """
    deadline, shown = time.monotonic() + seconds, ""
    while True:
        jobs = {producer.tenant: producer.jobs(newest) for producer in producers}
        text = "   ".join(_progress(tenant, own) for tenant, own in jobs.items())
        if text != shown:
            show(text)
            shown = text
        if all(job["state"] in FINAL_STATES for own in jobs.values() for job in own):
            return jobs
        if time.monotonic() > deadline:
            raise TimeoutError("The jobs did not end in time; look at the admin.")
        time.sleep(0.4)


def _progress(tenant: str, jobs: Sequence[Any]) -> str:
    done = sum(_share_done(job) for job in jobs) / len(jobs)
    # Three of them fit into a line of 80: what wraps is not written over.
    bar = "#" * round(done * 8)
    return f"{tenant:<9}[{bar:<8}] {done:4.0%}"


def _share_done(job: Any) -> float:
    if job["state"] in FINAL_STATES:
        return 1.0
    done, total = job["progress"]["done"], job["progress"]["total"]
    return float(done) / total if total else 0.0


def new_seed() -> int:
    """Return a seed whose files hold ids that no earlier run had."""
    return random.SystemRandom().randrange(10**6, 10**9)
