"""The pages of runs: what they counted, their open rows, and running again."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from jobs import handlers
from jobs.handlers import Kind
from jobs.models import Job
from reconciliation import run_tables
from reconciliation.models import MatchRule, OpenRow, Profile, Run
from reconciliation.terms import rule_json, rules_of
from tenants.scoping import all_tenants
from tests.arrange import make_admin, make_file, make_job, make_tenant
from tests.integration.stuck_kinds import nothing
from tests.reconciled import DAY, STARTS, make_mismatch, make_profile, make_run

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that are ordered and not run."""
    known = Kind(name="reconcile", handler=nothing)
    monkeypatch.setitem(handlers._kinds, "reconcile", known)


@pytest.fixture
def profile() -> Profile:
    make_tenant("t1")
    return make_profile("t1", rules=2)


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def page(browser: Client, run: Run, name: str = "change") -> str:
    answer = browser.get(reverse(f"admin:reconciliation_run_{name}", args=[run.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def ask_again(browser: Client, run: Run) -> Any:
    url = reverse("admin:reconciliation_run_run_again", args=[run.pk])
    return browser.post(url, {"_form_submitted": "True"})


def orders() -> list[Job]:
    with all_tenants(reason="test"):
        return list(Job.objects.filter(kind="reconcile"))


# --- What they show -------------------------------------------------------------------


def test_a_run_shows_its_counts_files_and_terms_as_they_were(
    browser: Client, profile: Profile
):
    file = make_file("t1", job=make_job("t1"), path="in/march.csv")
    before = make_run(profile)
    run = make_run(profile, file_ids=[file.pk], previous=before)
    with all_tenants(reason="test"):
        MatchRule.objects.update(days=99)

    shown = page(browser, run)

    for text in ("97.00%", "960", "in/march.csv", f"run {before.pk}", "2026-01-15"):
        assert text in shown, text
    assert "within 2 days → matched" in shown
    assert "99 days" not in shown
    link = f"?profile__id__exact={profile.pk}&amp;state=all&amp;mismatch_type=missing_"
    assert f"{link}external&amp;day_from={DAY}&amp;day_to={DAY}" in shown
    assert "every 2s" not in shown


def test_a_run_of_changes_is_no_measure_of_its_period(
    browser: Client, profile: Profile
):
    run = make_run(profile, mode="changes")

    shown = page(browser, run)

    assert "New rows" in shown
    assert "Told of what was new" in shown
    assert "By rule 1" not in shown
    assert "97.00%" not in shown
    listed = browser.get(reverse("admin:reconciliation_run_changelist"))
    assert "97.00%" not in listed.content.decode()


def test_a_run_that_goes_on_shows_how_far_it_is(browser: Client, profile: Profile):
    job = make_job("t1")
    with all_tenants(reason="test"):
        Job.objects.update(progress_done=300, progress_total=1200, progress_unit="rows")
    run = make_run(profile, job=job, state="running", counts={}, finished_at=None)

    shown = page(browser, run)

    assert "width: 25%" in shown
    assert "300 of 1,200 rows" in shown
    assert "every 2s" in shown
    listed = browser.get(reverse("admin:reconciliation_run_changelist"))
    assert "width: 25%" in listed.content.decode()


def test_a_run_whose_terms_are_not_to_be_read_still_has_a_page(
    browser: Client, profile: Profile
):
    run = make_run(profile, terms={"rules": 3})

    assert "97.00%" in page(browser, run)
    assert "By rule 1" in page(browser, run)


@pytest.mark.parametrize(
    ("from_hours", "to_hours", "words"),
    [
        (0, 24, "2026-01-15"),
        (0, 48, "2026-01-15 – 2026-01-16"),
        (10, 12, "2026-01-15 10:00 – 12:00"),
        (0, 30, "2026-01-15 00:00 – 2026-01-16 06:00"),
    ],
)
def test_a_period_is_told_in_days_if_it_is_whole_ones(
    browser: Client, profile: Profile, from_hours: int, to_hours: int, words: str
):
    run = make_run(
        profile,
        period_starts_at=STARTS + timedelta(hours=from_hours),
        period_ends_at=STARTS + timedelta(hours=to_hours),
    )

    assert f">{words}</span>" in page(browser, run)


def test_a_dry_run_says_so_and_leads_to_no_mismatch(browser: Client, profile: Profile):
    shown = page(browser, make_run(profile, is_dry=True))

    assert ">dry</span>" in shown
    assert "mismatch_type=" not in shown


def test_a_run_leads_to_what_it_told_be_it_settled_or_not(
    browser: Client, profile: Profile
):
    run = make_run(profile)
    # A later run tells it again, and has written it last.
    last = make_run(profile)
    for number, state in enumerate(("open", "resolved", "closed"), start=1):
        make_mismatch(profile, run=last, state=state, internal_id=number)
    make_mismatch(profile, day=DAY + timedelta(days=1), internal_id=4)
    make_mismatch(make_profile("t1", name="NEFT"), run=None, internal_id=5)
    url = reverse("admin:reconciliation_run_see_mismatches", args=[run.pk])

    listed = browser.get(url, follow=True).context["cl"].result_list

    assert sorted(row.state for row in listed) == ["closed", "open", "resolved"]


# --- Open rows ------------------------------------------------------------------------


def make_open_row(run: Run, number: int, **values: Any) -> OpenRow:
    said = {
        "transaction_id": number,
        "txn_id": f"LEDGER:{number}",
        "side": "I",
        "source_txn_id": "S",
        "amount": 10,
        "currency": "INR",
        "direction": "D",
        "status": "SUCCESS",
        "at": STARTS,
        "day": DAY,
        **values,
    }
    with all_tenants(reason="test"):
        row: OpenRow = OpenRow.objects.create(
            tenant_id="t1", run=run, touched_by=run.pk, **said
        )
    return row


def test_open_rows_say_what_matched_them_and_hide_accounts(
    browser: Client, profile: Profile
):
    run = make_run(profile)
    make_open_row(run, 1, rule=2, match=1)
    make_open_row(run, 2, rule=0, match=2)
    make_open_row(run, 3, is_held=True)
    make_open_row(run, 4, side="E", txn_id="MT940:50100012345678:1:2")
    make_open_row(run, 6, reference_id="HDFC:50100012345678:1")
    make_open_row(make_run(profile), 5)

    shown = page(browser, run, "open_rows")

    for text in ("by rule 2", "stood before", "held", "theirs", "−10.00 INR"):
        assert text in shown, text
    assert "50100012345678" not in shown
    assert "LEDGER:5" not in shown


def test_open_rows_come_page_by_page(
    browser: Client, profile: Profile, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_tables, "ROWS_A_PAGE", 2)
    run = make_run(profile)
    rows = [make_open_row(run, number) for number in range(1, 6)]
    url = reverse("admin:reconciliation_run_open_rows", args=[run.pk])

    seen, query = [], ""
    while True:
        answer = browser.get(url + query)
        text = answer.content.decode()
        seen += [row.txn_id for row in rows if f">{row.txn_id}</a>" in text]
        if answer.context["following"] is None:
            break
        query = f"?after={answer.context['following']}"

    assert seen == [row.txn_id for row in rows]
    for strange in ("?after=x", "?after=²", f"?after={'9' * 40}"):
        assert browser.get(url + strange).status_code == 200


# --- Again ----------------------------------------------------------------------------


def test_a_run_again_is_of_the_same_days(browser: Client, profile: Profile):
    run = make_run(profile)

    answer = ask_again(browser, run)

    (job,) = orders()
    assert answer.headers["HX-Redirect"] == f"/admin/jobs/job/{job.pk}/change/"
    assert job.payload["starts_at"] == STARTS.isoformat()
    assert job.payload["ends_at"] == (STARTS + timedelta(days=1)).isoformat()
    assert "rules" not in job.payload


def test_a_dry_run_again_is_dry_and_by_its_own_rules(browser: Client, profile: Profile):
    run = make_run(profile, is_dry=True)
    with all_tenants(reason="test"):
        before = rules_of(profile)
        MatchRule.objects.update(days=99)

    ask_again(browser, run)

    (job,) = orders()
    assert job.payload["rules"] == [rule_json(rule) for rule in before]


def test_a_dry_run_that_cannot_be_read_is_not_run_for_good(
    browser: Client, profile: Profile
):
    answer = ask_again(browser, make_run(profile, is_dry=True, terms={}))

    assert "/reconciliation/run/" in answer.headers["HX-Redirect"]
    assert orders() == []


def test_who_may_only_look_runs_nothing_again(client: Client, profile: Profile):
    run = make_run(profile)
    person = User.objects.create_user("viewer", is_staff=True)
    client.force_login(person)
    url = reverse("admin:reconciliation_run_open_rows", args=[run.pk])
    assert client.get(url).status_code == 403

    person.user_permissions.add(Permission.objects.get(codename="view_run"))

    assert client.get(url).status_code == 200
    assert "Run again" not in page(client, run)
    assert ask_again(client, run).status_code == 403
    assert orders() == []
