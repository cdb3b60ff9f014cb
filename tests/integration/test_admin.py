"""The admin, page by page: who may see it, what it shows, what it changes."""

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tenants.models import Tenant
from tenants.scoping import all_tenants
from tests.arrange import make_job, make_tenant, reread
from tests.factories import make_admin, make_dead_job

pytestmark = pytest.mark.django_db(transaction=True)

READ_ONLY = [
    ("jobs", "job"),
    ("jobs", "attempt"),
    ("jobs", "usageevent"),
    ("ingestion", "ingestedfile"),
    ("ingestion", "transaction"),
    ("reconciliation", "reconciliation"),
]


def registered() -> list[str]:
    return [model._meta.label_lower for model in admin.site._registry]


def url(label: str, page: str, *args: object) -> str:
    return reverse(f"admin:{label.replace('.', '_')}_{page}", args=args)


@pytest.fixture
def operator() -> Client:
    """A browser signed in as a superuser, with some work to look at."""
    client = Client()
    client.force_login(make_admin())
    make_tenant("t1")
    return client


@pytest.mark.parametrize("label", registered())
def test_every_list_opens_for_staff_and_for_nobody_else(operator: Client, label: str):
    make_dead_job("t1")
    assert operator.get(url(label, "changelist")).status_code == 200
    stranger = Client()
    answer = stranger.get(url(label, "changelist"))
    assert answer.status_code == 302
    assert "/admin/login/" in answer["Location"]
    stranger.force_login(User.objects.create_user("member"))
    answer = stranger.get(url(label, "changelist"))
    assert answer.status_code == 302
    assert "/admin/login/" in answer["Location"]


@pytest.mark.parametrize(("app", "model"), READ_ONLY)
def test_the_ledger_cannot_be_edited(operator: Client, app: str, model: str):
    job = make_dead_job("t1")
    assert operator.get(url(f"{app}.{model}", "add")).status_code == 403
    if model == "job":
        change = url("jobs.job", "change", job.pk)
        assert operator.get(change).status_code == 200
        assert operator.post(change, {"state": "queued"}).status_code == 403
        assert operator.post(url("jobs.job", "delete", job.pk)).status_code == 403
        assert reread(job).state == "dead"


def test_the_overview_counts_and_names_failures(operator: Client):
    make_job("t1")
    make_dead_job("t1", code="out_of_luck")
    page = operator.get(reverse("admin:index")).content.decode()
    assert "out_of_luck" in page
    assert "No dispatcher leads" in page or "nobody leads" in page.lower()


def test_a_job_shows_its_attempts_and_escapes_its_error(operator: Client):
    job = make_dead_job("t1")
    page = operator.get(url("jobs.job", "change", job.pk)).content.decode()
    assert "shared@host-1" in page
    assert "asked_to_fail" in page
    assert "<b>payload</b>" not in page


def test_a_retry_asks_first_then_queues_and_is_logged(operator: Client):
    job, other = make_dead_job("t1"), make_dead_job("t1")
    data = {"action": "retry_selected", "_selected_action": [str(job.pk)]}
    asked = operator.post(url("jobs.deadletter", "changelist"), data)
    assert asked.status_code == 200
    assert reread(job).state == "dead"
    done = operator.post(
        url("jobs.deadletter", "changelist"), {**data, "confirmed": "yes"}
    )
    assert done.status_code == 302
    assert (reread(job).state, reread(other).state) == ("queued", "dead")
    assert LogEntry.objects.filter(object_id=str(job.pk)).count() == 1


def test_retrying_all_takes_what_the_filter_shows(operator: Client):
    wanted = [make_dead_job("t1", fingerprint="aa") for _ in range(2)]
    other = make_dead_job("t1", fingerprint="bb")
    address = reverse("admin:jobs_deadletter_retry_all") + "?fingerprint=aa"
    assert "2" in operator.get(address).content.decode()
    operator.post(address, {"confirmed": "yes"})
    assert [reread(job).state for job in wanted] == ["queued", "queued"]
    assert reread(other).state == "dead"


def test_a_viewer_cannot_retry(operator: Client):
    job = make_dead_job("t1")
    viewer = User.objects.create_user("viewer", is_staff=True)
    client = Client()
    client.force_login(viewer)
    address = reverse("admin:jobs_deadletter_retry_all")
    assert client.post(address, {"confirmed": "yes"}).status_code == 403
    assert reread(job).state == "dead"


def test_a_tenant_is_created_with_its_quota(operator: Client):
    page = operator.get(url("tenants.tenant", "add"))
    assert page.status_code == 200
    with all_tenants(reason="test"):
        assert Tenant.objects.filter(slug="t1", quota__weight=1).exists()


def test_a_list_costs_the_same_for_many_rows(operator: Client):
    for label in ("jobs.job", "jobs.deadletter", "tenants.tenant"):
        make_dead_job("t1")
        address = url(label, "changelist")
        operator.get(address)
        few = queries(operator, address)
        for number in range(8):
            make_dead_job("t1")
            make_tenant(f"{label.rpartition('.')[2]}-{number}")
        assert queries(operator, address) <= few + 1, label


def queries(client: Client, address: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def test_the_search_finds_a_job_by_its_id(operator: Client):
    job, other = make_job("t1"), make_job("t1")
    page = operator.get(url("jobs.job", "changelist"), {"q": str(job.pk)})
    assert str(job.pk) in page.content.decode()
    assert str(other.pk) not in page.content.decode()
