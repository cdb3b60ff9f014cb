"""The queue of mismatches in the admin: who may what, what is asked, what is shown."""

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from reconciliation import decisions_admin
from reconciliation.models import Match, Profile, Reconciliation
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.forms import form_of
from tests.integration.reconciling import (
    THEIRS,
    again,
    history,
    make_match,
    make_mismatch,
    make_mismatches,
    make_pair,
    make_person,
    make_profile,
    make_row,
)

pytestmark = pytest.mark.django_db

LIST = "admin:reconciliation_reconciliation_changelist"
ROW = "admin:reconciliation_reconciliation_{}"
SEE = "view_reconciliation"
WORK = (SEE, "resolve_reconciliation")


@pytest.fixture
def profile() -> Profile:
    make_tenant("t1")
    return make_profile(needs_approval=True)


@pytest.fixture
def asha() -> User:
    return make_person("asha", *WORK, "view_match")


@pytest.fixture
def browser(client: Client, asha: User) -> Client:
    client.force_login(asha)
    return client


def url(name: str, row: Any) -> str:
    return reverse(ROW.format(name), args=[row.pk])


def page(browser: Client, address: str, **asked: Any) -> str:
    answer = browser.get(address, asked)
    assert answer.status_code == 200
    return str(answer.content.decode())


def found(browser: Client, **asked: Any) -> list[int]:
    answer = browser.get(reverse(LIST), asked)
    assert answer.status_code == 200
    return sorted(row.pk for row in answer.context["cl"].result_list)


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def act(browser: Client, name: str, ids: list[int], **more: Any) -> Any:
    """Post an action of the list, as it is with some rows ticked."""
    form = {"action": f"{name}_selected", "_selected_action": ids, **more}
    return browser.post(f"{reverse(LIST)}?state=all", form, follow=True)


# --- Who may what ---------------------------------------------------------------------


def test_a_stranger_sees_nothing_a_member_sees_and_an_owner_works(
    client: Client, profile: Profile
):
    row = make_mismatch(profile, *make_pair(profile))
    for codes, see, work in (
        ((), 403, 403),
        ((SEE,), 200, 403),
        (("resolve_reconciliation",), 403, 403),
        (WORK, 200, 200),
    ):
        client.force_login(make_person(f"p{len(codes)}{see}{work}", *codes))
        assert client.get(reverse(LIST)).status_code == see
        assert client.get(url("change", row)).status_code == see
        for name in ("assign", "unassign", "note", "resolve", "reopen"):
            assert client.get(url(name, row)).status_code == work, (codes, name)
            if work == 403:
                form = {"confirmed": "yes", "reason": "fee", "note": "x", "why": "x"}
                assert client.post(url(name, row), form).status_code == 403
        for name in ("take", "match"):
            status = client.post(url(name, row)).status_code
            assert status == (302 if work == 200 else 403)
            assert client.get(url(name, row)).status_code == 405
        assert client.get(url("approve", row)).status_code == 403
    assert [action for _, action, _ in history(row)] == ["found", "assigned"]


def test_the_buttons_are_those_of_the_person_and_the_state(
    client: Client, profile: Profile
):
    open_one = make_mismatch(profile)
    done = make_mismatch(
        profile, fault_id=1, state="resolved", resolved_by="ravi", reason_code="fee"
    )
    client.force_login(make_person("member", SEE))
    for row in (open_one, done):
        text = page(client, url("change", row))
        for word in ("Assign to", "Resolve</a>", "Approve", "Reopen", "Note</a>"):
            assert word not in text
    client.force_login(make_person("boss", *WORK, "approve_reconciliation"))
    text = page(client, url("change", open_one))
    assert "Assign to me" in text
    assert url("resolve", open_one) in text
    assert url("approve", open_one) not in text
    text = page(client, url("change", done))
    assert url("approve", done) in text
    assert url("reopen", done) in text
    assert url("resolve", done) not in text


def test_actions_of_the_list_are_checked_on_the_server(
    client: Client, profile: Profile
):
    row = make_mismatch(profile, state="resolved", resolved_by="ravi")
    other = make_mismatch(profile, fault_id=2)
    client.force_login(make_person("member", SEE))
    act(client, "resolve", [other.pk], confirmed="yes", reason="fee")
    client.force_login(make_person("worker", *WORK))
    act(client, "approve", [row.pk], confirmed="yes")
    assert (again(row).state, again(other).state) == ("resolved", "open")


# --- One ------------------------------------------------------------------------------


def test_one_is_taken_resolved_approved_and_reopened(
    client: Client, browser: Client, profile: Profile, asha: User
):
    row = make_mismatch(profile, *make_pair(profile))
    form = form_of(page(browser, url("change", row)))
    assert browser.post(url("take", row), {"seen": "9" * 30}).status_code == 302
    browser.post(url("unassign", row), {"confirmed": "yes", "seen": "9" * 30})
    browser.post(url("take", row))
    assert (again(row).state, again(row).assignee_id) == ("assigned", asha.pk)
    asked = form_of(page(browser, url("resolve", row)))
    answer = browser.post(url("resolve", row), {**asked, "reason": ""})
    assert "This field is required" in answer.content.decode()
    answer = browser.post(url("resolve", row), {**asked, "reason": "other"})
    assert "a note has to say why" in answer.content.decode()
    assert again(row).state == "assigned"
    form = {**asked, "reason": "other", "note": "as agreed"}
    answer = browser.post(url("resolve", row), form, follow=True)
    assert said(answer) == "1 resolved."
    assert "as agreed" in answer.content.decode()
    asha.user_permissions.add(*_permissions("approve_reconciliation"))
    answer = browser.post(url("approve", row), {"confirmed": "yes"}, follow=True)
    assert said(answer) == "0 approved. Left as they were: 1 resolved by yourself."
    client.force_login(make_person("boss", SEE, "approve_reconciliation"))
    client.post(url("approve", row), {"confirmed": "yes"})
    assert again(row).approved_by == "boss"
    client.force_login(asha)
    client.post(url("reopen", row), {"confirmed": "yes", "why": "the bank says no"})
    assert again(row).state == "open"


def _permissions(*codes: str) -> Any:
    return Permission.objects.filter(codename__in=codes)


def test_a_page_that_asks_about_one_says_which(browser: Client, profile: Profile):
    ours, theirs = make_pair(profile)
    row = make_mismatch(profile, ours, theirs)
    text = page(browser, url("resolve", row))
    assert f'href="{url("change", row)}">Amount {row.pk}: {ours.txn_id}</a>' in text
    match = make_match(profile, ours, theirs)
    address = reverse("admin:reconciliation_match_refuse", args=[match.pk])
    assert f">Match {match.pk} of {profile.name} of t1<" in page(browser, address)


def test_the_question_counts_one_as_one(client: Client, profile: Profile):
    done: Any = {"state": "resolved", "resolved_by": "ravi", "reason_code": "fee"}
    rows = [make_mismatch(profile, fault_id=n, **done) for n in (1, 2)]
    client.force_login(make_person("boss", *WORK, "approve_reconciliation"))
    text = page(client, url("approve", rows[0]))
    assert "Agree with how 1 mismatch was resolved?" in text
    answer = act(client, "approve", [row.pk for row in rows])
    assert "Agree with how 2 mismatches were resolved?" in answer.content.decode()


def test_who_takes_what_somebody_took_is_told(browser: Client, profile: Profile):
    row, ravi = make_mismatch(profile), make_person("ravi", *WORK)
    seen = form_of(page(browser, url("change", row)))["seen"]
    asked = form_of(page(browser, url("assign", row)))
    other = Client()
    other.force_login(ravi)
    other.post(url("take", row))
    answer = browser.post(url("take", row), {"seen": seen}, follow=True)
    assert "1 changed meanwhile" in said(answer)
    form = {**asked, "assignee": make_person("third", *WORK).pk}
    answer = browser.post(url("assign", row), form, follow=True)
    assert "1 changed meanwhile" in said(answer)
    assert again(row).assignee_id == ravi.pk


def test_only_who_may_work_is_given_work(browser: Client, profile: Profile):
    row, outsider = make_mismatch(profile), make_person("outsider", SEE)
    assert "outsider" not in page(browser, url("assign", row))
    form = {"confirmed": "yes", "assignee": outsider.pk}
    answer = browser.post(url("assign", row), form)
    assert "Select a valid choice" in answer.content.decode()
    assert again(row).state == "open"


def test_a_page_shows_both_sides_and_marks_what_differs(
    browser: Client, profile: Profile
):
    secret = "50100012345678"
    ours, theirs = make_pair(
        profile,
        txn_id=f"HDFC:{secret}:1",
        theirs={
            "txn_id": f"HDFC:{secret}:2",
            "amount": Decimal("99.50"),
            "status": "PENDING",
        },
    )
    kin = make_row(profile, THEIRS, reference_id=ours.reference_id, amount=Decimal(7))
    near = make_row(profile, THEIRS, amount=Decimal("100.20"))
    gap = make_row(profile, THEIRS, amount=Decimal("0.50"))
    far = make_row(profile, THEIRS, amount=Decimal(300))
    late = make_row(
        profile, THEIRS, txn_timestamp=ours.txn_timestamp + timedelta(days=9)
    )
    row = make_mismatch(
        *(profile, ours, theirs),
        difference=Decimal("0.50"),
        notes=f"account {secret} is short",
    )
    answer = browser.get(url("change", row))
    text = answer.content.decode()
    differs = {line.title for line in answer.context["sides"] if line.differs}
    assert differs == {"Amount", "Status"}
    chosen = {choice.row.pk: choice for choice in answer.context["choices"]}
    assert set(chosen) == {ours.pk, theirs.pk, kin.pk, near.pk, gap.pk}
    assert not {far.pk, late.pk} & set(chosen)
    assert [chosen[pk].is_chosen for pk in (ours.pk, theirs.pk, kin.pk)] == [
        *(True, True),
        False,
    ]
    assert secret not in text
    assert "••••5678" in text
    assert f"/ingestion/transaction/{ours.pk}/" in text
    assert "in/UPI.csv" in text


def test_a_lone_row_is_offered_the_other_side_only(browser: Client, profile: Profile):
    ours, twin = make_row(profile, "LEDGER"), make_row(profile, "LEDGER")
    theirs = make_row(profile, THEIRS)
    told = make_mismatch(profile, None, theirs)
    row = make_mismatch(profile, ours)
    answer = browser.get(url("change", row))
    choices = answer.context["choices"]
    assert [choice.row.pk for choice in choices] == [ours.pk, theirs.pk]
    assert twin.pk not in {choice.row.pk for choice in choices}
    assert url("change", told) in str(choices[1].marks)


# --- Matched by hand ------------------------------------------------------------------


def test_rows_are_matched_by_hand_on_the_page(browser: Client, profile: Profile):
    ours, theirs = make_pair(profile, theirs={"amount": Decimal(99)})
    row = make_mismatch(profile, ours, theirs)
    chosen = {"row": [ours.pk, theirs.pk], "note": "fee of the branch"}
    answer = browser.post(url("match", row), chosen, follow=True)
    assert "1.00 apart" in said(answer)
    (refusal,) = answer.context["refusals"]
    assert "1.00 apart" in refusal
    assert answer.content.decode().count(refusal) == 2  # at the top and at the form
    assert "fee of the branch" in answer.content.decode()
    assert answer.context["differs"]
    answer = browser.post(
        url("match", row), {**chosen, "may_differ": "yes"}, follow=True
    )
    with all_tenants(reason="test"):
        match = Match.objects.get()
    assert f"match {match.pk}" in said(answer)
    assert (again(row).state, again(row).resolved_by) == ("resolved", "asha")
    assert url("reopen", row) not in answer.content.decode()
    answer = browser.post(url("match", row), chosen, follow=True)
    assert f"is in match {match.pk}: undo that first" in said(answer)


def test_rows_of_another_tenant_are_not_matched(browser: Client, profile: Profile):
    make_tenant("t2")
    ours, _ = make_pair(profile)
    foreign = make_row(make_profile("t2"), THEIRS)
    row = make_mismatch(profile, ours)
    form = {"row": [ours.pk, foreign.pk, "x", "²", "9" * 30]}
    answer = browser.post(url("match", row), form, follow=True)
    assert f"t1 has no transaction {foreign.pk}" in said(answer)


# --- Many -----------------------------------------------------------------------------


def test_many_are_previewed_and_then_resolved(browser: Client, profile: Profile):
    ids = make_mismatches(profile, 3)
    other = make_mismatches(
        *(profile, 2), mismatch_type="duplicate", currency="USD", amount=Decimal(7)
    )
    done = make_mismatches(profile, 1, state="resolved", resolved_by="x")
    answer = act(browser, "resolve", [*ids, *other, *done])
    context = answer.context
    assert context["count"] == 5
    assert context["left"] == "1 resolved already"
    assert [(s["kind"], s["count"], s["amount"]) for s in context["stakes"]] == [
        ("missing external", "3", "7.50 INR"),
        ("duplicate", "2", "14.00 USD"),
    ]
    assert context["totals"] == [("7.50 INR", "7.50 INR"), ("14.00 USD", "5.00 USD")]
    assert "Resolve 5 mismatches" in answer.content.decode()
    assert _states() == {"open": 5, "resolved": 1}
    form = form_of(answer.content.decode())
    late = make_mismatch(profile)
    asked = {"confirmed": "yes", "seen": form["seen"], "reason": "timing"}
    answer = act(browser, "resolve", [*ids, *other, *done, late.pk], **asked)
    assert said(answer) == (
        "5 resolved. Left as they were: 1 changed meanwhile, 1 resolved already."
    )
    assert _states() == {"open": 1, "resolved": 6}


def test_all_that_the_filter_finds_are_meant_beyond_the_page(
    browser: Client, profile: Profile
):
    ids = make_mismatches(profile, 120)
    make_mismatches(profile, 3, mismatch_type="duplicate")
    address = f"{reverse(LIST)}?mismatch_type__exact=missing_external"
    form = {
        "action": "resolve_selected",
        "_selected_action": ids[:1],
        "select_across": "1",
    }
    answer = browser.post(address, form)
    assert answer.context["count"] == 120
    hidden = form_of(answer.content.decode())
    assert hidden["select_across"] == "1"
    asked = {**form, "confirmed": "yes", "seen": hidden["seen"], "reason": "timing"}
    browser.post(address, asked)
    assert _states() == {"open": 3, "resolved": 120}


def test_more_than_at_once_are_said_and_the_oldest_taken(
    browser: Client, profile: Profile, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(decisions_admin, "AT_ONCE", 2)
    ids = make_mismatches(profile, 3)
    answer = act(browser, "resolve", ids)
    assert answer.context["is_cut"]
    assert "Resolve 2 mismatches" in answer.content.decode()
    act(browser, "resolve", ids, confirmed="yes", reason="timing")
    assert _states() == {"open": 1, "resolved": 2}


def test_nobody_approves_their_own_among_many(client: Client, profile: Profile):
    boss = make_person("boss", *WORK, "approve_reconciliation")
    values: dict[str, Any] = {"state": "resolved", "reason_code": "fee"}
    own = make_mismatches(profile, 1, resolved_by="boss", **values)
    others = make_mismatches(profile, 2, resolved_by="asha", **values)
    client.force_login(boss)
    answer = act(client, "approve", own + others)
    assert answer.context["left"] == "1 resolved by yourself"
    act(client, "approve", own + others, confirmed="yes")
    assert _states() == {"resolved": 1, "approved": 2}


def test_many_are_assigned_unassigned_and_reopened(
    browser: Client, profile: Profile, asha: User
):
    ids = make_mismatches(profile, 2)
    act(browser, "assign", ids, confirmed="yes", assignee=asha.pk)
    assert _states() == {"assigned": 2}
    act(browser, "unassign", ids[:1], confirmed="yes")
    assert _states() == {"assigned": 1, "open": 1}
    act(browser, "resolve", ids, confirmed="yes", reason="fee")
    answer = act(browser, "reopen", ids, confirmed="yes")
    assert "This field is required" in answer.content.decode()
    act(browser, "reopen", ids, confirmed="yes", why="wrong fee")
    assert _states() == {"open": 2}


def _states() -> dict[str, int]:
    with all_tenants(reason="test"):
        states = list(Reconciliation.objects.values_list("state", flat=True))
    return {state: states.count(state) for state in states}


# --- Found ----------------------------------------------------------------------------


def test_the_list_is_what_is_to_be_worked_off_unless_asked(
    browser: Client, profile: Profile, asha: User
):
    today = timezone.localdate()
    rows = {
        state: make_mismatch(
            *(profile,), fault_id=n, state=state, approved_by="x", day=today
        ).pk
        for n, state in enumerate(
            ("open", "assigned", "resolved", "approved", "closed"), start=1
        )
    }
    with all_tenants(reason="test"):
        Reconciliation.objects.filter(pk=rows["assigned"]).update(assignee=asha)
    assert found(browser) == [rows["open"], rows["assigned"]]
    assert found(browser, state="all") == sorted(rows.values())
    assert found(browser, state="closed") == [rows["closed"]]
    assert found(browser, assignee="mine") == [rows["assigned"]]
    assert found(browser, assignee=asha.pk) == [rows["assigned"]]
    assert found(browser, assignee="nobody") == [rows["open"]]


def test_mismatches_are_filtered_by_what_they_are(browser: Client, profile: Profile):
    make_tenant("t2")
    other = make_profile("t2", name="cards")
    make_mismatch(profile, fault_id=1)
    row = make_mismatch(
        *(other,),
        fault_id=2,
        tenant_id="t2",
        mismatch_type="fee",
        amount=Decimal(7000),
        day=timezone.localdate(),
    )
    assert len(found(browser)) == 2
    for asked in (
        {"mismatch_type__exact": "fee"},
        {"tenant__slug__exact": "t2"},
        {"profile__id__exact": other.pk},
        {"amount_from": "5000"},
        {"day_from": str(timezone.localdate())},
        {"age": "0-1"},
    ):
        assert found(browser, **asked) == [row.pk], asked
    assert found(browser, amount_to="x") == found(browser, day_to="x") == []


@pytest.mark.parametrize("name", ["reconciliation", "match"])
def test_the_only_profile_is_offered_as_a_filter(
    browser: Client, profile: Profile, name: str
):
    address = reverse(f"admin:reconciliation_{name}_changelist")
    assert '<select name="profile__id__exact"' in page(browser, address)


@pytest.mark.parametrize(
    ("age", "days"),
    [
        ("0-1", {-1, 0, 1}),
        ("2-7", {2, 7}),
        ("8-30", {8, 30}),
        ("31-90", {31, 90}),
        ("over-90", {91, 400}),
    ],
)
def test_each_age_has_its_days(
    browser: Client, profile: Profile, age: str, days: set[int]
):
    today, all_days = timezone.localdate(), (-1, 0, 1, 2, 7, 8, 30, 31, 90, 91, 400)
    made = {
        make_mismatch(profile, fault_id=n, day=today - timedelta(days=day)).pk: day
        for n, day in enumerate(all_days, start=1)
    }
    assert {made[pk] for pk in found(browser, age=age)} == days


def test_a_mismatch_is_found_by_number_key_and_transaction(
    browser: Client, profile: Profile
):
    ours, theirs = make_pair(profile)
    row = make_mismatch(profile, ours, theirs, state="resolved")
    lone = make_mismatch(profile, None, make_row(profile, THEIRS))
    make_mismatch(profile, fault_id=1)
    for term in (str(row.pk), row.key, ours.txn_id, theirs.txn_id):
        assert found(browser, q=term) == [row.pk], term
    assert found(browser, q=lone.external_txn_id) == [lone.pk]
    assert found(browser, q="nothing") == []
    assert found(browser, q=str(row.pk), state="open") == []


def test_a_longer_list_takes_no_more_queries(browser: Client, profile: Profile):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert len(found(browser)) > 0
        return len(captured)

    make_mismatches(profile, 1)
    queries()
    few = queries()
    make_mismatches(profile, 20)
    assert queries() == few


def test_the_list_is_masked(browser: Client, profile: Profile):
    secret = "50100012345678"
    make_mismatch(
        *(profile,),
        internal_txn_id=f"HDFC:{secret}:1",
        key=f"HDFC:{secret}:2",
        notes=f"from {secret}",
    )
    text = page(browser, reverse(LIST))
    assert secret not in text
    assert "HDFC:••••5678:1" in text


def test_amounts_that_a_run_told_are_grouped(browser: Client, profile: Profile):
    told = "287212.73 here, 7122.73 there: 90.00 INR apart, 50100012345678"
    row = make_mismatch(profile, notes=told)
    with all_tenants(reason="test"):
        row.events.update(action="changed", text=told)
    for address in (reverse(LIST), url("change", row)):
        text = page(browser, address)
        assert "287,212.73 here, 7,122.73 there: 90.00 INR apart, ••••5678" in text
        assert "287212.73" not in text
        assert "50100012345678" not in text


# --- Export ---------------------------------------------------------------------------


def export(browser: Client, **asked: Any) -> list[dict[str, str]]:
    address = reverse(ROW.format("export"))
    answer = browser.post(f"{address}?{_query(asked)}")
    assert answer.status_code == 200
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


def _query(asked: dict[str, Any]) -> str:
    return "&".join(f"{name}={value}" for name, value in asked.items())


def test_an_export_is_the_filter_masked_and_disarmed(client: Client, profile: Profile):
    client.force_login(make_person("asha", SEE, "export_reconciliation"))
    make_mismatch(
        *(profile,),
        fault_id=1,
        key="=cmd|' /C calc'!A0",
        notes="@SUM(A1)",
        internal_txn_id="HDFC:50100012345678:1",
        difference=Decimal("-1.50"),
    )
    make_mismatch(profile, fault_id=2, mismatch_type="fee", state="closed")
    (row,) = export(client)
    assert row["key"] == "'=cmd|' /C calc'!A0"
    assert row["notes"] == "'@SUM(A1)"
    assert row["internal_txn_id"] == "HDFC:••••5678:1"
    assert (row["difference"], row["profile_name"], row["day"]) == (
        *("-1.50", "upi"),
        "2026-04-01",
    )
    assert len(export(client, state="all")) == 2
    assert "2 rows as CSV: state=all" in str(LogEntry.objects.first().change_message)
    assert "Export these" in page(client, reverse(LIST))


def test_only_who_may_exports(client: Client, profile: Profile):
    address = reverse(ROW.format("export"))
    for codes, status in (
        ((SEE,), 403),
        (("export_reconciliation",), 403),
        ((SEE, "export_reconciliation"), 405),
    ):
        client.force_login(make_person(f"p{len(codes)}{codes[0]}", *codes))
        assert client.get(address).status_code == status
    client.force_login(make_person("member", SEE))
    assert client.post(address).status_code == 403
    assert "Export these" not in page(client, reverse(LIST))
