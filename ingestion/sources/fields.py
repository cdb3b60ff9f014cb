"""Text of one field to a checked value. Each function raises FieldError.

Text arrives trimmed. Every pattern spells its digits `[0-9]`: `\\d`, `str.isdigit`
and `Decimal` also accept the digits of other scripts.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal

from ingestion.sources.base import FieldError, Reason, visible
from ingestion.sources.currencies import EXPONENTS

MAX_WHOLE_DIGITS = 16  # what NUMERIC(18,2) holds before the decimal point
MAX_DECIMALS = 2
DEFAULT_CURRENCY = "INR"
# India has had one offset since 1945, so no time zone database is needed.
INDIA_OFFSET = "+05:30"

STATUSES = {
    "SUCCESS": "SUCCESS",
    "S": "SUCCESS",
    "00": "SUCCESS",
    "FAILED": "FAILED",
    "FAILURE": "FAILED",
    "F": "FAILED",
    "PENDING": "PENDING",
    "DEEMED": "PENDING",
    "REVERSED": "REVERSED",
}

_ID = re.compile(r"[A-Za-z0-9._/-]{1,64}")
_EXCEL_ID = re.compile(r"[0-9](?:\.[0-9]+)?[Ee]\+[0-9]+")
_RRN = re.compile(r"[0-9]{12}")
_VPA = re.compile(r"[A-Za-z0-9._-]{2,256}@[A-Za-z0-9]{2,64}")
_ACCOUNT_VPA = re.compile(
    r"([a-z0-9]{1,35})@([a-z]{4}0[a-z0-9]{6})\.ifsc\.npci", re.ASCII | re.IGNORECASE
)
_COMMON_AMOUNT = re.compile(r"[1-9][0-9]{0,15}\.[0-9]{2}")
_AMOUNT = re.compile(
    r"(-?)"
    r"([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3})"
    r"(?:\.([0-9]+))?"
)
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]((?:[01][0-9]|2[0-3])(?::[0-9]{2}){2})"
    r"(\.[0-9]{1,9})?(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)


def required(column: str, text: str) -> str:
    """Return `text` unless it is blank."""
    if not text:
        raise FieldError(column, Reason.MISSING_VALUE, "")
    return text


def parse_id(column: str, text: str) -> str:
    """Return an id of 1 to 64 harmless characters, case kept."""
    if _ID.fullmatch(text):
        return text
    raise FieldError(column, _id_fault(text, Reason.INVALID_ID), visible(text))


def parse_rrn(column: str, text: str) -> str:
    """Return a retrieval reference number: 12 digits, leading zeros kept."""
    if _RRN.fullmatch(text):
        return text
    raise FieldError(column, _id_fault(text, Reason.INVALID_RRN), visible(text))


def _id_fault(text: str, otherwise: Reason) -> Reason:
    if not text:
        return Reason.MISSING_VALUE
    return Reason.EXCEL_DAMAGED_ID if _EXCEL_ID.fullmatch(text) else otherwise


def parse_vpa(column: str, text: str) -> str:
    """Return a payment address in lower case."""
    if _VPA.fullmatch(text) or _ACCOUNT_VPA.fullmatch(text):
        return text.lower()
    raise FieldError(
        column, Reason.INVALID_VPA if text else Reason.MISSING_VALUE, visible(text)
    )


def split_vpa(vpa: str) -> tuple[str | None, str]:
    """Return `(account, IFSC)` of an account address, else `(None, vpa)`."""
    if not vpa.endswith(".npci") or not (match := _ACCOUNT_VPA.fullmatch(vpa)):
        return None, vpa
    account, ifsc = match.groups()
    return account.upper(), ifsc.upper()


def parse_currency(column: str, text: str) -> str:
    """Return an ISO 4217 code; blank means INR."""
    code = text.upper() if text.isascii() else text
    if not code:
        return DEFAULT_CURRENCY
    if code not in EXPONENTS:
        raise FieldError(column, Reason.INVALID_CURRENCY, visible(text))
    return code


def parse_amount(column: str, text: str, currency: str) -> Decimal:
    """Return a positive amount with exactly two decimals.

    Grouping is Western (1,234,567.00) or Indian (12,34,567.00). Nothing is rounded.
    """
    if EXPONENTS[currency] == MAX_DECIMALS and _COMMON_AMOUNT.fullmatch(text):
        return Decimal(text)
    match = _AMOUNT.fullmatch(text)
    if not match:
        reason = Reason.INVALID_AMOUNT if text else Reason.MISSING_VALUE
        raise FieldError(column, reason, visible(text))
    sign, grouped, decimals = match.groups("")
    whole = grouped.replace(",", "").lstrip("0")
    if fault := _amount_fault(sign, whole, decimals, EXPONENTS[currency]):
        raise FieldError(column, fault, visible(text))
    return Decimal(f"{whole or '0'}.{decimals:0<2}")


def _amount_fault(sign: str, whole: str, decimals: str, exponent: int) -> Reason | None:
    if sign:
        return Reason.NEGATIVE_AMOUNT
    if len(decimals) > min(exponent, MAX_DECIMALS):
        return Reason.UNSUPPORTED_PRECISION
    if len(whole) > MAX_WHOLE_DIGITS:
        return Reason.AMOUNT_TOO_LARGE
    return None if (whole + decimals).strip("0") else Reason.ZERO_AMOUNT


def parse_status(column: str, text: str) -> str:
    """Return SUCCESS, FAILED, PENDING or REVERSED."""
    status = STATUSES.get(text) or (
        STATUSES.get(text.upper()) if text.isascii() else None
    )
    if status is None:
        reason = Reason.INVALID_STATUS if text else Reason.MISSING_VALUE
        raise FieldError(column, reason, visible(text))
    return status


def parse_timestamp(column: str, text: str) -> datetime:
    """Return a moment in UTC, in microseconds; without an offset it is India time.

    Digits of a second beyond the sixth are cut off.
    """
    match = _TIMESTAMP.fullmatch(text)
    if not match:
        reason = Reason.INVALID_TIMESTAMP if text else Reason.MISSING_VALUE
        raise FieldError(column, reason, visible(text))
    day, clock, fraction, offset = match.groups()
    precise = f"{day}T{clock}{fraction[:7] if fraction else ''}"
    try:
        return datetime.fromisoformat(precise + (offset or INDIA_OFFSET)).astimezone(
            UTC
        )
    except (ValueError, OverflowError) as error:
        raise FieldError(column, Reason.INVALID_TIMESTAMP, visible(text)) from error
