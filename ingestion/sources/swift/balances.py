"""Balances and amounts of the fields around the entries.

The library's patterns pass over what stands behind an amount, and take any three
characters for a currency; here a field is taken as a whole or not at all.
"""

import re
from decimal import Decimal
from typing import Final, NamedTuple

from mt940 import tags

from ingestion.sources import booking
from ingestion.sources.base import FieldError, Reason, visible
from ingestion.sources.currencies import EXPONENTS

TAGS: Final = tags.TAG_BY_ID
AMOUNT: Final = re.compile(r"[0-9]{1,25}(?:,[0-9]{0,10})?|,[0-9]{1,10}")
# Some banks fill an amount up with zeros, beyond what the library's pattern takes.
_PADDING: Final = re.compile(r"^([CD][0-9]{6}[A-Z]{3})0+(?=[0-9])")
_BARE: Final = re.compile(r"([CD][0-9]{6})([0-9]+,[0-9]*)")


class Balance(NamedTuple):
    """Fields 60, 62, 64 and 65; what the holder has is positive."""

    amount: Decimal
    currency: str
    day: booking.Day


def balance_of(kind: str, text: str, known: str | None = None) -> Balance:
    """Return a balance; raises FieldError if it has another layout.

    One that lacks its currency is in the `known` one, if there is one.
    """
    if known and (bare := _BARE.fullmatch(text)):
        text = f"{bare[1]}{known}{bare[2]}"
    tag = TAGS.get(kind) or TAGS[int(kind)]
    match = tag.re.match(_PADDING.sub(r"\1", text))
    if not match or not is_whole(match):
        raise FieldError(f":{kind}:", Reason.MALFORMED_FIELD, visible(text))
    currency = match["currency"]
    if currency not in EXPONENTS:
        raise FieldError(f":{kind}:", Reason.INVALID_CURRENCY, visible(text))
    day = booking.short_day(f":{kind}:", match["year"] + match["month"] + match["day"])
    amount = decimal(match["amount"])
    return Balance(-amount if match["status"] in "Dd" else amount, currency, day)


def is_whole(match: re.Match[str]) -> bool:
    """Return whether a tag's pattern took all of a field, and an amount that is one."""
    text = match.string
    return (
        match.end() == len(text)
        and text.isascii()
        and AMOUNT.fullmatch(match["amount"]) is not None
    )


def decimal(text: str) -> Decimal:
    """Return a number whose decimals stand behind a comma."""
    return Decimal(text.replace(",", "."))


def money(amount: Decimal, currency: str) -> str:
    """Return an amount in one form, however many zeros its file gives it."""
    text = f"{amount.normalize():f}" if amount else "0"
    return f"{text} {currency}"
