"""Terms come back from JSON as they were; what is wrong with a profile is told."""

import json
from dataclasses import replace
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.matching import Fee, Key, Rule, Shape, Terms
from reconciliation.models import MatchRule, Profile
from reconciliation.terms import (
    NotARuleError,
    _most_days,
    faults_of,
    rule_from_json,
    rule_json,
    rule_of,
    terms_from_json,
    terms_json,
    terms_of,
)

KNOWN = ["LEDGER", "UPI", "MT940"]
FIRST = Rule(amount=Decimal("0.50"), days=2)
DECIMALS = st.decimals("0", "1e16", places=4)
NAMES = st.lists(st.text(max_size=9), max_size=4).map(tuple)
RULES = st.builds(
    Rule,
    key=st.sampled_from(Key),
    shape=st.sampled_from(Shape),
    amount=DECIMALS,
    percent=DECIMALS,
    days=st.integers(0, 400),
    is_business_days=st.booleans(),
    is_less_fee=st.booleans(),
    is_confirmed=st.booleans(),
)
TERMS = st.builds(
    Terms,
    internal=NAMES,
    external=NAMES,
    rules=st.lists(RULES, max_size=5).map(tuple),
    zone=st.sampled_from(["Asia/Kolkata", "America/New_York"]).map(ZoneInfo),
    cutoff=st.times(),
    fee=st.none() | st.builds(Fee, percent=DECIMALS, fixed=DECIMALS),
    stale_after=st.integers(0, 10**9).map(lambda seconds: timedelta(seconds=seconds)),
    closes_up_to=DECIMALS,
    closes_fees=st.booleans(),
)


@given(TERMS)
def test_terms_come_back_from_json_as_they_were(terms: Terms):
    text = json.dumps(terms_json(terms))

    back = terms_from_json(json.loads(text))

    assert back == terms
    # Amounts as they were written, too: 0.50 is no 0.5.
    assert json.dumps(terms_json(back)) == text


def test_terms_of_a_run_that_knew_of_fewer_are_read():
    made = Terms(internal=("A",), external=("B",), rules=(FIRST,), zone=ZoneInfo("UTC"))
    said = terms_json(made)
    del said["closes_up_to"], said["closes_fees"]

    assert terms_from_json(said) == made


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"key": "amount"},
            "key: Give one of: reference_id, source_txn_id, account_id.",
        ),
        ({"key": ["x"]}, "key: Give one of: "),
        (
            {"shape": "many_to_many"},
            "shape: Give one of: one_to_one, one_to_many, many_to_one.",
        ),
        ({"amount": "much"}, 'amount: Give an amount as text, like "0.50".'),
        ({"amount": "NaN"}, "amount: Give an amount"),
        ({"amount": "sNaN"}, "amount: Give an amount"),
        ({"amount": 0.5}, "amount: Give an amount"),
        ({"amount": "1E+99"}, "amount: Give an amount"),
        ({"percent": "Infinity"}, 'percent: Give a percentage as text, like "0.5".'),
        ({"percent": "0.00001"}, "percent: Give a percentage"),
        ({"days": None}, "days: Give a whole number."),
        ({"days": True}, "days: Give a whole number."),
        ({"is_confirmed": "false"}, "is_confirmed: Give true or false."),
        ({"colour": 1}, "colour: There is no such field. A rule has: key, shape, "),
    ],
)
def test_what_is_no_rule_is_refused_by_its_field(change: dict[str, Any], told: str):
    with pytest.raises(NotARuleError) as caught:
        rule_from_json(rule_json(FIRST) | change)
    assert str(caught.value).startswith(told)
    assert caught.value.field == next(iter(change))


def test_what_is_no_object_is_no_rule():
    with pytest.raises(NotARuleError, match=r"^A rule is an object\.$"):
        rule_from_json(["key"])


def test_what_a_rule_leaves_out_is_as_usual():
    assert rule_from_json({}) == Rule()
    found = rule_from_json({"key": "account_id", "is_confirmed": False})
    assert found == Rule(key=Key.ACCOUNT, is_confirmed=False)


# --- Of a profile ---------------------------------------------------------------------


def profile(**values: Any) -> Profile:
    said = {
        "tenant_id": "t1",
        "name": "UPI",
        "internal_sources": ["LEDGER"],
        "external_sources": ["UPI"],
        **values,
    }
    return Profile(**said)


def test_terms_of_a_profile():
    made = profile(
        time_zone="America/New_York",
        cutoff=time(18),
        fee_percent=Decimal("1.5"),
        fee_fixed=Decimal(2),
        stale_after_hours=5,
        closes_up_to=Decimal("0.05"),
        closes_fees=True,
    )

    assert terms_of(made, [FIRST]) == Terms(
        internal=("LEDGER",),
        external=("UPI",),
        rules=(FIRST,),
        zone=ZoneInfo("America/New_York"),
        cutoff=time(18),
        fee=Fee(percent=Decimal("1.5"), fixed=Decimal(2)),
        stale_after=timedelta(hours=5),
        closes_up_to=Decimal("0.05"),
        closes_fees=True,
    )


def test_a_new_profile_has_no_fee_and_its_days_end_at_midnight():
    terms = terms_of(profile(), [FIRST])

    assert (terms.fee, terms.cutoff) == (None, time(0))


def test_the_rule_of_a_row():
    row = MatchRule(
        key="account_id",
        shape="many_to_one",
        amount=Decimal(1),
        percent=Decimal(2),
        days=3,
        is_business_days=True,
        is_less_fee=True,
        is_confirmed=False,
    )

    assert rule_of(row) == Rule(
        key=Key.ACCOUNT,
        shape=Shape.MANY_TO_ONE,
        amount=Decimal(1),
        percent=Decimal(2),
        days=3,
        is_business_days=True,
        is_less_fee=True,
        is_confirmed=False,
    )


# --- Faults ---------------------------------------------------------------------------


def faults(rules: list[Rule], **values: Any) -> list[tuple[str, str]]:
    return faults_of(profile(**values), rules, known=KNOWN)


def test_a_good_profile_has_no_fault():
    more = [
        replace(FIRST, key=Key.ID),
        replace(FIRST, days=3),
        replace(FIRST, amount=Decimal("0.51")),
        replace(FIRST, shape=Shape.MANY_TO_ONE, is_less_fee=True),
    ]

    assert faults([FIRST, *more], fee_percent=Decimal(2)) == []


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"internal_sources": []}, ("internal_sources", "Choose one source at least.")),
        ({"external_sources": []}, ("external_sources", "Choose one source at least.")),
        (
            {"external_sources": ["SWFT"]},
            ("external_sources", "The tenant has no source SWFT."),
        ),
        (
            {"external_sources": ["UPI", "LEDGER"]},
            ("external_sources", "LEDGER is on both sides: a source is on one."),
        ),
        (
            {"time_zone": "Asia/Bombay"},
            ("time_zone", "There is no time zone Asia/Bombay."),
        ),
        # What a file brought of a day is counted by minutes.
        ({"cutoff": time(18, 0, 30)}, ("cutoff", "Hours and minutes only.")),
        ({"cutoff": "18:00:30"}, ("cutoff", "Hours and minutes only.")),
        ({"fee_percent": Decimal(101)}, ("fee_percent", "At most 100 percent.")),
        ({"fee_percent": Decimal(-1)}, ("fee_percent", "Not below zero.")),
        ({"fee_fixed": Decimal(-1)}, ("fee_fixed", "Not below zero.")),
        ({"closes_up_to": Decimal(-1)}, ("closes_up_to", "Not below zero.")),
    ],
)
def test_what_is_wrong_with_settings(values: dict[str, Any], expected):
    assert faults([FIRST], **values) == [expected]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"shape": Shape.MANY_TO_ONE}, "shape"),
        ({"key": Key.ACCOUNT}, "key"),
        ({"is_confirmed": False}, "is_confirmed"),
        ({"is_less_fee": True}, "is_less_fee"),
    ],
)
def test_not_every_rule_can_be_the_first(change: dict[str, Any], field: str):
    told = faults([replace(FIRST, **change)], fee_fixed=Decimal(1))

    assert [field for field, _ in told] == [f"rules.1.{field}"]


def test_a_profile_has_rules():
    assert faults([]) == [("rules", "Add one rule at least.")]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"percent": Decimal("100.01")}, ("percent", "At most 100 percent.")),
        ({"days": 367}, ("days", "At most 366 days.")),
        ({"amount": Decimal(-1)}, ("amount", "Not below zero.")),
        ({"percent": Decimal(-1)}, ("percent", "Not below zero.")),
        (
            {"is_less_fee": True},
            ("is_less_fee", "The profile has no fee: say it above."),
        ),
    ],
)
def test_what_is_wrong_with_a_rule(change: dict[str, Any], expected: tuple[str, str]):
    field, text = expected
    second = replace(FIRST, key=Key.ID, **change)

    assert faults([FIRST, second]) == [(f"rules.2.{field}", text)]


# --- Rules that come too late ---------------------------------------------------------

SUMS = Rule(shape=Shape.ONE_TO_MANY)


@pytest.mark.parametrize(
    ("rules", "place", "earlier"),
    [
        ([FIRST, FIRST], 2, 1),
        ([FIRST, replace(FIRST, is_confirmed=False)], 2, 1),
        ([FIRST, replace(FIRST, key=Key.ID), replace(FIRST, days=1)], 3, 1),
        ([FIRST, replace(FIRST, is_business_days=True, days=0)], 2, 1),
        ([replace(FIRST, is_business_days=True), FIRST], 2, 1),
        ([FIRST, SUMS, SUMS], 3, 2),
    ],
)
def test_a_rule_that_can_match_nothing_is_told(
    rules: list[Rule], place: int, earlier: int
):
    text = f"rule {place} can match nothing that rule {earlier} has not"

    assert faults(rules) == [(f"rules.{place}", text)]


@pytest.mark.parametrize(
    "later",
    [
        replace(FIRST, key=Key.ID),
        replace(FIRST, amount=Decimal(1)),
        replace(FIRST, percent=Decimal(1)),
        replace(FIRST, days=3),
        replace(FIRST, is_less_fee=True),
        replace(FIRST, shape=Shape.ONE_TO_MANY),
        # From Friday on, one business day is three days.
        replace(FIRST, is_business_days=True, days=1),
    ],
)
def test_a_rule_that_allows_more_may_follow(later: Rule):
    assert faults([FIRST, later], fee_fixed=Decimal(1)) == []


def test_what_adds_up_may_do_so_after_another_rule_took_a_row():
    assert faults([FIRST, SUMS, replace(FIRST, key=Key.ID), SUMS]) == []


@pytest.mark.parametrize("days", range(12))
def test_the_longest_that_business_days_last(days: int):
    rule = Rule(days=days, is_business_days=True)
    monday = date(2026, 1, 5)
    begins = [monday + timedelta(days=shift) for shift in range(7)]
    lasting = [
        length
        for begin in begins
        for length in range(40)
        if rule.days_between(begin, begin + timedelta(days=length)) <= days
    ]

    assert _most_days(rule, as_in=Rule()) == max(lasting)
