"""The producers: they post jobs over HTTP and note what they were told.

They run in a process of their own, on the product's settings, and end on SIGTERM.
"""

import json
import signal
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path
from random import Random
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from ingestion.storage import object_key, store
from quotas.services import tenant_create
from samples.generate import Writer
from taskqueue_site.chaos.journal import Journal
from taskqueue_site.chaos.mix import TENANTS, Order, draw
from tenants.scoping import all_tenants
from tenants.services import api_key_create

_THREADS: Final = 4
_ANSWER_SECONDS: Final = 15.0
_RETRY_SECONDS: Final = 0.5
_BAD_EVERY: Final = 190
_REPEAT_EVERY: Final = 70


def produce(
    journal: Journal, *, base_url: str, seed: int, rate: float, now: datetime
) -> None:
    """Create the tenants, then post `rate` jobs a second until SIGTERM."""
    stop = threading.Event()
    for wish in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wish, lambda *_: stop.set())
    keys = _keys(now)
    api = _api(base_url)
    journal.write("api", **api)
    with ThreadPoolExecutor(_THREADS) as pool:
        for number in range(_THREADS):
            sender = _Sender(f"{seed}-{number}", journal, base_url, keys, stop)
            sender.may_cancel = api["may_cancel"]
            sender.is_idempotent = api["is_idempotent"]
            pool.submit(sender.run, _THREADS / rate)
        stop.wait()


def _keys(now: datetime) -> dict[str, str]:
    keys = {}
    with all_tenants(reason="chaos"):
        for slug, weight in TENANTS.items():
            tenant_create(slug=slug, weight=Decimal(weight))
            _, keys[slug] = api_key_create(slug=slug, name="chaos", now=now)
    return keys


def _api(base_url: str) -> dict[str, bool]:
    """Return what this version of the API can do."""
    address = f"{base_url}/openapi.json"
    with urlopen(address, timeout=_ANSWER_SECONDS) as response:  # noqa: S310 - ours
        text = response.read().decode()
    paths = json.loads(text)["paths"]
    return {
        "may_cancel": any(path.endswith("/cancel") for path in paths),
        "is_idempotent": "Idempotency-Key" in text,
    }


class _Sender:
    """One producer: an order at a time, repeated until it gets an answer."""

    may_cancel = False
    is_idempotent = False

    def __init__(
        self,
        name: str,
        journal: Journal,
        base_url: str,
        keys: Mapping[str, str],
        stop: threading.Event,
    ) -> None:
        self._name = name
        self._journal = journal
        self._base_url = base_url
        self._keys = keys
        self._stop = stop
        self._rng = Random(name)  # noqa: S311 - a seeded load, no secrets

    def run(self, pause: float) -> None:
        """Post an order every `pause` seconds, on average."""
        number = 0
        while not self._stop.wait(self._rng.expovariate(1 / pause)):
            number += 1
            name = f"{self._name}-{number}"
            order = draw(self._rng, name, now=datetime.now(UTC))
            if order.file_rows:
                self._put_file(order)
            job_id = self._post(order, name)
            if job_id and order.cancel_after is not None and self.may_cancel:
                self._stop.wait(order.cancel_after)
                self._cancel(order.tenant, job_id)

    def _put_file(self, order: Order) -> None:
        path = order.body["s3_path"]
        seed = int.from_bytes(path.encode()[-12:])
        writer = Writer(seed)
        with tempfile.TemporaryFile() as file:
            file.writelines(writer.file(order.file_rows, _BAD_EVERY, _REPEAT_EVERY))
            size = file.tell()
            file.seek(0)
            store().write(object_key(order.tenant, path), file)
        truth = writer.truth
        self._journal.write(
            "file",
            tenant=order.tenant,
            path=path,
            truth={
                "rows": truth.rows,
                "bytes": size,
                "inserted": truth.good - truth.same_again - truth.conflicting,
                "conflicting": truth.conflicting,
                "rejected": len(truth.rejects),
            },
        )

    def _post(self, order: Order, key: str) -> str | None:
        """Post until the API takes or refuses the order; returns the job's id."""
        while not self._stop.is_set():
            self._journal.write("post", key=key)
            try:
                job = self._call(order.tenant, order.endpoint, order.body, key)
            except _NotTakenError as error:
                self._journal.write("refused", key=key, why=str(error))
                if error.is_final:
                    return None
            except (OSError, HTTPException, ValueError) as error:
                self._journal.write("unknown", key=key, why=type(error).__name__)
            else:
                self._journal.write("accepted", id=job["id"], key=key, body=order.body)
                return str(job["id"])
            time.sleep(_RETRY_SECONDS)
        return None

    def _cancel(self, tenant: str, job_id: str) -> None:
        try:
            self._call(tenant, f"/jobs/{job_id}/cancel", {}, f"{job_id}-cancel")
        except (_NotTakenError, OSError, HTTPException, ValueError) as error:
            self._journal.write("not cancelled", id=job_id, why=str(error))
        else:
            self._journal.write("cancel", id=job_id)

    def _call(self, tenant: str, path: str, body: Any, key: str) -> Any:
        headers = {
            "Authorization": f"Bearer {self._keys[tenant]}",
            "Content-Type": "application/json",
        }
        if self.is_idempotent:
            headers["Idempotency-Key"] = key
        url, data = self._base_url + path, json.dumps(body).encode()
        request = Request(url, data, headers)  # noqa: S310 - ours
        try:
            with urlopen(request, timeout=_ANSWER_SECONDS) as response:  # noqa: S310
                return json.load(response)
        except HTTPError as error:
            if error.code < 500:
                raise _NotTakenError(f"status {error.code}", is_final=True) from error
            raise
        except URLError as error:
            if isinstance(error.reason, ConnectionRefusedError):
                raise _NotTakenError("nobody listens", is_final=False) from error
            raise


class _NotTakenError(Exception):
    """The order was certainly not taken; `is_final` if it never will be."""

    def __init__(self, why: str, *, is_final: bool) -> None:
        super().__init__(why)
        self.is_final = is_final


def main(folder: Path, *, base_url: str, seed: int, rate: float) -> None:
    """Produce into the journal of a folder."""
    journal = Journal(folder / "journal.jsonl")
    produce(journal, base_url=base_url, seed=seed, rate=rate, now=datetime.now(UTC))
