"""Every page of the admin: who may see it, and that it stands."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from django_celery_results.models import TaskResult

from ingestion.models import (
    FileFault,
    IngestedFile,
    KeptOutRow,
    Statement,
    Transaction,
)
from jobs.models import (
    Attempt,
    BulkDecision,
    DeadLetter,
    DeadMessage,
    Job,
    LeaderLease,
    UsageEvent,
    Worker,
)
from reconciliation.models import Match, Profile, Reconciliation, Report, Run
from tenants.models import ApiKey, Membership, Tenant
from tenants.scoping import all_tenants
from tenants.services import api_key_create
from tests.arrange import (
    lead,
    make_admin,
    make_dead_job,
    make_fault,
    make_file,
    make_job,
    make_statement,
    make_tenant,
    make_transaction,
)
from tests.integration.scheduling import make_schedule
from tests.reconciled import make_profile, make_run

pytestmark = pytest.mark.django_db

LEDGER: list[type[Model]] = [
    *(Job, DeadLetter, Attempt, UsageEvent, Worker, LeaderLease, IngestedFile),
    *(KeptOutRow, Transaction, Reconciliation, TaskResult, DeadMessage),
    *(BulkDecision, Statement, FileFault, Run),
    *(BulkDecision, Statement, FileFault, Report),
    *(BulkDecision, Statement, FileFault, Match),
]
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


def url_of(model: type[Model], page: str, *args: object) -> str:
    options = model._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{page}", args=args)


@pytest.fixture
def operator() -> User:
    return make_admin()


@pytest.fixture
def browser(operator: User, client: Client) -> Client:
    client.force_login(operator)
    return client


@pytest.fixture
def rows(operator: User) -> None:
    """One row of every table that the admin shows."""
    make_tenant("t1")
    job = make_dead_job("t1")
    file = make_file("t1", job=job)
    make_transaction(file)
    make_statement(file, statement_id="50100012345678/7")
    make_fault(file)
    lead()
    DeadMessage.objects.create(queue="q", reason="invalid", size=1, body=b"x")
    BulkDecision.objects.create(decision="retry", criteria="all", per_second=1)
    make_run(make_profile("t1"), file_ids=[file.pk])
    with all_tenants(reason="test"):
        api_key_create(slug="t1", now=timezone.now())
        Membership.objects.create(tenant_id="t1", user=operator)
        Worker.objects.create(name="w1", pool="shared", slots=2)
        Report.objects.create(tenant_id="t1", what="usage", job=job)
        profile = Profile.objects.create(
            tenant_id="t1", name="p", internal_sources=["A"], external_sources=["B"]
        )
        Reconciliation.objects.create(
            tenant_id="t1", mismatch_type="amount", profile=profile
        )
        Match.objects.create(tenant_id="t1", profile=profile, state="suggested")
        UsageEvent.objects.create(
            tenant_id="t1", source="test", meter="jobs", quantity=1, job=job
        )
    TaskResult.objects.create(task_id="t", task_name="sweep", status="SUCCESS")
    make_schedule("t1", "0 6 * * *", now=timezone.now())
    every = IntervalSchedule.objects.create(every=5, period="minutes")
    PeriodicTask.objects.create(name="p", task="sweep", interval=every)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_list_page_and_history_stand(model: type[Model], browser: Client, rows: None):
    assert browser.get(url_of(model, "changelist")).status_code == 200
    assert browser.get(url_of(model, "changelist"), {"q": "t1"}).status_code == 200
    with all_tenants(reason="test"):
        row = model._default_manager.first()
    if row is not None:
        assert browser.get(url_of(model, "change", row.pk)).status_code == 200
        assert browser.get(url_of(model, "history", row.pk)).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_the_form_for_a_new_row_stands_or_is_refused(
    model: type[Model], browser: Client
):
    expected = 403 if model in LEDGER else 200
    status = browser.get(url_of(model, "add")).status_code
    assert status in {expected, 403 if model._meta.label.endswith("GroupResult") else 0}


@pytest.mark.parametrize("model", LEDGER, ids=lambda model: model._meta.label)
def test_the_ledger_is_read_only(model: type[Model], browser: Client, rows: None):
    with all_tenants(reason="test"):
        row = model._default_manager.first()
    assert row is not None
    assert browser.post(url_of(model, "add")).status_code == 403
    assert browser.post(url_of(model, "change", row.pk)).status_code == 403
    assert browser.post(url_of(model, "delete", row.pk)).status_code == 403


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_a_stranger_is_sent_to_the_login(model: type[Model], client: Client):
    page = url_of(model, "changelist")
    login = f"{reverse('admin:login')}?next={page}"
    assert client.get(page).headers["Location"] == login
    client.force_login(User.objects.create_user("member"))
    assert client.get(page).headers["Location"] == login


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_staff_without_a_right_are_refused(model: type[Model], client: Client):
    client.force_login(User.objects.create_user("new", is_staff=True))
    assert client.get(url_of(model, "changelist")).status_code == 403


def test_the_overview_shows_nothing_to_staff_without_a_right(client: Client):
    make_tenant("secret-tenant")
    client.force_login(User.objects.create_user("new", is_staff=True))
    for name in ("admin:fair_share", "admin:fair_share_table"):
        assert client.get(reverse(name)).status_code == 403
    for name in ("admin:index", "admin:overview"):
        response = client.get(reverse(name))
        assert response.status_code == 200
        assert "secret-tenant" not in response.content.decode()


def test_a_viewer_sees_jobs_and_no_button(client: Client, rows: None):
    viewer = User.objects.create_user("viewer", is_staff=True)
    codes = ("view_job", "view_deadletter", "view_tenant")
    viewer.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client.force_login(viewer)
    page = client.get(url_of(DeadLetter, "changelist")).content.decode()
    assert "asked_to_fail" in page
    assert "Retry" not in page
    assert client.get(url_of(Job, "changelist")).status_code == 200


def test_signing_in_out_and_a_new_password(client: Client, operator: User):
    login = client.get(reverse("admin:login"))
    assert 'name="next" value="/admin/"' in login.content.decode()
    client.force_login(operator)
    assert client.get(reverse("admin:password_change")).status_code == 200
    answer = client.post(reverse("admin:logout"), follow=True)
    assert answer.status_code == 200
    assert "_auth_user_id" not in client.session


def test_a_refresh_after_the_session_ended_reloads_the_page(client: Client):
    answer = client.get(reverse("admin:overview"), headers={"HX-Request": "true"})
    assert answer.headers["HX-Refresh"] == "true"


def test_the_palette_finds_by_exact_id(browser: Client, rows: None):
    with all_tenants(reason="test"):
        job = Job.objects.get()
    for term, found in (
        (str(job.pk), "sleep of t1"),
        ("t1", "Tenant"),
        ("UPI00000001", "Transaction"),
        ("600000000001", "UPI00000001"),
    ):
        answer = browser.get(reverse("admin:search"), {"s": term, "extended": "1"})
        assert found in answer.content.decode(), term


def test_a_tenant_can_be_looked_up_in_forms(browser: Client, rows: None):
    parameters = {
        "app_label": "tenants",
        "model_name": "apikey",
        "field_name": "tenant",
    }
    answer = browser.get(reverse("admin:autocomplete"), {**parameters, "term": "t1"})
    assert [each["id"] for each in answer.json()["results"]] == ["t1"]


def test_pages_relax_the_policy_only_as_the_theme_needs(browser: Client):
    policy = browser.get(reverse("admin:index")).headers["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval';" in f"{policy};"
    assert "style-src 'self' 'unsafe-inline';" in f"{policy};"


# --- What pages show ------------------------------------------------------------------


def test_no_page_shows_an_account_or_a_digest(browser: Client, rows: None):
    with all_tenants(reason="test"):
        shown: list[Any] = [Transaction.objects.get(), KeptOutRow.objects.get()]
        shown += [IngestedFile.objects.get(), Statement.objects.get()]
        shown += [FileFault.objects.get(), ApiKey.objects.get()]
    digest = shown[-1].digest
    for row in shown:
        for url in (
            url_of(type(row), "changelist"),
            url_of(type(row), "change", row.pk),
        ):
            page = browser.get(url).content.decode()
            for secret in ("50100012345678", "asha.rao@", "navin@", digest):
                assert secret not in page, (url, secret)


def test_a_transaction_can_still_be_recognised(browser: Client, rows: None):
    page = browser.get(url_of(Transaction, "changelist")).content.decode()
    assert "••••5678" in page
    assert "na***@okbank" in page


def test_a_job_tells_its_story_and_escapes_it(browser: Client, rows: None):
    with all_tenants(reason="test"):
        job = Job.objects.get()
    page = browser.get(url_of(Job, "change", job.pk)).content.decode()
    for text in ("Attempt 1", "shared@host-1", "asked_to_fail", "0.250 s", "Traceback"):
        assert text in page
    assert "in/upi.csv" in page  # the file that the job brought in
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<b>payload</b>" not in page


def test_the_page_of_a_job_refreshes_until_the_job_has_ended(
    browser: Client, rows: None
):
    waiting = make_job("t1")
    live = reverse("admin:jobs_job_live", args=[waiting.pk])
    assert f'hx-get="{live}"' in browser.get(live).content.decode()
    with all_tenants(reason="test"):
        dead = Job.objects.get(state="dead")
    over = reverse("admin:jobs_job_live", args=[dead.pk])
    assert "hx-get" not in browser.get(over).content.decode()


def test_one_span_reads_alike_in_both_places(browser: Client, rows: None):
    due = timezone.now() + timedelta(days=68, hours=4, minutes=40)
    job = make_job("t1", run_after=due)
    page = browser.get(f"/admin/jobs/job/{job.pk}/live/").content.decode()
    assert "It is not due for another 68 d 5 h." in page
    assert "in 68 d 5 h" in page


def test_jobs_are_found_by_id_tenant_and_filter(browser: Client, rows: None):
    with all_tenants(reason="test"):
        job = Job.objects.get()
    page = url_of(Job, "changelist")

    def found(**parameters: str) -> int:
        return int(browser.get(page, parameters).context["cl"].result_count)

    assert found(q=str(job.pk)) == found(q="t1") == found(state__exact="dead") == 1
    assert found(q="t2") == found(kind="ingest") == found(state__exact="queued") == 0
    assert found(q=str(job.pk)[:-1] + "x") == 0


# --- Cost -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [Tenant, Job, DeadLetter, Attempt], ids=lambda model: model.__name__
)
def test_a_longer_list_takes_no_more_queries(model: type[Model], browser: Client):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert browser.get(url_of(model, "changelist")).status_code == 200
        return len(captured)

    make_tenant("t0")
    make_dead_job("t0")
    queries()  # the first request of a process also fills caches
    few = queries()
    for number in range(1, 6):
        make_tenant(f"t{number}")
        make_dead_job(f"t{number}")
    assert queries() == few


@pytest.mark.parametrize(
    "path",
    [
        "jobs/job/?state=%00",
        "jobs/deadletter/?fingerprint=%00",
        "tenants/tenant/%00/change/",
        "jobs/job/?created_at__year=99999999999",
        "ingestion/transaction/?txn_timestamp__year=0",
        "search/?s=abc&page=zz",
    ],
)
def test_an_address_that_nothing_can_match_is_a_bad_request(browser: Client, path: str):
    assert browser.get(f"/admin/{path}").status_code in {302, 400}


def test_a_nul_in_a_form_is_a_bad_request(browser: Client):
    form = {"action": "delete_selected", "_selected_action": "a\0b"}
    assert browser.post("/admin/tenants/tier/", form).status_code == 400
