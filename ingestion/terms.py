"""What a text typed into the search for transactions can mean. Pure."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

HELP: Final = (
    "a whole transaction id, UTR, RRN or other reference · a whole UPI address "
    "(name@bank) or account · the end of an account (…1234, or 4 digits) · an amount "
    "(1,234.50, or ₹500)"
)

_TAIL: Final = re.compile(r"(?:…|\.{2,3}|[•*]+|[xX]{2,}(?=[0-9]))\s*([0-9]{4,34})")
_FOUR: Final = re.compile(r"[0-9]{4}")
_ACCOUNT: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{4,33}")
_AMOUNT: Final = re.compile(
    r"(?P<sign>₹|Rs\.?|INR)?\s*(?P<number>[0-9]{1,3}(?:,[0-9]{2,3})+|[0-9]{1,16})"
    r"(?P<cents>\.[0-9]{1,2})?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Term:
    """A text's meanings; a row is found by any of them."""

    #: Whole ids and references.
    ids: tuple[str, ...] = ()
    #: A whole account or UPI address, in lower case.
    account: str = ""
    #: The last digits of an account, at least four.
    tail: str = ""
    amount: Decimal | None = None


def read_term(text: str) -> Term:
    """Return what a text means; it is not empty.

    Any text without the sign of something else may be an id.
    """
    text = text.strip()
    if found := _TAIL.fullmatch(text):
        return Term(tail=found[1])
    if _FOUR.fullmatch(text):
        return Term(ids=(text,), tail=text)
    amount = _amount(text)
    if amount is not None:
        return Term(amount=amount)
    ids = tuple(dict.fromkeys((text, text.upper())))
    is_account = "@" in text or _ACCOUNT.fullmatch(text)
    return Term(ids=ids, account=text.lower() if is_account else "")


def _amount(text: str) -> Decimal | None:
    """Return the amount, if the text is clearly one: it has a sign, comma or point."""
    found = _AMOUNT.fullmatch(text)
    if found is None or not (found["sign"] or found["cents"] or "," in text):
        return None
    return Decimal(found["number"].replace(",", "") + (found["cents"] or ""))


def parse_amount(text: str) -> Decimal:
    """Return the amount of a range's end.

    Raises ValueError, which says what can be written.
    """
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"{text!r} is no amount: write digits and at most 2 decimals, like 1234.50"
        )
    return Decimal(found["number"].replace(",", "") + (found["cents"] or ""))
