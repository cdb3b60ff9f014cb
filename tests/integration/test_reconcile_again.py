"""What later runs make of what earlier runs, failed runs and people have left."""

from datetime import timedelta
from typing import Any

import pytest

from ingestion.models import FileFault, IngestedFile, Transaction
from reconciliation import pairing, ranges
from reconciliation.measures import match_rate
from reconciliation.models import FileDay, Match, MismatchEvent, Reconciliation, Run
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_tenant
from tests.integration.two_sides import (
    ENDS,
    STARTS,
    arrive,
    drive,
    make_profile,
    order,
    ours,
    runs,
    set_rules,
    standing,
    theirs,
)

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
LATER = ENDS + 9 * DAY
ANY_AMOUNT = {"amount": "5.00"}
BY_ACCOUNT = {"key": "account_id"}
BY_ID = {"key": "source_txn_id"}


@pytest.fixture(autouse=True)
def tenant() -> None:
    make_tenant("t1")


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROWS_OF_A_RANGE", "ROWS_LOOKED_UP"):
        monkeypatch.setattr(ranges, name, 1)


def period(day: int) -> dict[str, Any]:
    """Return a day of so many days after the first."""
    return {"starts": STARTS + day * DAY, "ends": ENDS + day * DAY}


def kinds() -> dict[str, str]:
    """Return the state of each mismatch by its type."""
    with all_tenants(reason="test"):
        return dict(Reconciliation.objects.values_list("mismatch_type", "state"))


# --- Runs that failed -----------------------------------------------------------------


def test_a_job_that_comes_back_from_the_dead_is_a_later_run():
    make_profile()
    arrive(ours("R1", status="PENDING", at=STARTS + 6 * DAY))
    job = order(**period(6))
    dead = drive(job=job, dies_at="telling", now=ENDS + 6 * DAY)
    drive(**period(0), now=ENDS + 6 * DAY)
    drive(job=job, state=dead, now=ENDS + 6 * DAY)
    assert [(r.state, r.job_id) for r in runs()] == [
        ("failed", None),
        ("done", runs()[1].job_id),
        ("done", job.pk),
    ]
    # What it found to be pending is asked again by the next one.
    drive(**period(0), now=LATER + 6 * DAY)
    assert kinds() == {"stale_pending": "open"}


def test_what_a_run_of_other_rules_closed_before_it_failed_is_opened_again():
    profile = make_profile()
    arrive(ours("R1", "10.00"), theirs("R1", "12.00"))
    drive()
    set_rules(profile, ANY_AMOUNT)
    drive(dies_at="keeping")
    assert kinds() == {"amount": "closed"}
    set_rules(profile, {})
    assert drive()["mode"] == "full"
    assert kinds() == {"amount": "open"}


def test_days_told_by_the_terms_of_a_run_that_failed_are_forgotten():
    profile = make_profile()
    arrive(ours("R1", at=STARTS), theirs("R1", at=STARTS))
    drive()
    with tenant_scope("t1"):
        type(profile).objects.update(time_zone="UTC")
    drive(dies_at="telling")
    with tenant_scope("t1"):
        type(profile).objects.update(time_zone="Asia/Kolkata")
    drive()
    with all_tenants(reason="test"):
        days = {str(day) for day in FileDay.objects.values_list("day", flat=True)}
    assert days == {"2026-01-15"}


# --- Other days -----------------------------------------------------------------------


def test_late_rows_are_looked_at_though_an_older_day_was_run_in_between():
    make_profile()
    drive(**period(5))
    (late,) = arrive(ours("R1", at=STARTS + 5 * DAY))
    (keyless,) = arrive(ours(None, at=STARTS + 5 * DAY))
    drive(**period(0))
    drive(**period(6))
    assert standing() == {
        ("missing_external", late, None, "open"),
        ("missing_external", keyless, None, "open"),
    }


@pytest.mark.parametrize(
    "apart",
    [-timedelta(hours=7), timedelta(hours=19)],
    ids=["before", "behind"],
)
def test_an_answer_of_a_day_never_told_of_closes_its_question(
    apart: timedelta,
):
    make_profile()
    arrive(ours("R1"))
    drive()
    assert kinds() == {"missing_external": "open"}
    arrive(theirs("R1", at=STARTS + timedelta(hours=6) + apart))
    assert drive()["mode"] == "changes"
    assert kinds() == {"missing_external": "closed"}


def test_an_answer_closes_what_a_run_of_another_day_told_before_it_failed():
    make_profile()
    arrive(ours("R1", at=STARTS + 5 * DAY))
    drive()
    drive(**period(5), dies_at="keeping")
    assert kinds() == {"missing_external": "open"}
    arrive(theirs("R1", at=STARTS + 5 * DAY))
    assert drive()["mode"] == "changes"
    assert kinds() == {"missing_external": "closed"}


def test_rows_of_open_questions_and_of_late_files_are_opened_too():
    profile = make_profile({}, BY_ACCOUNT)
    arrive(ours("R1"), ours(None), ours("R3", account="A"), theirs("R4", account="A"))
    assert drive()["opened"] == 4
    set_rules(profile, {"days": 2}, BY_ACCOUNT)
    assert drive()["opened"] == 4
    arrive(ours("R2"))
    assert drive(**period(1))["opened"] == 3
    # Who is asked of ours has theirs opened, and that is of another reference.
    arrive(theirs("R3"))
    assert drive(**period(1), now=LATER + DAY)["opened"] == 3


def test_rows_without_a_reference_count_whenever_they_were_opened():
    profile = make_profile({}, BY_ACCOUNT)
    arrive(ours("R1"), theirs("R1"), ours(None), theirs(None))
    arrive(ours("R2", account="A"), theirs(None, account="A"))
    assert drive()["rows"] == 6
    # By now questions and matches open them before their turn.
    set_rules(profile, {"days": 2}, BY_ACCOUNT)
    assert drive()["rows"] == 6


def test_an_answer_of_another_day_hides_no_row_that_does_not_match():
    make_profile()
    arrive(ours("R1"), ours("R2"), theirs("R1", at=ENDS + timedelta(hours=1)))
    assert match_rate(drive()) == 0.5


def test_faults_of_days_before_the_first_run_are_told_by_the_run_of_those_days():
    make_profile()
    drive(**period(5))
    arrive(ours("R1"))
    with all_tenants(reason="test"):
        file = IngestedFile.objects.get()
        FileFault.objects.create(
            tenant_id="t1", file=file, line=1, control="statement_gap"
        )
    drive(**period(0))
    assert kinds() == {"file_gap": "open", "missing_external": "open"}


def test_a_payment_that_only_time_makes_stale_is_told_by_a_run_with_nothing_new():
    make_profile()
    arrive(ours("R1", status="PENDING"), theirs(None, status="PENDING"))
    drive(now=ENDS)
    assert kinds() == {}
    drive(now=ENDS + DAY)
    assert kinds() == {}
    assert drive(now=LATER)["found"] == 2
    assert kinds() == {"stale_pending": "open"}


# --- What people decided --------------------------------------------------------------


def test_rows_that_a_person_matched_stay_matched():
    profile = make_profile()
    mine, other, _ = arrive(ours("R1", "10"), theirs("R2", "10"), theirs("R9", "7"))
    drive()
    with tenant_scope("t1"):
        pairing.match_by_hand(
            profile=profile, transaction_ids=[mine, other], by="asha", now=LATER
        )
    # Another row for which ours would be the answer.
    (late,) = arrive(theirs("R1", "10"))
    set_rules(profile, {}, ANY_AMOUNT | {"days": 2})
    drive()
    told = {(kind, i, e, state) for kind, i, e, state in standing()}
    assert ("missing_internal", None, late, "open") in told
    assert {state for kind, i, _, state in told if i == mine} == {"resolved"}


@pytest.mark.parametrize("kept", ["suggested", "confirmed", "plain"])
def test_rows_that_a_person_took_apart_are_told_by_the_next_run(kept: str):
    rule = BY_ACCOUNT | {"is_confirmed": kept == "confirmed"}
    profile = make_profile({}, rule)
    reference = "R1" if kept == "plain" else "R2"
    rows = arrive(ours("R1", account="A"), theirs(reference, account="A"))
    drive()
    assert standing() == set()
    why: dict[str, Any] = {"why": "not ours", "by": "asha", "now": LATER + DAY}
    with tenant_scope("t1"):
        if kept == "plain":
            pairing.unmatch_plain(profile=profile, transaction_ids=rows, **why)
        elif kept == "confirmed":
            pairing.match_undo(match=Match.objects.get(), **why)
        else:
            pairing.match_refuse(match=Match.objects.get(), **why)
    drive(**period(1), now=LATER + 2 * DAY)
    wanted = (
        {"ambiguous"}
        if kept == "plain"
        else {
            "missing_external",
            "missing_internal",
        }
    )
    assert {kind for kind, *_ in standing()} == wanted
    with all_tenants(reason="test"):
        notes = set(Reconciliation.objects.values_list("notes", flat=True))
    assert ("A person took them apart" in notes) == (kept == "plain")


def test_a_suggestion_is_confirmed_once_its_rule_is():
    profile = make_profile({}, BY_ACCOUNT | {"is_confirmed": False})
    arrive(ours("R1", account="A"), theirs("R2", account="A"))
    drive()
    with all_tenants(reason="test"):
        assert [m.state for m in Match.objects.all()] == ["suggested"]
    set_rules(profile, {}, BY_ACCOUNT)
    drive()
    with all_tenants(reason="test"):
        assert [m.state for m in Match.objects.all()] == ["confirmed"]
        assert Match.objects.get().rows.filter(is_live=True).count() == 2


@pytest.mark.parametrize("decides", [pairing.match_refuse, pairing.match_accept])
def test_what_a_person_decides_while_a_run_is_at_work_stands(decides: Any):
    make_profile({}, BY_ACCOUNT | {"is_confirmed": False})
    arrive(ours("R1", account="A"), theirs("R2", account="A"))
    drive()
    job = order()
    state = drive(job=job, stops_at="keeping")
    said = {"why": "no"} if decides is pairing.match_refuse else {}
    with tenant_scope("t1"):
        decides(match=Match.objects.get(), by="asha", now=LATER, **said)
    drive(job=job, state=state)
    wanted = "undone" if said else "confirmed"
    with all_tenants(reason="test"):
        assert list(Match.objects.values_list("state", flat=True)) == [wanted]


# --- Ranges ---------------------------------------------------------------------------


def test_the_other_side_of_a_duplicate_is_named_though_it_has_no_reference():
    make_profile({}, BY_ACCOUNT)
    mine, twin, yours = arrive(
        *(ours("R1", account="A"), ours("R1", account="B"), theirs(None, account="A"))
    )
    drive()
    assert standing() == {("duplicate", twin, yours, "open")}
    (third,) = arrive(ours("R1", account="C"))
    drive()
    assert standing() == {
        ("duplicate", twin, yours, "open"),
        ("duplicate", third, yours, "open"),
    }
    with all_tenants(reason="test"):
        told = Reconciliation.objects.get(internal_id=third)
        row = Transaction.objects.get(pk=yours)
    assert (told.external_txn_id, mine < twin) == (row.txn_id, True)


def test_a_question_opens_no_rows_of_another_range(small_ranges: None):
    profile = make_profile({}, BY_ACCOUNT)
    # Theirs of a reference before ours, in which else all is plain.
    mine, twin, _, _ = arrive(
        *(ours("R5", account="A"), ours("R5", account="B")),
        *(theirs("R1", account="A"), ours("R9")),
    )
    drive()
    before = standing()
    assert {kind for kind, *_ in before} == {"duplicate", "missing_external"}
    arrive(theirs("R9"))
    drive()
    assert {(kind, i) for kind, i, _, _ in standing()} == {("duplicate", twin)}
    set_rules(profile, {"days": 2}, BY_ACCOUNT)
    drive()
    assert {(kind, i) for kind, i, _, _ in standing()} == {("duplicate", twin)}
    assert mine < twin


def test_a_new_primary_key_forgets_no_payment_that_waits(small_ranges: None):
    profile = make_profile(BY_ID)
    arrive(
        *(ours(None, status="PENDING"), ours("R1", status="PENDING")),
        *(ours("R0"), theirs("R0"), theirs("R1", status="PENDING")),
    )
    drive(now=ENDS)
    set_rules(profile, {})
    drive(**period(1), now=ENDS + DAY)
    drive(**period(1), now=LATER)
    assert [kind for kind, *_ in standing()] == ["stale_pending"] * 2


def test_cuts_are_in_the_order_of_the_database():
    cuts = [f"{'aB'[n > 499]}{n:03}" for n in range(999)]
    found = ranges._ranges(cuts, wanted=4)
    assert [keys.upto for keys in found] == ["a249", "a499", "B749", None]


# --- History --------------------------------------------------------------------------


def test_each_change_that_a_run_makes_is_a_line_of_history():
    profile = make_profile()
    arrive(ours("R1", "10.00"), theirs("R1", "12.00"))
    drive()
    set_rules(profile, ANY_AMOUNT)
    drive()
    set_rules(profile, {})
    drive()
    with all_tenants(reason="test"):
        events = MismatchEvent.objects.order_by("pk")
        lines = list(events.values_list("action", "actor"))
        assert [run.is_dry for run in Run.objects.all()] == [False] * 3
    names = [f"run {run.pk}" for run in runs()]
    assert list(zip(["found", "closed", "found"], names, strict=True)) == lines
