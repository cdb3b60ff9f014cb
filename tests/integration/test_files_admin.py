"""The page of a file in the admin: what it shows, and what is decided there."""

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from ingestion.models import IngestedFile
from jobs import switches
from jobs.models import JobEvent
from tenants.scoping import all_tenants
from tests.arrange import (
    make_admin,
    make_fault,
    make_file,
    make_job,
    make_quarantined_file,
    make_statement,
    make_tenant,
    reread,
    run,
)
from tests.integration.ingesting import Ingest, counts, file_of, row, text
from tests.integration.test_totals import BAD
from tests.totals_source import statement

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("totals_sources"),
]

LIST = "/admin/ingestion/ingestedfile/"


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def page(browser: Client, file: IngestedFile) -> str:
    answer = browser.get(f"{LIST}{file.pk}/change/")
    assert answer.status_code == 200
    return answer.content.decode()


def decide(browser: Client, file: IngestedFile, name: str, **form: str) -> Any:
    url = reverse(f"admin:ingestion_ingestedfile_{name}", args=[file.pk])
    return browser.post(url, form, follow=True)


def again(file: IngestedFile) -> IngestedFile:
    with all_tenants(reason="test"):
        found: IngestedFile = IngestedFile.objects.get(pk=file.pk)
    return found


# --- What the page shows --------------------------------------------------------------


def test_a_loaded_file_shows_what_became_of_its_rows(browser: Client, ingest: Ingest):
    content = text(row(1), row(2, amount="x"), row(3, amount="y"), row(1, status="F"))
    shown = page(browser, file_of(ingest(content)))
    for words in ("invalid_amount", "conflicting", "debits", "10.00", "corrections/"):
        assert words in shown
    assert "summaries/" in shown
    assert "Release" not in shown


def test_statements_are_shown_with_their_balances_and_nobodys_account(
    browser: Client, ingest: Ingest
):
    content = statement("R|a|C|1234.5", account="50100012345678", opening="0.125")
    shown = page(browser, file_of(ingest(content, source="TOTALS")))
    assert "1,234.625" in shown
    assert "0.125" in shown
    assert "••••5678" in shown
    assert "50100012345678" not in shown


def test_faults_and_doubts_are_shown(browser: Client, ingest: Ingest):
    content = BAD + statement("R|x|C|1.00|dubious", number=3, opening="8.50")
    shown = page(browser, file_of(ingest(content, source="LINES")))
    for words in ("closing_balance", "row_count", "flagged", "dubious"):
        assert words in shown


def test_more_than_is_shown_is_counted(browser: Client):
    make_tenant("t1")
    file = make_file("t1", job=make_job("t1"))
    for number in range(102):
        make_fault(file, line=number)
        make_statement(file, number=number)
    assert page(browser, file).count("and 2 more") == 2


def test_progress_is_that_of_its_job(browser: Client, ingest: Ingest):
    job = ingest(text(row(1)))
    with all_tenants(reason="test"):
        type(job).objects.filter(pk=job.pk).update(progress_done=5, progress_total=20)
        IngestedFile.objects.filter(job=job).update(state="loading")
    assert "width: 25%" in page(browser, file_of(job))
    with all_tenants(reason="test"):
        IngestedFile.objects.filter(job=job).update(state="loaded")
    assert "width: 25%" not in page(browser, file_of(job))


def test_a_file_that_was_known_leads_to_the_first(browser: Client, ingest: Ingest):
    first, twin = file_of(ingest(text(row(1)))), file_of(ingest(text(row(1)), path="b"))
    assert f'{LIST}{first.pk}/change/">a.csv</a>' in page(browser, twin)


def test_every_file_that_was_left_is_downloaded(browser: Client, ingest: Ingest):
    file = file_of(ingest(text(row(1), row(2, amount="x"), row(1, status="F"))))
    for what in ("rejects", "conflicts", "corrections", "summary"):
        url = reverse("admin:ingestion_ingestedfile_download", args=[file.pk, what])
        answer: Any = browser.get(url)
        assert answer.status_code == 200, what
        assert b"".join(answer.streaming_content)
    url = reverse("admin:ingestion_ingestedfile_download", args=[file.pk, "flags"])
    assert browser.get(url).status_code == 404


def test_files_are_filtered_by_state(browser: Client):
    make_tenant("t1")
    make_file("t1", job=make_job("t1"), path="good.csv")
    make_quarantined_file("t1", job=make_job("t1"), path="bad.csv")
    shown = browser.get(LIST, {"state__exact": "quarantined"}).content.decode()
    assert "bad.csv" in shown
    assert "good.csv" not in shown


# --- Decisions ------------------------------------------------------------------------


def test_a_file_is_released_after_a_page_that_asks_why(browser: Client, ingest: Ingest):
    job = ingest(BAD, source="TOTALS")
    file = file_of(job)
    assert "Release" in page(browser, file)
    asked = decide(browser, file, "release").content.decode()
    assert "does not hold what it says about itself: 2 fault(s)" in asked
    assert "line 10: closing_balance" in asked
    assert "required" in asked
    asked = decide(browser, file, "release", confirmed="yes", reason=" ")
    assert "does not hold" in asked.content.decode()
    assert again(file).state == "quarantined"

    said = decide(browser, file, "release", confirmed="yes", reason="they  called")
    assert "Released: a job loads it." in said.content.decode()
    file = again(file)
    assert (file.state, file.decision) == ("received", "released")
    assert (file.decided_by, file.decided_why) == ("staff operator", "they called")
    entry = LogEntry.objects.get()
    assert entry.change_message == "Released. they called"
    assert file.job_id is not None
    with all_tenants(reason="test"):
        assert JobEvent.objects.get(job=file.job_id).actor == "staff operator"
    assert counts(run(reread(file.job_id))) == (4, 4, 0, 0, 0)
    shown = page(browser, file)
    assert "Released" in shown
    assert "by staff operator: they called" in shown
    assert str(job.pk) in shown


def test_a_file_is_refused_after_a_page_that_asks_why(browser: Client, ingest: Ingest):
    file = file_of(ingest(BAD, source="TOTALS"))
    asked = decide(browser, file, "refuse").content.decode()
    assert "Leave a.csv out for good?" in asked
    said = decide(browser, file, "refuse", confirmed="yes", reason="sent again")
    assert "Refused: it stays out." in said.content.decode()
    assert (again(file).state, again(file).decision) == ("failed", "refused")
    assert "Refused" in page(browser, file)


@pytest.mark.parametrize("name", ["release", "refuse"])
def test_who_comes_too_late_is_told(browser: Client, ingest: Ingest, name: str):
    file = file_of(ingest(BAD, source="TOTALS"))
    decide(browser, file, "refuse", confirmed="yes", reason="x")
    said = decide(browser, file, name, confirmed="yes", reason="y")
    assert "is not in quarantine" in said.content.decode()
    assert again(file).decided_why == "x"


@pytest.mark.parametrize("name", ["release", "refuse"])
def test_staff_without_the_right_may_look_and_not_decide(
    client: Client, ingest: Ingest, name: str
):
    file = file_of(ingest(BAD, source="TOTALS"))
    viewer = User.objects.create_user("viewer", is_staff=True)
    wanted = Permission.objects.filter(codename="view_ingestedfile")
    viewer.user_permissions.set(wanted)
    client.force_login(viewer)
    shown = page(client, file)
    assert "closing_balance" in shown
    assert "Release" not in shown
    answer = decide(client, file, name, confirmed="yes", reason="x")
    assert answer.status_code == 403
    assert again(file).state == "quarantined"


def test_the_right_is_enough(client: Client, ingest: Ingest):
    file = file_of(ingest(BAD, source="TOTALS"))
    clerk = User.objects.create_user("clerk", is_staff=True)
    wanted = ["view_ingestedfile", "release_ingestedfile"]
    clerk.user_permissions.set(Permission.objects.filter(codename__in=wanted))
    client.force_login(clerk)
    assert "Release" in page(client, file)
    decide(client, file, "release", confirmed="yes", reason="x")
    assert again(file).decided_by == "staff clerk"


def test_while_new_jobs_are_refused_nothing_is_released(
    browser: Client, ingest: Ingest
):
    file = file_of(ingest(BAD, source="TOTALS"))
    with all_tenants(reason="test"):
        switches.switch_set(
            scope="kind", name="ingest", is_accepting=False, reason="test"
        )
    switches._read.clear()
    said = decide(browser, file, "release", confirmed="yes", reason="x")
    assert said.status_code == 200
    assert "ingest" in said.content.decode()
    assert again(file).state == "quarantined"
    assert not LogEntry.objects.exists()
