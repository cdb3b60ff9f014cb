"""One record of a file to one row, by the rules of its dialect.

The order of the checks is the one that docs/dialects.md promises: id, date, currency,
amount, status, references and parties, and last what is only flagged.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from ingestion.sources import fields
from ingestion.sources.base import (
    FieldError,
    Flag,
    RawRow,
    Reason,
    Row,
    row_hash,
    visible,
)
from ingestion.sources.dialect.dates import Dates
from ingestion.sources.dialect.definition import FIELDS, Dialect
from ingestion.sources.dialect.headers import Layout, key_of
from ingestion.sources.dialect.money import NOTHING, ZERO, read_money
from ingestion.sources.dialect.occurrences import DIGEST_BYTES, Occurrences
from ingestion.sources.dialect.parties import Parties
from ingestion.sources.dialect.sides import Side, Sides

HASH_VERSION: Final = "dialect:1"
#: What is said of a payment that moved no money.
UNMOVED: Final = frozenset({"PENDING", "FAILED"})


class Entry(NamedTuple):
    """A row, its day, what it does to the balance, and the balance that it states."""

    row: Row
    day: date
    movement: Decimal
    balance: Decimal | None


class RowReader:
    """Reads the rows of one file; raises FieldError for the first bad field of one."""

    def __init__(
        self, dialect: Dialect, layout: Layout, account: str, seen: Occurrences
    ) -> None:
        self._dialect = dialect
        self._layout = layout
        self._plain_row = RawRow(layout.names)
        self._seen = seen
        self.dates = Dates(dialect.dates, dialect.zone)
        self.sides = Sides(dialect, layout)
        self._parties = Parties(dialect, layout, account)
        self._at = {field: layout.place(field) for field in FIELDS}
        self._statuses = {
            key_of(word): status
            for status, words in dialect.status_words.items()
            for word in words
        }
        #: Of the account seen last: most files are about one.
        self._owners: dict[str | None, str] = {}
        self._overdrawn = frozenset(map(key_of, dialect.debit_words))

    def read(
        self, line: int, cells: Sequence[str], more: Sequence[Sequence[str]] = ()
    ) -> Entry:
        """Return what a record says; `more` are the records that continue it."""
        at, flags = self._at, list[Flag]()
        texts = [*map(str.strip, cells), ""]  # a column the file lacks is blank
        ident = self._id(texts)
        day, instant = self.dates.moment(
            self._layout.name("date"),
            texts[at["date"]],
            texts[at["time"]],
            self._layout.name("time"),
        )
        currency = self._currency(texts[at["currency"]])
        amount, direction = self.sides.read(texts, currency)
        status = self._status(texts[at["status"]])
        narration = self._narration(texts, more)
        reference = self._parties.reference(texts, narration, day, flags)
        account, other, address = self._parties.sides(texts, flags)
        self._demand(texts, reference, status)
        balance = self._balance(texts, currency, flags)
        said = (
            *(str(amount), currency, direction),
            "" if balance is None else str(balance),
            *map(_squeezed, (texts[at["reference"]], texts[at["counterparty"]])),
            _squeezed(narration),
        )
        txn_id = self._named(ident) or self._by_content(day, account, said)
        row = Row(
            line,
            txn_id,
            ident or self._parties.own_reference(texts) or txn_id,
            reference,
            account,
            other,
            address,
            amount,
            currency,
            status,
            direction,
            instant,
            self._raw(cells, more),
            row_hash(
                HASH_VERSION,
                *(txn_id, status, account or "", other or "", address or ""),
                *(instant.isoformat(), self._value_day(texts, flags)),
                *said,
            ),
            tuple(flags),
        )
        return Entry(row, day, self._movement(row), balance)

    def rest(self, cells: Sequence[str]) -> tuple[Side | None, Decimal | None]:
        """Return amount and balance of a refused row, as far as they can be read."""
        texts = [*map(str.strip, cells), ""]
        side, balance = None, None
        with suppress(FieldError):
            side = self.sides.read(texts, self._dialect.currency)
        with suppress(FieldError):
            balance = self._balance(texts, self._dialect.currency, [])
        return side, balance

    # --- One field each ---------------------------------------------------------------

    def _id(self, texts: Sequence[str]) -> str:
        if "id" not in self._layout.at:
            return ""
        return fields.parse_id(self._layout.name("id"), texts[self._at["id"]])

    def _currency(self, text: str) -> str:
        if not text:
            return self._dialect.currency
        return fields.parse_currency(self._layout.name("currency"), text)

    def _status(self, text: str) -> str:
        if "status" not in self._layout.at:
            return self._dialect.status
        if status := self._statuses.get(key_of(text)):
            return status
        reason = Reason.INVALID_STATUS if text else Reason.MISSING_VALUE
        raise FieldError(self._layout.name("status"), reason, visible(text))

    def _narration(self, texts: Sequence[str], more: Sequence[Sequence[str]]) -> str:
        place = self._at["narration"]
        if not more:
            return texts[place]
        parts = (texts[place], *(cells[place].strip() for cells in more))
        return " ".join(filter(None, parts))

    def _demand(self, texts: Sequence[str], reference: str | None, status: str) -> None:
        """Refuse a blank cell that the dialect wants filled."""
        for field in self._dialect.filled:
            if field == "reference":
                # A payment that did not complete need not have one.
                is_blank = reference is None and status not in UNMOVED
            else:
                is_blank = texts[self._at[field]] in NOTHING
            if is_blank:
                raise FieldError(self._layout.name(field), Reason.MISSING_VALUE, "")

    def _balance(
        self, texts: Sequence[str], currency: str, flags: list[Flag]
    ) -> Decimal | None:
        text = texts[self._at["balance"]]
        if not text:
            return None
        column = self._layout.name("balance")
        try:
            money = read_money(column, text, currency, self._dialect.decimal)
        except FieldError as error:
            flags.append(Flag(error.column, error.reason, error.value))
            return None
        if money is None:
            return None
        word = key_of(texts[self._at["balance_direction"]])
        if word in self._overdrawn and not money.side:
            return -money.amount
        return money.signed

    def _value_day(self, texts: Sequence[str], flags: list[Flag]) -> str:
        text = texts[self._at["value_date"]]
        if text in NOTHING:
            return ""
        try:
            return self.dates.day(self._layout.name("value_date"), text).isoformat()
        except FieldError as error:
            flags.append(Flag(error.column, error.reason, error.value))
            return visible(text)

    # --- The whole --------------------------------------------------------------------

    def _named(self, ident: str) -> str:
        prefix = self._dialect.txn_prefix
        return f"{prefix}:{ident}" if prefix and ident else ident

    def _by_content(self, day: date, account: str | None, said: Sequence[str]) -> str:
        """Return the id of a row that has none: what every export says of it.

        Without what some leave out, such as the time of day, and without what is made
        of it: a dialect that learns to find more references must know its rows again.
        """
        digest = row_hash(HASH_VERSION, *said)[:DIGEST_BYTES]
        number = self._seen.number(day.isoformat(), digest)
        repeated = f".{number}" if number > 1 else ""
        return f"{self._owner(account)}:{day}:{digest.hex()}{repeated}"

    def _owner(self, account: str | None) -> str:
        """Return what the ids of an account's rows begin with."""
        if account not in self._owners:
            plain = "".join(c for c in account or "" if c.isascii() and c.isalnum())
            self._owners = {account: f"{self._dialect.name}:{plain or '-'}"}
        return self._owners[account]

    def _raw(self, cells: Sequence[str], more: Sequence[Sequence[str]]) -> str:
        if not more:
            return self._plain_row.json(cells)
        joined = (
            "\n".join([first, *(text for text in rest if text.strip())])
            for first, *rest in zip(cells, *more, strict=False)
        )
        return self._plain_row.json(list(joined))

    @staticmethod
    def _movement(row: Row) -> Decimal:
        if row.status in UNMOVED:
            return ZERO
        return row.amount if row.direction == "C" else -row.amount


def _squeezed(text: str) -> str:
    """Return a text in the form that it has in every export: without blanks."""
    return "" if text in NOTHING or not text.strip("0") else "".join(text.split())
