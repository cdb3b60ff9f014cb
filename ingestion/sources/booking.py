"""Amounts and days of bank statements: text to a checked value.

Each function raises FieldError. What is too precise to be stored is refused, never
rounded; a day without a time begins at midnight in India, where the product's banks are
unless their file says otherwise.
"""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from ingestion.sources.base import FieldError, Reason, visible
from ingestion.sources.currencies import EXPONENTS
from ingestion.sources.fields import MAX_DECIMALS, MAX_WHOLE_DIGITS

INDIA = timezone(timedelta(hours=5, minutes=30))
#: Two digits of a year from here on are of the last century, as SWIFT has it.
_CENTURY_TURN = 80


class Day(NamedTuple):
    """A day, its first moment in UTC, and whether the file names one past February."""

    day: date
    moment: datetime
    is_past_february: bool


def storable_amount(column: str, amount: Decimal, currency: str, text: str) -> Decimal:
    """Return an amount with two decimals; raises FieldError if it has more.

    So it does if the currency is unknown or has fewer, or the amount is too large.
    """
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        raise FieldError("currency", Reason.INVALID_CURRENCY, visible(currency))
    decimals = -int(amount.as_tuple().exponent)
    if decimals > min(exponent, MAX_DECIMALS):
        raise FieldError(column, Reason.UNSUPPORTED_PRECISION, visible(text))
    if amount.adjusted() >= MAX_WHOLE_DIGITS:
        raise FieldError(column, Reason.AMOUNT_TOO_LARGE, visible(text))
    if decimals == MAX_DECIMALS:
        return amount
    # `quantize` would round by the context's precision.
    return Decimal(
        f"{amount:f}" + ("." if decimals <= 0 else "") + "0" * (2 - decimals)
    )


@lru_cache(maxsize=4096)
def short_day(column: str, text: str) -> Day:
    """Return the day of six digits, YYMMDD.

    Banks that count thirty days to a month write 29 and 30 February; it becomes the
    last day of the month. Raises FieldError for any other day that does not exist.
    """
    year = int(text[:2])
    year += 1900 if year >= _CENTURY_TURN else 2000
    return _day(column, text, year, int(text[2:4]), int(text[4:]))


@lru_cache(maxsize=4096)
def day_near(column: str, text: str, near: date) -> Day:
    """Return the day of four digits, MMDD, in the year that brings it nearest.

    Raises FieldError as `short_day` does.
    """
    month, day = int(text[:2]), int(text[2:])
    year = near.year
    if month - near.month > 6:
        year -= 1
    elif near.month - month > 6:
        year += 1
    return _day(column, text, year, month, day)


def _day(column: str, text: str, year: int, month: int, day: int) -> Day:
    is_past = month == 2 and day in (29, 30)
    try:
        found = date(year, month, min(day, 28) if is_past else day)
        if is_past:
            found = date(year, 3, 1) - timedelta(days=1)
            is_past = found.day != day
        moment = datetime(found.year, found.month, found.day, tzinfo=INDIA)
        return Day(found, moment.astimezone(UTC), is_past)
    except (ValueError, OverflowError) as error:
        raise FieldError(column, Reason.INVALID_TIMESTAMP, visible(text)) from error
