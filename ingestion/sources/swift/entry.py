"""Field 61 and what belongs to it: one entry of a statement as a row."""

import re
from collections.abc import Mapping
from decimal import Decimal
from json.encoder import encode_basestring as _json
from typing import ClassVar, NamedTuple

from mt940 import tags

from ingestion.sources import booking, narrative
from ingestion.sources.base import (
    FieldError,
    Flag,
    Reason,
    Row,
    row_hash,
    visible,
)
from ingestion.sources.booking import Day
from ingestion.sources.swift import details

HASH_VERSION = "mt94x:1"


class StatementLine(tags.Statement):
    """The library's tag of field 61 with a pattern of our own.

    Its pattern takes digits of an amount that has more than fifteen for a reference
    (Rabobank pads to nineteen), and the same of what follows a decimal point; it knows
    neither the marks of expected entries (EC, ED) nor more than one line below, and
    cuts a reference longer than its standard length in two without a word.
    """

    RE_FLAGS: ClassVar[re.RegexFlag] = re.VERBOSE
    pattern: ClassVar[str] = r"""
    (?P<value_date>[0-9]{6})
    (?P<entry_date>[0-9]{4}|[ ]{4})?
    (?P<mark>R?[CD]|E[CD])
    (?P<funds_code>[A-Z])?
    [ \n]?
    (?P<amount>[0-9]+(?:,[0-9]*)?|,[0-9]+)
    [ ]?(?P<type>[A-Z][A-Z0-9 ]{3})?
    (?P<rest>[^\n]*)
    (?:\n(?P<supplement>[\s\S]*))?
    \Z"""


_LINE = StatementLine().re
_REFERENCE_BEGINS = "//"
#: What seems to be meant as the amount: all up to a type of a transaction.
_UPTO_TYPE = re.compile(r".*?(?=[NSF][A-Z][A-Z0-9]{2}|//|$)", re.MULTILINE)
_CODEWORD = re.compile(r"/[A-Z]{4}/")
_MAX_REFERENCE = 16
_MOST_CHARS = 200
_MOST_DIGITS = 25
#: Of old samples too, whose check digits were made up.
_DUTCH_IBAN = re.compile(r"NL[0-9]{2}[A-Z]{4}[0-9]{10}")

#: By mark: the direction of the money, and the status.
_MARKS = {
    "C": ("C", "SUCCESS"),
    "D": ("D", "SUCCESS"),
    "RC": ("D", "REVERSED"),
    "RD": ("C", "REVERSED"),
    "EC": ("C", "PENDING"),
    "ED": ("D", "PENDING"),
}


class Line(NamedTuple):
    """The parts of field 61, as given but for the blanks around them."""

    value_date: str
    entry_date: str
    mark: str
    funds_code: str
    amount_text: str
    amount: Decimal
    type: str
    customer_reference: str
    bank_reference: str
    supplement: str

    @property
    def direction(self) -> str:
        """Return which way the money goes: C or D."""
        return _MARKS[self.mark][0]

    @property
    def is_expected(self) -> bool:
        """Return whether it is not booked yet, and part of no balance."""
        return self.mark[0] == "E"


class Place(NamedTuple):
    """Where an entry stands: what its statement says of all its entries."""

    source: str
    reference: str
    account: str
    statement_id: str
    currency: str


def parse_line(text: str) -> Line:
    """Return the parts of field 61; raises FieldError if it has another layout."""
    match = _LINE.match(text.lstrip(" "))
    if not match:
        raise FieldError(":61:", Reason.MALFORMED_FIELD, visible(text))
    value, entry, mark, funds, amount, kind, rest, supplement = match.groups("")
    if not kind and rest and not rest.startswith(_REFERENCE_BEGINS):
        # What stands there may as well belong to the amount.
        shown = _UPTO_TYPE.match(match.string, match.start("amount"))
        text = shown[0] if shown else amount
        raise FieldError("amount", Reason.INVALID_AMOUNT, visible(text))
    if not kind and not rest:
        # Cut off, and nobody knows how many digits of the amount with it.
        raise FieldError(":61:", Reason.MALFORMED_FIELD, visible(text))
    if len(amount) > _MOST_DIGITS:
        raise FieldError("amount", Reason.AMOUNT_TOO_LARGE, visible(amount))
    customer, _, bank = rest.partition("//")
    customer, more = _split(customer)
    bank, behind = _split_codewords(bank)
    supplement = "\n".join(filter(None, (more, behind, supplement)))
    return Line(
        value,
        entry.strip(),
        mark,
        funds,
        amount,
        Decimal(amount.replace(",", ".")),
        kind.rstrip(),
        customer,
        bank,
        supplement,
    )


def _split(text: str) -> tuple[str, str]:
    """Return the customer's reference, and the name that some banks put behind it.

    They pad the reference to its full length first; one without blanks is only long.
    """
    if len(text) > _MAX_REFERENCE and " " in text[:_MAX_REFERENCE]:
        return text[:_MAX_REFERENCE].strip(), text[_MAX_REFERENCE:].strip()
    return text.strip(), ""


def _split_codewords(text: str) -> tuple[str, str]:
    """Return the bank's reference, and the code words of a line that was not broken."""
    if len(text) > _MAX_REFERENCE and (match := _CODEWORD.search(text)):
        return text[: match.start()].strip(), text[match.start() :].strip()
    return text.strip(), ""


def row(
    number: int, line: int, place: Place, entry: Line, texts: Mapping[str, str]
) -> Row:
    """Return the row of an entry; `number` is its place in the statement, from 1.

    `texts` holds the details (86) and what the bank adds beside the standard (NS).
    Raises FieldError for the first part that is wrong.
    """
    info, more = texts["86"], texts["NS"]
    amount = booking.storable_amount(
        "amount", entry.amount, place.currency, entry.amount_text
    )
    value = booking.short_day("value_date", entry.value_date)
    booked = value
    if entry.entry_date:
        booked = booking.day_near("entry_date", entry.entry_date, value.day)
    direction, status = _MARKS[entry.mark]
    found, code, parts = details.told(info)
    own = narrative.meant(entry.customer_reference)
    account = found.account or _account_below(entry.supplement)
    if own and _is_account(own):
        own, account = None, account or own
    reference = (
        found.end_to_end or found.network or _network(own) or found.customer or own
    )
    txn_id = f"{place.source}:{place.account}:{place.statement_id}:{number}"
    hashed = (place.account, place.currency, str(amount), entry.mark, entry.funds_code)
    return Row(
        line,
        txn_id,
        narrative.meant(entry.bank_reference) or txn_id,
        reference,
        place.account,
        account,
        found.bank,
        amount,
        place.currency,
        status,
        direction,
        booked.moment,
        _raw(place, entry, info, more, code, parts),
        row_hash(
            HASH_VERSION,
            *hashed,
            entry.value_date,
            entry.entry_date,
            entry.type,
            entry.customer_reference,
            entry.bank_reference,
            f"{entry.supplement}\n{info}\n{more}",
        ),
        _flags(entry, value, booked),
    )


def _network(own: str | None) -> str | None:
    return narrative.network_number(own[:_MOST_CHARS]) if own else None


def _is_account(text: str) -> bool:
    """Return whether a text is an IBAN; Dutch banks put it where references stand."""
    return narrative.is_iban(text) or bool(_DUTCH_IBAN.fullmatch(text))


def _account_below(supplement: str) -> str | None:
    first = supplement.split("\n", 1)[0].strip()
    return first if first and _is_account(first) else None


def _flags(entry: Line, value: Day, booked: Day) -> tuple[Flag, ...]:
    if (
        entry.amount
        and "," in entry.amount_text
        and not (value.is_past_february or booked.is_past_february)
    ):
        return ()
    flags = []
    if not entry.amount:
        flags.append(Flag("amount", Reason.ZERO_AMOUNT, entry.amount_text))
    if "," not in entry.amount_text:
        flags.append(Flag("amount", Reason.INVALID_AMOUNT, visible(entry.amount_text)))
    if value.is_past_february:
        flags.append(Flag("value_date", Reason.INVALID_TIMESTAMP, entry.value_date))
    if booked.is_past_february and entry.entry_date:
        flags.append(Flag("entry_date", Reason.INVALID_TIMESTAMP, entry.entry_date))
    return tuple(flags)


def _raw(
    place: Place,
    entry: Line,
    info: str,
    more: str,
    code: str | None,
    parts: dict[str, str],
) -> str:
    told = (
        f'{{"statement_reference":{_json(place.reference)}'
        f',"value_date":"{entry.value_date}","entry_date":"{entry.entry_date}"'
        f',"mark":"{entry.mark}","funds_code":"{entry.funds_code}"'
        f',"amount":"{entry.amount_text}","type":"{entry.type}"'
        f',"customer_reference":{_json(entry.customer_reference)}'
        f',"bank_reference":{_json(entry.bank_reference)}'
        f',"supplementary_details":{_json(entry.supplement)}'
        f',"details":{_json(info)}'
    )
    if parts:
        told += f',"transaction_code":{_json(code) if code else "null"}'
        for name, value in details.named(parts).items():
            told += f',"{name}":{_json(value)}'
    return f'{told},"non_swift":{_json(more)}}}' if more else told + "}"
