"""Rules in plain words, and days as moments."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciliation.matching import Fee, Key, Rule, Shape, Terms
from reconciliation.periods import days_of, period_of
from reconciliation.wording import grouped, rule_words, terms_words


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            Rule(days=0),
            "Same reference, one to one, equal amounts, on the same day → matched",
        ),
        (
            Rule(
                amount=Decimal("0.50"),
                percent=Decimal("1.0000"),
                days=2,
                is_business_days=True,
                is_confirmed=False,
            ),
            "Same reference, one to one, amounts within 0.50 or 1 %, within 2 business "
            "days → suggested",
        ),
        (
            Rule(key=Key.ID, shape=Shape.MANY_TO_ONE, is_less_fee=True),
            "Same id of the payment, several of ours to one of theirs, equal amounts "
            "less the fee, within 1 day → matched",
        ),
        (
            Rule(
                key=Key.ACCOUNT,
                shape=Shape.ONE_TO_MANY,
                is_less_fee=True,
                amount=Decimal(1500),
            ),
            "Same account, one of ours to several of theirs, amounts less the fee "
            "within 1,500.00, within 1 day → matched",
        ),
    ],
)
def test_a_rule_in_words(rule: Rule, words: str):
    assert rule_words(rule) == words


def terms(**values: object) -> Terms:
    said = {
        "internal": ("LEDGER",),
        "external": ("UPI", "MT940"),
        "rules": (Rule(),),
        "zone": ZoneInfo("Asia/Kolkata"),
        **values,
    }
    return Terms(**said)  # type: ignore[arg-type]


def test_terms_in_words():
    made = terms(cutoff=time(18, 30), fee=Fee(percent=Decimal(2), fixed=Decimal(3)))

    assert terms_words(made) == [
        ("Internal", "LEDGER"),
        ("External", "UPI, MT940"),
        ("Days", "of Asia/Kolkata, until 18:30"),
        ("Fee", "2 % and 3.00"),
        ("Pending for", "48 hours at most"),
        ("Resolved by itself", "nothing"),
        ("Rule 1", rule_words(Rule())),
    ]


def test_without_a_fee_and_with_days_of_the_calendar():
    told = dict(terms_words(terms(stale_after=timedelta(hours=1))))

    assert told["Days"] == "of Asia/Kolkata"
    assert told["Fee"] == "none"
    assert told["Pending for"] == "1 hour at most"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"closes_fees": True}, "fees"),
        ({"closes_up_to": Decimal("0.5")}, "amounts up to 0.50 apart"),
        (
            {"closes_up_to": Decimal(1), "closes_fees": True},
            "amounts up to 1.00 apart and fees",
        ),
    ],
)
def test_what_is_resolved_by_itself(values: dict[str, object], words: str):
    assert dict(terms_words(terms(**values)))["Resolved by itself"] == words


# --- Periods --------------------------------------------------------------------------

DAY = date(2026, 3, 8)  # New York's clocks go forward in its night


@pytest.mark.parametrize(
    ("made", "starts", "ends"),
    [
        (
            terms(),
            datetime(2026, 3, 7, 18, 30, tzinfo=UTC),
            datetime(2026, 3, 8, 18, 30, tzinfo=UTC),
        ),
        (
            terms(cutoff=time(18)),
            datetime(2026, 3, 7, 12, 30, tzinfo=UTC),
            datetime(2026, 3, 8, 12, 30, tzinfo=UTC),
        ),
        (
            terms(zone=ZoneInfo("America/New_York")),
            datetime(2026, 3, 8, 5, tzinfo=UTC),
            datetime(2026, 3, 9, 4, tzinfo=UTC),
        ),
    ],
)
def test_a_day_as_moments(made: Terms, starts: datetime, ends: datetime):
    assert period_of(made, DAY, DAY) == (starts, ends)


def is_plain(local: datetime, zone: ZoneInfo) -> bool:
    """Tell whether a local time is there once, and no change of clocks skips it."""
    offsets = {local.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)}
    return len(offsets) == 1


@given(
    st.sampled_from(["Asia/Kolkata", "America/New_York", "Europe/London"]),
    st.times().map(lambda value: value.replace(microsecond=0)),
    st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    st.integers(0, 40),
)
def test_a_period_holds_its_days_and_no_other(
    zone: str, cutoff: time, first: date, more: int
):
    made = terms(zone=ZoneInfo(zone), cutoff=cutoff)
    last = first + timedelta(days=more)
    for day in (first, last + timedelta(days=1)):
        local = datetime.combine(day, time(0)) - made.shift
        assume(is_plain(local, made.zone))

    starts, ends = period_of(made, first, last)

    assert days_of(made, starts, ends) == (first, last)
    assert made.day(ends) > last


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (
            "287212.73 here, 287122.73 there: 90.00 INR apart",
            "287,212.73 here, 287,122.73 there: 90.00 INR apart",
        ),
        ("80910.38 INR of 2026-01-05", "80,910.38 INR of 2026-01-05"),
        ("1234567890.50 INR once more", "1,234,567,890.50 INR once more"),
        (
            "999.99 here, 1000.00 there: 0.01 INR apart",
            "999.99 here, 1,000.00 there: 0.01 INR apart",
        ),
        # What is no amount: days, counts, keys.
        ("2026-01-05 here, 2026-01-06 there", ""),
        ("1200 rows here and 1300 there share the key 123456.78", ""),
        ("1200 rows here and 1300 there share the key A-1234.50 INR", ""),
        ("PENDING here, PENDING there, pending since 2026-01-05", ""),
    ],
)
def test_amounts_that_a_run_told_are_grouped(told: str, shown: str):
    assert grouped(told) == (shown or told)
