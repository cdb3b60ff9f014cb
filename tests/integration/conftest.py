"""A dispatcher with a pool of its own on the real broker; a store for files."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core.files.storage import FileSystemStorage
from kombu import Connection

from ingestion import storage
from ingestion.sources import registry
from jobs import switches
from jobs.broker import Publisher
from jobs.dispatcher import Dispatcher
from jobs.models import Job
from jobs.queues import pool_queue
from reconciliation import report_handlers
from taskqueue_site.settings import _object_store
from tests import totals_source
from tests.arrange import make_job, make_tenant, run
from tests.integration.ingesting import Ingest, put


@pytest.fixture
def pool(broker_url: str) -> Iterator[str]:
    """A pool of its own, whose queue is removed after the test."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    with Connection(broker_url) as connection:
        for used in (name, f"{name}-before"):
            pool_queue(used).bind(connection.channel()).delete()


@pytest.fixture
def app(broker_url: str) -> Iterator[Celery]:
    """A Celery application that publishes with confirms."""
    app = Celery("test", broker=broker_url, set_as_current=False)
    app.conf.broker_transport_options = {"confirm_publish": True}
    app.conf.task_publish_retry = False
    yield app
    app.close()


@pytest.fixture
def publisher(app: Celery) -> Iterator[Publisher]:
    publisher = Publisher(app)
    yield publisher
    publisher.close()


@pytest.fixture
def dispatcher(publisher: Publisher) -> Dispatcher:
    return Dispatcher(holder="test", publisher=publisher)


@pytest.fixture(autouse=True)
def no_switch_is_known() -> None:
    """Forget what the process has read of the last test's switches."""
    switches._read.clear()


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the object store, and the tenant t1."""
    folder = FileSystemStorage(location=tmp_path)
    monkeypatch.setattr(storage, "storages", {"default": folder})
    make_tenant("t1")
    return tmp_path


@pytest.fixture(params=["folder", "s3"])
def store_url(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> str:
    """The URL of each kind of store in turn, which is empty and the default now."""
    if request.param == "folder":
        url = (tmp_path / "objects").as_uri()
    else:
        url = str(request.getfixturevalue("s3_storage_url"))
    settings.STORAGES = {**settings.STORAGES, "default": _object_store(url)}
    return url


@pytest.fixture
def ingest(objects: Path) -> Ingest:
    """A function that stores a file, enqueues it and runs the job."""

    def ingest(
        content: bytes | None,
        *,
        path: str = "a.csv",
        tenant: str = "t1",
        source: str = "UPI",
        **options: Any,
    ) -> Job:
        if content is not None:
            put(objects, content, path=path, tenant=tenant)
        payload = {"s3_path": path, "source": source, **options}
        return run(make_job(tenant, kind="ingest", payload=payload))

    return ingest


@pytest.fixture
def totals_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sources of tests/totals_source.py beside the product's own."""
    more = {
        source.name: source for source in (totals_source.LINES, totals_source.TOTALS)
    }
    monkeypatch.setattr(registry, "SOURCES", {**registry.SOURCES, **more})


@pytest.fixture
def small_chunks(settings: Any) -> None:
    """Three rows are a chunk."""
    settings.INGEST_CHUNK_ROWS = 3


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows of a report are a page, and windows are nearly as small."""
    monkeypatch.setattr(report_handlers, "PAGE_ROWS", 3)
    monkeypatch.setattr(report_handlers, "_FIRST_WINDOW", 2)
    monkeypatch.setattr(report_handlers, "_WIDEST_WINDOW", 8)
