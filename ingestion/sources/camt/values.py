"""Text of one XML value to a checked value.

ISO 20022 writes decimals with a point and no grouping, and moments by ISO 8601, with an
offset or without one.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from functools import lru_cache
from typing import Final

from ingestion.sources.base import Reason, visible
from ingestion.sources.currencies import EXPONENTS
from ingestion.sources.fields import INDIA_OFFSET, MAX_DECIMALS, MAX_WHOLE_DIGITS

ZERO: Final = Decimal("0.00")
#: Sums are exact whatever the surroundings of the reader have set.
_EXACT: Final = Context(prec=64)

_COMMON: Final = re.compile(r"[0-9]{1,16}\.[0-9]{2}")
_NUMBER: Final = re.compile(r"([+-]?)([0-9]{0,40})(?:\.([0-9]{0,17}))?")
_MOMENT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:T([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(\.[0-9]+)?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_LONGEST_MOMENT: Final = 60
_COUNT: Final = re.compile(r"[0-9]{1,18}")
#: What banks write where there is no reference.
_NO_REFERENCE: Final = frozenset({"NOTPROVIDED", "NOT PROVIDED", "NONREF"})
_LONGEST_NONE: Final = max(map(len, _NO_REFERENCE))
_UTR_MARK: Final = "/XUTR/"


def plus(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact sum."""
    return _EXACT.add(one, other)


def minus(one: Decimal, other: Decimal) -> Decimal:
    """Return the exact difference."""
    return _EXACT.subtract(one, other)


def number(text: str) -> Decimal | None:
    """Return a decimal with a sign, two decimals at least; None if it is none."""
    match = _NUMBER.fullmatch(text)
    if not match or not (match[2] or match[3]):
        return None
    decimals = (match[3] or "").rstrip("0")
    return Decimal(f"{match[1]}{match[2].lstrip('0') or '0'}.{decimals:0<2}")


def count(text: str) -> int | None:
    """Return a whole number of 18 digits at most; None if it is none."""
    return int(text) if _COUNT.fullmatch(text) else None


def amount(text: str, currency: str) -> tuple[Decimal | None, Reason | None]:
    """Return what an amount is, as far as it can be read, and what is wrong with it.

    Decimals beyond those of the currency are fine as long as they are zeros.
    """
    if EXPONENTS[currency] == MAX_DECIMALS and _COMMON.fullmatch(text):
        return Decimal(text), None
    value = number(text)
    if value is None:
        return None, Reason.INVALID_AMOUNT if text else Reason.MISSING_VALUE
    if value.is_signed():
        return None, Reason.NEGATIVE_AMOUNT
    return value, _beyond(value, EXPONENTS[currency])


def _beyond(value: Decimal, exponent: int) -> Reason | None:
    whole, _, decimals = f"{value:f}".partition(".")
    if len(decimals.rstrip("0")) > min(exponent, MAX_DECIMALS):
        return Reason.UNSUPPORTED_PRECISION
    return Reason.AMOUNT_TOO_LARGE if len(whole) > MAX_WHOLE_DIGITS else None


def moment(text: str) -> datetime | None:
    """Return a date or a date and time in UTC; None if it is neither.

    A bare date is midnight; without an offset it is India time.
    """
    return _moment(text) if len(text) <= _LONGEST_MOMENT else None


@lru_cache(maxsize=4096)  # a statement says the same few days over and over
def _moment(text: str) -> datetime | None:
    match = _MOMENT.fullmatch(text)
    if not match:
        return None
    day, clock, fraction, offset = match.groups()
    clock, later = ("00:00", 1) if _is_midnight(clock, fraction) else (clock, 0)
    precise = f"{day}T{clock or '00:00'}{fraction[:7] if fraction else ''}"
    try:
        local = datetime.fromisoformat(precise + (offset or INDIA_OFFSET))
        return local.astimezone(UTC) + timedelta(days=later)
    except (ValueError, OverflowError):
        return None


def _is_midnight(clock: str | None, fraction: str | None) -> bool:
    """Return whether it is 24:00, the end of the day, which XML allows."""
    return clock in {"24:00", "24:00:00"} and not (fraction or "").strip(".0")


def day(text: str) -> date | None:
    """Return the day of a date or moment as it is written; None if it is none."""
    if not _MOMENT.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def first(told: Mapping[str, str], names: Iterable[str]) -> str:
    """Return the first text of several keys that is not blank."""
    for name in names:
        if (text := told.get(name)) and (text := text.strip()):
            return text
    return ""


def clean(text: str | None) -> str:
    """Return one printable line of 200 characters at most, without outer blanks."""
    if not text:
        return ""
    text = text.strip()
    if len(text) <= 200 and text.isprintable():
        return text
    return visible(" ".join(text.split()))


def reference(text: str | None) -> str:
    """Return a reference; blank if it says that there is none."""
    if not text:
        return ""
    found = clean(text)
    if len(found) <= _LONGEST_NONE and found.upper() in _NO_REFERENCE:
        return ""
    return found.removeprefix(_UTR_MARK)
