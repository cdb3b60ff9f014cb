"""Amounts in the ways that banks write them, exactly or not at all.

Accepted around the digits: grouping in thousands or in lakhs, a currency's mark before
or behind, a minus before or behind, brackets, Dr or Cr behind. Only ASCII digits count,
and a second mark of the same kind, such as a minus within brackets, is refused.
"""

import re
from decimal import Decimal
from typing import Final, NamedTuple

from ingestion.sources.base import FieldError, Reason, visible
from ingestion.sources.currencies import EXPONENTS
from ingestion.sources.fields import MAX_DECIMALS, MAX_WHOLE_DIGITS

#: A longer text is no amount; this bounds the work on it.
MAX_CHARS: Final = 64
#: What a file writes where there is no amount.
NOTHING: Final = frozenset({"", "-", "--", "---", "\u2013", "\u2014", "nil", "NIL"})
ZERO: Final = Decimal("0.00")

_COMMON: Final = re.compile(r"[1-9][0-9]{0,15}\.[0-9]{2}")
_BLANKS: Final = str.maketrans(dict.fromkeys("\u00a0\u2009\u202f\t", " "))
_SIDE_BEHIND: Final = re.compile(r"(.*[0-9)]) *\(?([CD])R?\.?\)?", re.IGNORECASE)
_SIDE_BEFORE: Final = re.compile(r"([CD])R\.? *(.*)", re.IGNORECASE)
_MARK: Final = r"(\u20b9|rs\.?|[a-z]{3})?"
# One bank puts a comma behind the minus: it groups digits that are not there.
_BODY: Final = re.compile(
    rf"(?:([-\u2212+]),?)? *{_MARK} *([-\u2212+])? *([0-9., ']*[0-9])"
    rf" *([-\u2212])? *{_MARK}",
    re.IGNORECASE,
)
_NUMBERS: Final = {
    ".": re.compile(
        r"([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,2}(?:,[0-9]{2})+,[0-9]{3}|)"
        r"(?:\.([0-9]+))?"
    ),
    ",": re.compile(
        r"([0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+"
        r"|[0-9]{1,3}(?:'[0-9]{3})+|)(?:,([0-9]+))?"
    ),
}
_GROUPING: Final = str.maketrans("", "", ",. '")
#: The marks of the rupee, besides its code.
_RUPEE: Final = frozenset({"\u20b9", "RS", "RS."})


class Money(NamedTuple):
    """An amount, whether a minus or brackets say less than nothing, and C or D."""

    amount: Decimal
    is_negative: bool = False
    side: str = ""

    @property
    def signed(self) -> Decimal:
        """Return the amount as a balance: what the holder owes is negative."""
        return -self.amount if self.is_negative or self.side == "D" else self.amount


def read_money(
    column: str, text: str, currency: str, decimal: str = "."
) -> Money | None:
    """Return the amount, None where none is written; raises FieldError."""
    if _COMMON.fullmatch(text) and decimal == "." and EXPONENTS[currency] == 2:
        return Money(Decimal(text))
    if text in NOTHING:
        return None
    found = _read(text, currency, decimal) if len(text) <= MAX_CHARS else None
    if isinstance(found, Money):
        return found
    raise FieldError(column, found or Reason.INVALID_AMOUNT, visible(text))


def _read(text: str, currency: str, decimal: str) -> Money | Reason:
    rest, side = text.translate(_BLANKS).strip(), ""
    if match := _SIDE_BEHIND.fullmatch(rest):
        rest, side = match[1], match[2].upper()
    elif match := _SIDE_BEFORE.fullmatch(rest):
        side, rest = match[1].upper(), match[2]
    bare = _without_brackets(rest)
    match = _BODY.fullmatch(rest if bare is None else bare)
    if not match:
        return Reason.INVALID_AMOUNT
    before, mark, inner, number, after, last_mark = match.groups("")
    signs = before + inner + after + ("" if bare is None else "-")
    is_negative = signs not in ("", "+")
    if (
        len(signs) > 1
        or (is_negative and side == "C")
        or not _marks(mark.upper(), last_mark.upper(), currency)
    ):
        return Reason.INVALID_AMOUNT
    amount = _exact(number, currency, decimal)
    return Money(amount, is_negative, side) if isinstance(amount, Decimal) else amount


def _without_brackets(text: str) -> str | None:
    """Return the text without the brackets around its digits; None without them."""
    before, opening, inside = text.partition("(")
    if not opening or not inside.endswith(")") or any(c.isdigit() for c in before):
        return None
    return before + inside[:-1]


def _marks(before: str, behind: str, currency: str) -> bool:
    """Return whether what stands around an amount names its own currency, once."""
    mark = before or behind
    if before and behind:
        return False
    return not mark or mark == currency or (currency == "INR" and mark in _RUPEE)


def _exact(number: str, currency: str, decimal: str) -> Decimal | Reason:
    """Return the number with two decimals, or why it is none."""
    match = _NUMBERS[decimal].fullmatch(number)
    if not match:
        return Reason.INVALID_AMOUNT
    grouped, decimals = match.groups("")
    whole = grouped.translate(_GROUPING).lstrip("0")
    if len(decimals) > min(EXPONENTS[currency], MAX_DECIMALS):
        return Reason.UNSUPPORTED_PRECISION
    if len(whole) > MAX_WHOLE_DIGITS:
        return Reason.AMOUNT_TOO_LARGE
    return Decimal(f"{whole or '0'}.{decimals:0<2}")
