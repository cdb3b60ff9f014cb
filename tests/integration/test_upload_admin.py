"""The admin's page that takes a file for a tenant."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.db import connection
from django.test import Client

from ingestion import incoming
from ingestion.models import DialectProfile
from ingestion.storage import store
from jobs.models import Job, JobEvent
from taskqueue_site.settings import _object_store
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tests.arrange import make_admin, make_tenant, run
from tests.integration.forms import form_of
from tests.integration.ingesting import counts, row, text
from tests.integration.web import gunicorn

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/ingestion/ingestedfile/"
PAGE = f"{LIST}upload/"
FILE = text(row(1), row(2))
SCRIPT = {"X-Requested-With": "XMLHttpRequest"}
NOWHERE = "s3://bucket?endpoint=http://127.0.0.1:1"


@pytest.fixture
def browser(client: Client, store_url: str) -> Client:
    """A signed-in operator, the tenant t1, and that store."""
    make_tenant("t1")
    client.force_login(make_admin())
    return client


folder_only = pytest.mark.parametrize("store_url", ["folder"], indirect=True)


def send(
    browser: Client, content: bytes = FILE, *, name: str = "upi.csv", **changes: Any
) -> Any:
    headers = changes.pop("headers", {})
    form = {
        "tenant": "t1",
        "source": "UPI",
        "file": SimpleUploadedFile(name, content),
        **changes,
    }
    return browser.post(PAGE, form, headers=headers)


def jobs() -> list[Job]:
    with all_tenants(reason="test"):
        return list(Job.objects.order_by("id"))


def test_a_file_is_stored_and_its_jobs_page_follows(browser: Client):
    answer = send(browser)
    (job,) = jobs()
    assert answer.status_code == 302
    assert answer["Location"] == f"/admin/jobs/job/{job.pk}/change/"
    path = job.payload["s3_path"]
    assert path.startswith("uploads/")
    assert path.endswith("/upi.csv")
    item = store().stat(f"tenants/t1/{path}")
    assert b"".join(store().blocks(item, 0)) == FILE
    assert counts(run(job))[:2] == (2, 2)
    shown = browser.get(answer["Location"]).content.decode()
    assert f"{path}: this job loads it." in shown


@folder_only
def test_who_sent_it_is_in_the_jobs_log(browser: Client):
    send(browser)
    with all_tenants(reason="test"):
        first = JobEvent.objects.order_by("id").first()
    assert first is not None
    assert first.actor == "staff operator"


@folder_only
def test_a_script_is_told_where_to_go_or_what_is_wrong(browser: Client):
    answer = send(browser, headers=SCRIPT)
    (job,) = jobs()
    assert answer.status_code == 201
    assert answer.json() == {"url": f"/admin/jobs/job/{job.pk}/change/"}
    answer = send(browser, headers=SCRIPT, tenant="t9")
    assert answer.status_code == 400
    assert answer.json() == {"flaws": [["tenant", "There is no tenant 't9'."]]}


def _stop_accepting() -> None:
    with all_tenants(reason="test"):
        Tenant.objects.filter(slug="t1").update(is_accepting=False)


@folder_only
@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"tenant": ""}, "tenant", "Say whose file it is."),
        ({"tenant": "T9"}, "tenant", "There is no tenant 'T9'."),
        ({"source": ""}, "source", "Choose how to read it."),
        ({"source": "NOPE"}, "source", "Unknown source 'NOPE'"),
        ({"source": "OWN"}, "source", "Unknown source 'OWN'"),
        ({"file": ""}, "file", "Choose a file."),
        ({"content": b""}, "file", "The file is empty."),
        ({"content": b"x" * 1001}, "file", "A file may have 1,000 bytes at most."),
        ({"name": "${x}.csv"}, "file", "which stores give a meaning"),
    ],
)
def test_what_is_not_taken_is_named(
    browser: Client, settings: Any, changes: Any, field: str, told: str
):
    settings.UPLOAD_MAX_BYTES = 1000
    make_tenant("t2")
    make_profile("OWN", "t2")
    answer = send(browser, headers=SCRIPT, **changes)
    assert answer.status_code == 400
    ((blamed, words),) = answer.json()["flaws"]
    assert blamed == field
    assert told in words
    assert jobs() == []


def make_profile(name: str, tenant: str | None) -> None:
    with all_tenants(reason="test"):
        known = DialectProfile.objects.filter(tenant=None).first()
        DialectProfile.objects.create(
            name=name, tenant_id=tenant, definition=known.definition
        )


@folder_only
def test_without_a_script_the_form_comes_back_with_what_was_chosen(browser: Client):
    answer = send(browser, tenant="nobody")
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "There is no tenant &#x27;nobody&#x27;." in page
    fields = form_of(page)
    assert (fields["tenant"], fields["source"]) == ("nobody", "UPI")


@folder_only
def test_a_tenant_that_takes_nothing_says_so(browser: Client):
    _stop_accepting()
    answer = send(browser, headers=SCRIPT)
    ((field, _),) = answer.json()["flaws"]
    assert (answer.status_code, field) == (400, "tenant")


@folder_only
def test_a_store_that_is_away_enqueues_nothing(browser: Client, settings: Any):
    settings.STORAGES = {**settings.STORAGES, "default": _object_store(NOWHERE)}
    answer = send(browser, headers=SCRIPT)
    assert answer.status_code == 503
    assert answer.json()["flaws"][0][1].startswith("The object store does not answer")
    assert jobs() == []


@folder_only
def test_each_source_is_offered_and_tenants_too(browser: Client):
    make_profile("OWN", "t1")
    page = browser.get(PAGE, {"tenant": "t1"}).content.decode()
    assert form_of(page)["tenant"] == "t1"
    for words in ('value="UPI"', 'value="HDFC"', "Dialects of t1", 'value="OWN"'):
        assert words in page


# --- How it comes ---------------------------------------------------------------------


def test_a_large_file_is_never_whole_in_memory_nor_in_a_transaction(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    seen: list[tuple[type, bool]] = []
    kept = type(store())
    write: Callable[..., None] = kept.write

    def watched(self: Any, key: str, content: Any) -> None:
        seen.append((type(content), connection.in_atomic_block))
        write(self, key, content)

    monkeypatch.setattr(kept, "write", watched)
    content = FILE + b"x" * 3_000_000
    assert send(browser, content).status_code == 302
    assert seen == [(TemporaryUploadedFile, False)]
    (job,) = jobs()
    assert store().stat(f"tenants/t1/{job.payload['s3_path']}").size == len(content)


@folder_only
def test_a_file_of_the_same_name_is_kept_beside(browser: Client):
    send(browser, b"one")
    send(browser, b"two")
    first, second = (job.payload["s3_path"] for job in jobs())
    assert first != second
    item = store().stat(f"tenants/t1/{first}")
    assert b"".join(store().blocks(item, 0)) == b"one"


@folder_only
@pytest.mark.parametrize("cut", [1000, 3_000_000])
def test_a_body_that_breaks_off_brings_nothing(
    browser: Client, store_url: str, tmp_path: Path, cut: int
):
    boundary = "xyz"
    page = browser.get(PAGE)
    fields = {"tenant": "t1", "source": "UPI"}
    fields["csrfmiddlewaretoken"] = form_of(page.content.decode())[
        "csrfmiddlewaretoken"
    ]
    head = "".join(
        f"--{boundary}\r\nContent-Disposition: form-data; "
        f'name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f"--{boundary}\r\nContent-Disposition: form-data; "
        'name="file"; filename="a.csv"\r\n\r\n'
    )
    with gunicorn(tmp_path, STORAGE_URL=store_url, SECRET_KEY=settings.SECRET_KEY) as u:
        parts = urlsplit(u)
        cookies = "; ".join(
            f"{name}={each.value}" for name, each in browser.cookies.items()
        )
        request = (
            f"POST {PAGE} HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: {cookies}\r\n"
            f"Content-Type: multipart/form-data; boundary={boundary}\r\n"
            "X-Requested-With: XMLHttpRequest\r\n"
            f"Content-Length: {2 * cut}\r\n\r\n{head}"
        )
        with socket.create_connection((parts.hostname, parts.port)) as line:
            line.sendall(request.encode() + b"x" * cut)
            line.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: line.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:500]
    assert jobs() == []
    assert not (tmp_path / "tenants").exists()
    assert "Traceback" not in (tmp_path / "web.log").read_text()


# --- Who may --------------------------------------------------------------------------


def _staff(*codes: str, name: str = "clerk") -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client = Client()
    client.force_login(user)
    return client


@folder_only
def test_it_takes_a_permission_of_its_own(browser: Client):
    clerk = _staff("view_ingestedfile", "release_ingestedfile")
    assert clerk.get(PAGE).status_code == 403
    assert send(clerk).status_code == 403
    assert PAGE not in clerk.get(LIST).content.decode()
    assert jobs() == []
    clerk = _staff("view_ingestedfile", "upload_ingestedfile", name="sender")
    assert "Upload a file" in clerk.get(LIST).content.decode()
    assert send(clerk).status_code == 302
    assert len(jobs()) == 1


@folder_only
def test_a_visitor_is_sent_to_the_login(browser: Client):
    answer = send(Client())
    assert answer["Location"].startswith("/admin/login/")
    assert jobs() == []


@folder_only
def test_a_form_from_elsewhere_is_refused(browser: Client):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username="operator"))
    assert send(strict).status_code == 403
    assert jobs() == []
    token = form_of(strict.get(PAGE).content.decode())["csrfmiddlewaretoken"]
    assert send(strict, csrfmiddlewaretoken=token).status_code == 302


@folder_only
def test_a_job_that_is_not_written_leaves_no_half(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    def fails(**_: Any) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr(incoming, "job_enqueue", fails)
    browser.raise_request_exception = False
    assert send(browser).status_code == 500
    assert jobs() == []
