"""The API over a real socket, with the services it needs and without them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import sync_playwright

from jobs.models import Job
from tenants import keys
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.api import INGEST, ingest_body, make_key
from tests.integration.web import ROOT, Line, database_url, gunicorn

pytestmark = pytest.mark.django_db(transaction=True)

NOWHERE = 1  # a port at which nothing listens


def call(
    url: str, key: str = "", body: Any = None
) -> tuple[int, Message, dict[str, Any]]:
    """Send a request; returns status, headers and JSON."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        with urlopen(Request(url, data, headers), timeout=60) as response:
            return response.status, response.headers, json.load(response)
    except HTTPError as error:
        return error.code, error.headers, json.load(error)


def job_count() -> int:
    with all_tenants(reason="test"):
        return Job.objects.count()


@pytest.fixture
def key() -> str:
    """A key of the tenant `owner`."""
    make_tenant("owner")
    return make_key("owner")


@pytest.fixture
def line() -> Iterator[Line]:
    """A line to the database that can be cut."""
    line = Line()
    yield line
    line.close()


def assert_away(answer: tuple[int, Message, dict[str, Any]]) -> None:
    status, headers, problem = answer
    assert status == 503
    assert headers["Content-Type"] == "application/problem+json"
    assert int(headers["Retry-After"]) > 0
    assert problem["code"] == "database_unavailable"
    assert problem["request_id"] == headers["X-Request-ID"]


def test_the_database_comes_and_goes(key: str, line: Line, tmp_path: Path):
    body = ingest_body("owner")
    with gunicorn(tmp_path, DATABASE_URL=database_url(line.port)) as url:
        status, headers, job = call(url + INGEST, key, body)
        assert status == 202
        assert call(url + headers["Location"], key)[2]["id"] == job["id"]
        line.cut()
        for _ in range(3):
            assert_away(call(url + INGEST, key, body))
            assert_away(call(f"{url}/jobs", key))
        status, _, ready = call(f"{url}/readyz")
        assert (status, ready["parts"]["database"]) == (503, "unreachable")
        assert job_count() == 1
        line.mend()
        for _ in range(8):  # every thread had a connection of its own
            assert call(url + INGEST, key, body)[0] == 202
    assert job_count() == 9


def test_two_megabytes_are_refused_and_the_answer_arrives(key: str, tmp_path: Path):
    body = ingest_body("owner", s3_path="x" * 2 * 1024 * 1024)
    with gunicorn(tmp_path) as url:
        status, headers, problem = call(url + INGEST, key, body)
        assert status == 413
        assert headers["Content-Type"] == "application/problem+json"
        assert problem["code"] == "body_too_large"
        assert call(url + INGEST, "no-key", body)[0] == 401
    assert job_count() == 0


def test_a_web_process_that_never_saw_a_database(tmp_path: Path):
    with gunicorn(tmp_path, DATABASE_URL=database_url(NOWHERE)) as url:
        assert_away(call(f"{url}/jobs", keys.make()))
        assert call(f"{url}/jobs", "no-key")[0] == 401
        assert call(f"{url}/nope")[0] == 404


def test_without_redis_and_broker_jobs_are_still_accepted(key: str, tmp_path: Path):
    gone = {
        "REDIS_URL": f"redis://127.0.0.1:{NOWHERE}/0",
        "BROKER_URL": f"amqp://guest:guest@127.0.0.1:{NOWHERE}//",
    }
    with gunicorn(tmp_path, **gone) as url:
        assert call(url + INGEST, key, ingest_body("owner"))[0] == 202
        status, _, ready = call(f"{url}/readyz")
    assert status == 200
    assert ready["status"] == "degraded"
    assert ready["parts"]["redis"] == ready["parts"]["broker"] == "unreachable"
    assert ready["parts"]["database"] == "ok"
    assert job_count() == 1


def collect_static_files(folder: Path) -> None:
    """Do what comes before the web process in production."""
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"],
        cwd=ROOT,
        env={**os.environ, "STACK_DATA": str(folder)},
        check=True,
    )


def test_the_docs_are_drawn_without_a_complaint(tmp_path: Path, chromium: str):
    collect_static_files(tmp_path)
    complaints: list[str] = []
    elsewhere: list[str] = []
    with gunicorn(tmp_path) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: elsewhere.append(request.url))
        page.goto(f"{url}/docs")
        page.get_by_text("/enqueue/ingest").click()
        page.get_by_text("Try it out").wait_for()
        browser.close()
    assert complaints == []
    assert [found for found in elsewhere if not found.startswith((url, "data:"))] == []
