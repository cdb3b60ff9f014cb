"""Runs of the kind `reconcile`: what they find, keep, take over and leave alone."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from ingestion.models import Transaction
from reconciliation.mismatches import (
    mismatches_assign,
    mismatches_reopen,
    mismatches_resolve,
)
from reconciliation.models import (
    FileDay,
    Finding,
    Match,
    MatchRow,
    MismatchEvent,
    OpenRow,
    Profile,
    Reconciliation,
    Run,
)
from reconciliation.pairing import match_by_hand, match_undo
from reconciliation.terms import terms_json, terms_of
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_tenant, run
from tests.integration.two_sides import (
    ENDS,
    STARTS,
    arrive,
    make_profile,
    order,
    ours,
    reconcile,
    runs,
    set_rules,
    standing,
    theirs,
)

pytestmark = pytest.mark.django_db(transaction=True)

BY_ACCOUNT = {"key": "account_id", "is_confirmed": False}
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def tenant() -> None:
    make_tenant("t1")


def snapshot() -> list[dict[str, object]]:
    """Return all mismatches with their history."""
    with all_tenants(reason="test"):
        return [
            *Reconciliation.objects.order_by("pk").values(),
            *MismatchEvent.objects.order_by("pk").values(),
        ]


def history() -> list[tuple[str, str, str]]:
    with all_tenants(reason="test"):
        events = MismatchEvent.objects.order_by("pk")
        return list(events.values_list("mismatch__mismatch_type", "action", "actor"))


def test_what_agrees_is_counted_and_what_differs_is_told():
    make_profile()
    _, _, i2, i3, e3, e4 = arrive(
        *(ours("R1"), theirs("R1"), ours("R2")),
        *(ours("R3", "10.00"), theirs("R3", "12.50"), theirs("R4")),
    )
    result = reconcile()
    assert standing() == {
        ("missing_external", i2, None, "open"),
        ("amount", i3, e3, "open"),
        ("missing_internal", None, e4, "open"),
    }
    assert (result["rows"], result["plain"], result["unmatched"]) == (6, 1, 4)
    assert result["mismatches"] == {
        "missing_external": 1,
        "amount": 1,
        "missing_internal": 1,
    }
    assert (result["found"], result["closed"], result["mode"]) == (3, 0, "full")
    with all_tenants(reason="test"):
        told = Reconciliation.objects.get(mismatch_type="amount")
    assert (told.amount, told.difference) == (Decimal("10.00"), Decimal("2.50"))
    assert told.notes == "10.00 here, 12.50 there: 2.50 INR apart"
    assert (str(told.day), told.key, told.currency) == ("2026-01-15", "R3", "INR")


def test_a_second_run_over_equal_data_changes_nothing():
    make_profile({}, {"shape": "one_to_many"}, BY_ACCOUNT)
    arrive(ours("R1"), theirs("R1"), ours("R2"), theirs(None), ours("R3", "5"))
    arrive(theirs("R3", "2"), theirs("R3", "3"), ours(None, account="A"))
    arrive(theirs(None, account="A"))
    reconcile()
    before = snapshot()
    result = reconcile()
    assert snapshot() == before
    assert (result["found"], result["closed"], result["mode"]) == (0, 0, "changes")
    assert [found.state for found in runs()] == ["done", "done"]


def test_a_late_answer_closes_its_question_with_a_line_of_history():
    make_profile()
    (asked,) = arrive(ours("R1"))
    reconcile()
    assert standing() == {("missing_external", asked, None, "open")}
    arrive(theirs("R1", at=ENDS + timedelta(hours=2)))
    result = reconcile(starts=ENDS, ends=ENDS + DAY)
    assert standing() == set()
    assert result["closed"] == 1
    assert history() == [
        ("missing_external", "found", f"run {runs()[0].pk}"),
        ("missing_external", "closed", f"run {runs()[1].pk}"),
    ]


def test_a_late_row_of_an_earlier_day_is_looked_at_by_the_next_run():
    make_profile()
    arrive(ours("R1"), theirs("R1"))
    reconcile()
    (late,) = arrive(theirs("R9"))
    (again,) = arrive(theirs("R1"))
    reconcile(starts=ENDS, ends=ENDS + DAY)
    told = standing()
    assert ("missing_internal", None, late, "open") in told
    assert {kind for kind, *_ in told} == {"missing_internal", "duplicate"}
    assert [again] == [e for kind, _, e, _ in told if kind == "duplicate"]


def test_rows_of_before_the_first_run_are_left_alone():
    make_profile()
    arrive(ours("R1", at=STARTS - timedelta(days=9)))
    reconcile()
    assert standing() == set()


def test_a_mismatch_that_changes_keeps_who_has_it():
    person = User.objects.create(username="asha")
    make_profile()
    asked, _ = arrive(ours("R1", "10.00"), ours("R2"))
    reconcile()
    with all_tenants(reason="test"):
        Reconciliation.objects.filter(internal_id=asked).update(
            state="assigned", assignee=person
        )
    (answer,) = arrive(theirs("R1", "12.00"))
    reconcile()
    assert ("amount", asked, answer, "assigned") in standing()
    with all_tenants(reason="test"):
        assert Reconciliation.objects.get(mismatch_type="amount").assignee == person


def test_what_a_person_has_resolved_stays_resolved():
    make_profile()
    (asked,) = arrive(ours("R1"))
    reconcile()
    with all_tenants(reason="test"):
        Reconciliation.objects.update(
            state="resolved", reason_code="written_off", resolved_by="asha"
        )
    arrive(ours("R1"))
    reconcile()
    assert ("missing_external", asked, None, "resolved") in standing()


def test_what_was_closed_is_opened_when_it_comes_back():
    profile = make_profile()
    asked, _ = arrive(ours("R1", "10.00"), theirs("R1", "11.00"))
    reconcile()
    set_rules(profile, {"amount": "5.00"})
    reconcile()
    assert standing() == set()
    set_rules(profile, {})
    reconcile()
    assert {(kind, i, state) for kind, i, _, state in standing()} == {
        ("amount", asked, "open")
    }
    assert [action for _, action, _ in history()] == ["found", "closed", "found"]


def test_rounding_and_fees_are_resolved_by_rule():
    make_profile(closes_up_to="0.05", fee_percent="2", closes_fees=True)
    arrive(
        *(ours("R1", "10.00"), theirs("R1", "10.05")),
        *(ours("R2", "10.00"), theirs("R2", "10.06")),
        *(ours("R3", "100.00"), theirs("R3", "98.00")),
    )
    reconcile()
    with all_tenants(reason="test"):
        told = Reconciliation.objects.order_by("key")
        assert [(r.mismatch_type, r.state, r.reason_code) for r in told] == [
            ("amount", "resolved", "rounding"),
            ("amount", "open", ""),
            ("fee", "resolved", "fee"),
        ]


def test_a_wider_rounding_resolves_what_is_open_and_nobodys():
    profile = make_profile(needs_approval=True)
    for reference in ("R1", "R2", "R3", "R4"):
        arrive(ours(reference, "10.00"), theirs(reference, "10.05"))
    arrive(ours("R5", "10.00"), theirs("R5", "11.00"))
    reconcile()
    person = User.objects.create_user("asha")
    with tenant_scope("t1"):
        ids = dict(Reconciliation.objects.values_list("key", "pk"))
        values: dict[str, Any] = {"by": "asha", "now": timezone.now()}
        mismatches_assign(rows=[ids["R2"]], assignee=person, **values)
        for key in ("R3", "R4"):
            mismatches_resolve(rows=[ids[key]], reason="timing", **values)
        mismatches_reopen(rows=[ids["R3"]], why="not so", **values)
        Profile.objects.filter(pk=profile.pk).update(closes_up_to="0.05")
    assert reconcile()["mode"] == "full"
    with all_tenants(reason="test"):
        told = Reconciliation.objects.order_by("key")
        assert [(r.key, r.state, r.reason_code) for r in told] == [
            ("R1", "resolved", "rounding"),
            ("R2", "assigned", ""),
            ("R3", "open", ""),
            ("R4", "resolved", "timing"),
            ("R5", "open", ""),
        ]
        said = MismatchEvent.objects.filter(mismatch=ids["R1"]).order_by("pk")
        assert [(e.actor, e.action, e.text) for e in said][1:] == [
            ("rule", "resolved", "rounding")
        ]
    before = snapshot()
    reconcile()
    assert snapshot() == before


def test_matches_by_another_key_are_kept_and_nothing_is_matched_twice():
    make_profile({}, {"key": "account_id"})
    mine, yours = arrive(ours("R1", account="A"), theirs("R2", account="A"))
    reconcile()
    assert standing() == set()
    with all_tenants(reason="test"):
        match = Match.objects.get()
        assert (match.state, match.rule, match.lead) == ("confirmed", 2, mine)
        rows = MatchRow.objects.values_list("transaction_id", "side", "is_live")
        assert set(rows) == {(mine, "I", True), (yours, "E", True)}
    # A row with the very reference comes too late.
    (late,) = arrive(theirs("R1"))
    reconcile()
    assert standing() == {("missing_internal", None, late, "open")}


def test_a_suggestion_gives_way_to_a_better_answer():
    make_profile({}, BY_ACCOUNT)
    _, likely = arrive(ours("R1", account="A"), theirs(None, account="A"))
    reconcile()
    with all_tenants(reason="test"):
        assert Match.objects.get().state == "suggested"
    assert standing() == set()
    arrive(theirs("R1"))
    reconcile()
    with all_tenants(reason="test"):
        assert not Match.objects.exists()
    assert standing() == {("missing_internal", None, likely, "open")}


def test_what_a_person_took_apart_no_rule_matches_again():
    make_profile({}, {"key": "account_id"})
    mine, yours = arrive(ours("R1", account="A"), theirs("R2", account="A"))
    reconcile()
    with all_tenants(reason="test"):
        Match.objects.update(state="undone", decided_by="asha")
        MatchRow.objects.update(is_live=False)
    # New files of both, so that both are looked at.
    arrive(theirs("R1", "99"), ours("R2", "98"))
    reconcile()
    told = standing()
    assert {row for _, i, e, _ in told for row in (i, e)} >= {mine, yours}
    with all_tenants(reason="test"):
        assert Match.objects.count() == 1


def test_a_dry_run_counts_by_other_rules_and_changes_nothing():
    make_profile()
    arrive(ours("R1", "10.00"), theirs("R1", "10.40"))
    reconcile()
    before = snapshot()
    rule = {
        "key": "reference_id",
        "shape": "one_to_one",
        "amount": "0.50",
        "percent": "0",
        "days": 1,
        "is_business_days": False,
        "is_less_fee": False,
        "is_confirmed": True,
    }
    result = reconcile(rules=[rule])
    assert (result["plain"], result["mismatches"]) == (1, {})
    assert snapshot() == before
    with all_tenants(reason="test"):
        assert Run.objects.get(is_dry=True).counts["plain"] == 1
        # The open rows of the real run are still there.
        assert OpenRow.objects.count() == 2
        assert Finding.objects.count() == 1


def test_a_run_waits_for_another_one_of_its_profile():
    profile = make_profile()
    arrive(ours("R1"))
    with all_tenants(reason="test"):
        busy = Run.objects.create(
            tenant_id="t1",
            profile=profile,
            period_starts_at=STARTS,
            period_ends_at=ENDS,
            as_of=ENDS,
            file_ids=[],
            terms=terms_json(terms_of(profile)),
        )
    job = run(order())
    assert (job.state, job.error["code"]) == ("retryable", "profile_busy")
    assert f"Run {busy.pk}" in job.error["message"]
    with all_tenants(reason="test"):
        Run.objects.filter(pk=busy.pk).update(state="failed")
    assert reconcile()["found"] == 1


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"profile": "none"}, "unknown_profile"),
        (
            {"starts": STARTS + 9999 * DAY, "ends": ENDS + 9999 * DAY},
            "period_in_future",
        ),
        ({"rules": []}, "profile_has_faults"),
        ({"rules": [{"key": "colour"}]}, "unknown_rule"),
    ],
)
def test_what_cannot_be_run_is_refused_with_a_reason(values: dict, code: str):
    make_profile()
    job = run(order(**values))
    assert (job.state, job.error["code"]) == ("dead", code)
    assert standing() == set()
    assert runs() == []


def test_what_files_brought_of_each_day_is_counted_once():
    make_profile()
    arrive(ours("R1"), theirs("R1"), ours("R2", "5", at=ENDS))
    reconcile()
    reconcile(starts=ENDS, ends=ENDS + DAY)
    with all_tenants(reason="test"):
        days = FileDay.objects.order_by("day", "side")
        assert [(str(d.day), d.side, d.rows, d.amount) for d in days] == [
            ("2026-01-15", "E", 1, Decimal("10.00")),
            ("2026-01-15", "I", 1, Decimal("10.00")),
            ("2026-01-16", "I", 1, Decimal("5.00")),
        ]


def test_many_rows_of_one_reference_are_ambiguous_and_matched_not_at_all():
    make_profile({}, {"shape": "one_to_many"}, {"shape": "many_to_one"})
    arrive(*[ours("R1")] * 5_000, *[theirs("R1")] * 5_000)
    result = reconcile()
    assert result["matched"] == {}
    assert result["mismatches"] == {"ambiguous": 1}
    with all_tenants(reason="test"):
        told = Reconciliation.objects.get()
    assert told.notes == "5000 rows here and 5000 there share the key R1"


def test_a_tenant_runs_over_its_own_rows_alone():
    make_tenant("t2")
    make_profile()
    make_profile(tenant="t2")
    arrive(ours("R1"))
    arrive(theirs("R1"), tenant="t2")
    reconcile()
    reconcile(tenant="t2")
    assert {kind for kind, *_ in standing(tenant="t1")} == {"missing_external"}
    assert {kind for kind, *_ in standing(tenant="t2")} == {"missing_internal"}


def test_a_file_whose_rows_are_gone_holds_no_run_up():
    make_profile()
    arrive(ours("R1"))
    with all_tenants(reason="test"):
        Transaction.objects.all().delete()
    assert reconcile()["rows"] == 0


def test_what_a_person_has_matched_is_told_no_more():
    profile = make_profile()
    rows = arrive(ours("R1"), theirs("R2"), theirs("R1", "3.00"))
    reconcile()
    with tenant_scope("t1"):
        match_by_hand(
            profile=profile, transaction_ids=rows[:2], by="asha", now=timezone.now()
        )
    result = reconcile()
    assert result["matched"] == {"0": 2}
    assert standing(state="open") == {("missing_internal", None, rows[2], "open")}
    with all_tenants(reason="test"):
        match = Match.objects.get()
        match_undo(match=match, why="wrong one", by="asha", now=timezone.now())
    reconcile()
    told = {(kind, i, e) for kind, i, e, _ in standing(state="open")}
    assert told == {
        ("amount", rows[0], rows[2]),
        ("missing_internal", None, rows[1]),
    }
