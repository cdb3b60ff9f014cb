"""The admin's screen of reports: order one, see how far it is, download it."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from jobs import switches
from jobs.models import Job, JobEvent
from reconciliation.models import Report
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tests.arrange import (
    make_admin,
    make_file,
    make_job,
    make_tenant,
    make_transaction,
    run,
)
from tests.integration.forms import form_of

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/reconciliation/report/"
PAGE = f"{LIST}order/"
FORM = {
    "tenant": "t1",
    "what": "transactions",
    "starts_at": "2026-01-01T00:00",
    "ends_at": "2027-01-01T00:00",
    "transactions-status": "SUCCESS",
    "transactions-account_id": "50100012345678",
    "transactions-amount_min": "1000",
    "usage-meter": "rows",  # of another kind of report: it does not count
}

folder_only = pytest.mark.parametrize("store_url", ["folder"], indirect=True)


@pytest.fixture
def browser(client: Client, store_url: str) -> Client:
    """A signed-in operator, and the tenant t1 with one transaction."""
    make_tenant("t1")
    make_transaction(make_file("t1", job=make_job("t1")))
    client.force_login(make_admin())
    return client


def report() -> Report:
    with all_tenants(reason="test"):
        found: Report = Report.objects.select_related("job").get()
    return found


def order(browser: Client, **changes: Any) -> Report:
    answer = browser.post(PAGE, {**FORM, **changes})
    assert (answer.status_code, answer["Location"]) == (302, LIST)
    return report()


def test_it_is_ordered_written_and_downloaded(browser: Client):
    ordered = order(browser)
    assert ordered.job is not None
    assert ordered.job.payload == {
        "what": "transactions",
        "starts_at": "2025-12-31T18:30:00.000000Z",
        "ends_at": "2026-12-31T18:30:00.000000Z",
        "filters": {
            "status": "SUCCESS",
            "account_id": "50100012345678",
            "amount_min": "1000",
        },
    }
    page = browser.get(LIST).content.decode()
    assert "The report of transactions of t1 is ordered." in page
    assert "queued" in page
    assert "Download</a>" not in page
    run(ordered.job)
    page = browser.get(LIST).content.decode()
    assert "written" in page
    for text in ("Status SUCCESS", "Account ••••5678", "Least amount 1000"):
        assert text in page
    assert "50100012345678" not in page
    assert "2026-01-01 00:00 to 2027-01-01 00:00" in page
    download = f"{LIST}{ordered.pk}/download/"
    assert download in page
    answer = browser.get(download)
    if answer.status_code == 302:
        assert f"reports/{ordered.job.pk}.csv" in answer["Location"]
    else:
        assert b"".join(answer.streaming_content).count(b"\r\n") == 2  # type: ignore[attr-defined]
        assert f"transactions-{ordered.pk}.csv" in answer["Content-Disposition"]
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id) == ("operator", str(ordered.pk))
    assert entry.change_message == "Downloaded 1 rows as CSV"
    history = browser.get(f"{LIST}{ordered.pk}/history/").content.decode()
    assert "Downloaded 1 rows as CSV" in history


@folder_only
def test_who_ordered_it_is_in_the_jobs_log(browser: Client):
    ordered = order(browser)
    with all_tenants(reason="test"):
        first = JobEvent.objects.filter(job=ordered.job).order_by("id").first()
    assert first is not None
    assert first.actor == "staff operator"


@folder_only
def test_the_form_begins_with_yesterday_and_offers_each_filter(browser: Client):
    page = browser.get(PAGE, {"tenant": "t1"}).content.decode()
    fields = form_of(page)
    assert fields["tenant"] == "t1"
    assert fields["what"] == "transactions"
    assert fields["starts_at"].endswith("T00:00")
    assert fields["starts_at"] < fields["ends_at"]
    for name in ("transactions-file_id", "usage-kind", "mismatches-profile"):
        assert name in fields
    assert 'name="mismatches-state"' in page


@folder_only
def test_the_tenant_is_chosen_as_on_other_forms_by_who_may_see_tenants(
    browser: Client,
):
    page = browser.get(PAGE, {"tenant": "t1"}).content.decode()
    assert "admin-autocomplete" in page
    assert form_of(page)["tenant"] == "t1"
    person = User.objects.create_user("clerk", is_staff=True)
    rights = ("view_report", "download_report")
    person.user_permissions.set(Permission.objects.filter(codename__in=rights))
    browser.force_login(person)
    page = browser.get(PAGE, {"tenant": "t1"}).content.decode()
    assert "admin-autocomplete" not in page
    assert '<option value="t1"></option>' in page
    assert form_of(page)["tenant"] == "t1"


@folder_only
@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"tenant": "t9"}, "Tenant", "There is no tenant"),
        ({"tenant": ""}, "Tenant", "There is no tenant"),
        ({"what": "jobs"}, "Rows", "Give one of"),
        ({"starts_at": ""}, "From", "Choose a date and a time."),
        ({"ends_at": "2026-13-01T00:00"}, "Until", "Choose a date and a time."),
        ({"ends_at": "2026-01-01T00:00"}, "Until", "It has to be after “From”."),
        ({"starts_at": "2100-01-01T00:00"}, "Until", "It has to be after"),
        (
            {"transactions-amount_max": "9"},
            "Greatest amount",
            "It is below “Least amount”",
        ),
        ({"transactions-amount_min": "1,000"}, "Least amount", "Give an amount like 1"),
        ({"transactions-file_id": "x"}, "File number", "Give a whole number."),
        ({"transactions-status": "OK"}, "Status", "Give one of"),
        ({"transactions-source": "FOO"}, "Source", "Unknown source"),
        (
            {"what": "mismatches", "mismatches-profile": "nope"},
            "Profile",
            "There is no profile",
        ),
    ],
)
def test_a_mistake_is_told_beside_its_input(
    browser: Client, changes: dict[str, str], field: str, told: str
):
    answer = browser.post(PAGE, {**FORM, **changes})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert f"<strong>{field}</strong> {told}" in page
    # What was typed stays.
    assert form_of(page)["transactions-account_id"] == "50100012345678"
    with all_tenants(reason="test"):
        assert not Job.objects.filter(kind="report").exists()
        assert not Report.objects.exists()


@folder_only
def test_a_tenant_that_takes_no_jobs_is_said(browser: Client):
    with all_tenants(reason="test"):
        Tenant.objects.filter(slug="t1").update(is_accepting=False)
    switches._read.clear()  # it may be a second old
    answer = browser.post(PAGE, FORM)
    assert answer.status_code == 400
    assert "<strong>Tenant</strong>" in answer.content.decode()


@folder_only
def test_without_the_right_nothing_is_ordered_or_downloaded(browser: Client):
    ordered = order(browser)
    run(ordered.job)  # type: ignore[arg-type]
    viewer = User.objects.create_user("viewer", is_staff=True)
    codes = ["view_report"]
    viewer.user_permissions.set(Permission.objects.filter(codename__in=codes))
    browser.force_login(viewer)
    page = browser.get(LIST)
    assert page.status_code == 200
    assert "Order a report" not in page.content.decode()
    assert browser.get(PAGE).status_code == 403
    assert browser.post(PAGE, FORM).status_code == 403
    assert browser.get(f"{LIST}{ordered.pk}/download/").status_code == 403
    assert not LogEntry.objects.exists()


@folder_only
def test_what_is_not_written_or_gone_is_said(browser: Client):
    ordered = order(browser)
    download, own = f"{LIST}{ordered.pk}/download/", f"{LIST}{ordered.pk}/change/"
    answer = browser.get(download)
    assert answer["Location"] == own
    assert "The report is not written yet." in browser.get(own).content.decode()
    with all_tenants(reason="test"):
        Report.objects.update(path="tenants/t1/reports/gone.csv")
    assert browser.get(download)["Location"] == own
    assert "The store has no tenants/t1/reports/gone.csv" in (
        browser.get(own).content.decode()
    )
    assert browser.get(f"{LIST}999/download/").status_code == 404
    assert not LogEntry.objects.exists()
