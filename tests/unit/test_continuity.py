"""Two statements of an account in a row."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from ingestion.continuity import Told, broken

pytestmark = pytest.mark.unit


def told(
    number: int | None, opening: str | None, closing: str | None, **values: Any
) -> Told:
    return Told(
        number=number,
        opening=None if opening is None else Decimal(opening),
        closing=None if closing is None else Decimal(closing),
        **{"rows": 2, "credits": Decimal(10), "debits": Decimal(3), **values},
    )


FIVE = told(5, "0.00", "7.00")


@pytest.mark.parametrize(
    "after",
    [
        told(6, "7.00", "8"),
        told(6, "7.000", "8"),
        told(6, None, "8"),
        told(1, "7.00", "8"),
        told(0, "7.00", "8"),
        told(None, "7.00", "8"),
        FIVE,
        told(5, "7.00", "9"),
        told(5, None, None, rows=9),
    ],
    ids=lambda after: f"{after.number} from {after.opening}",
)
def test_what_follows(after: Told):
    assert broken(FIVE, after) is None


@pytest.mark.parametrize(
    ("after", "control", "expected", "found"),
    [
        (told(7, "7.00", "8"), "statement_gap", "6", "7"),
        (told(7, "9.00", "8"), "statement_gap", "6", "7"),
        (told(3, "7.00", "8"), "statement_gap", "6", "3"),
        (told(6, "7.01", "8"), "carried_balance", "7.00", "7.01"),
        (told(1, "7.01", "8"), "carried_balance", "7.00", "7.01"),
        (told(None, "7.01", "8"), "carried_balance", "7.00", "7.01"),
        (
            told(5, "0.00", "7.00", rows=3),
            *("statement_repeat", "0.00 to 7.00 in 2 rows", "0.00 to 7.00 in 3 rows"),
        ),
        (
            told(5, "0.00", "7.10"),
            *("statement_repeat", "0.00 to 7.00 in 2 rows", "0.00 to 7.10 in 2 rows"),
        ),
    ],
)
def test_what_does_not_follow(after: Told, control: str, expected: str, found: str):
    assert broken(FIVE, after) == (control, expected, found)


def test_without_numbers_and_balances_nothing_can_be_said():
    assert broken(told(None, None, None), told(None, "1", None)) is None
    assert broken(told(None, "1", None), told(4, "2", None)) is None


@pytest.mark.parametrize(
    ("number", "opening_day", "is_broken"),
    [(None, 15, True), (None, 14, False), (None, 3, False), (6, 14, True)],
)
def test_unnumbered_statements_that_overlap_are_not_compared(
    number: int | None, opening_day: int, is_broken: bool
):
    """Exports that somebody asks for begin with the last day of the one before."""
    before = told(5, "0.00", "7.00", closing_date=date(2026, 1, 14))
    after = told(number, "1.00", "9", opening_date=date(2026, 1, opening_day))
    assert (broken(before, after) is not None) is is_broken
