"""Who is on the other side of a payment, and what both sides call it."""

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from ingestion.sources.camt import values
from ingestion.sources.camt.keys import Keys, Side

_IFSC: Final = re.compile(r"[A-Z]{4}0[A-Z0-9]{6}")
_BIC: Final = re.compile(r"[A-Z0-9]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")


class Payment(NamedTuple):
    """What a row says beside its money."""

    bank_reference: str
    reference: str
    counterparty: str
    vpa_or_ifsc: str


def payment(
    told: Mapping[str, str], keys: Keys, own: str, *, is_credit: bool, is_return: bool
) -> Payment:
    """Return what a transaction tells; blank where it tells nothing.

    Money that comes in comes from the debtor, and goes out to the creditor. A returned
    payment may keep the parts that its parties had on the way there.
    """
    sides = (keys.debtor, keys.creditor) if is_credit else (keys.creditor, keys.debtor)
    side = sides[0]
    account = account_of(told, side.accounts)
    if (account and account == own) or (is_return and not account):
        other = account_of(told, sides[1].accounts)
        if other and other != own:
            side, account = sides[1], other
        elif account == own:
            account = ""
    address = _address(told, side)
    if "@" in account:
        account, address = "", account
    return Payment(
        values.reference(told.get(keys.bank_reference)),
        first_reference(told, keys.references),
        account,
        address,
    )


def account_of(told: Mapping[str, str], accounts: Iterable[str]) -> str:
    """Return the first account number of several keys, without the blanks inside."""
    for key in accounts:
        if text := told.get(key):
            return values.clean(text).replace(" ", "")
    return ""


def first_reference(told: Mapping[str, str], references: Iterable[str]) -> str:
    """Return the first reference of several keys."""
    for key in references:
        if (text := told.get(key)) and (found := values.reference(text)):
            return found
    return ""


def _address(told: Mapping[str, str], side: Side) -> str:
    """Return the BIC or IFSC of a side's bank, or the proxy of its account."""
    for key in side.agents:
        if text := told.get(key):
            code = values.clean(text).upper()
            if _BIC.fullmatch(code) or _IFSC.fullmatch(code):
                return code
    return values.clean(told.get(side.proxy))
