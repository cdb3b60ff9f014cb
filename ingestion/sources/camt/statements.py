"""The statement being read: items in, records out, and what a later reading must know.

The state is a few values that are replaced, never changed: to remember where a record
stood is to keep those of that moment.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import reduce
from typing import Any, Final, NamedTuple, Self

from ingestion.sources.base import (
    Control,
    Fault,
    Flag,
    Reason,
    Record,
    Row,
    Statement,
    visible,
)
from ingestion.sources.camt import values
from ingestion.sources.camt.balances import Balance, bounds, read_balance, with_balance
from ingestion.sources.camt.entries import Place, Tally
from ingestion.sources.camt.keys import ACCOUNT
from ingestion.sources.camt.markup import END, MESSAGE, OPEN, Item
from ingestion.sources.camt.messages import NEWEST_VERSION
from ingestion.sources.camt.payments import account_of
from ingestion.sources.camt.rows import judge
from ingestion.sources.camt.totals import DECLARED, Sums, total_faults
from ingestion.sources.camt.walk import ENTRY

#: The currency of a statement that names none.
NO_CURRENCY: Final = "XXX"
_COPIES: Final = frozenset({"COPY", "CODU", "DUPL"})

Head = Mapping[str, Any]


class Known(NamedTuple):
    """All that is known at one moment."""

    #: What the statement says before its entries, of JSON values.
    head: Head
    #: How many entries it has had.
    number: int
    #: The line of the last record.
    line: int
    #: Whether a row has told of the doubts about the whole statement.
    has_told: bool
    #: The booked entries by currency, and the others.
    booked: Mapping[str, Sums]
    pending: Mapping[str, Sums]

    def to_json(self) -> dict[str, Any]:
        """Return it for a position."""
        booked, pending = (
            {currency: sums.to_json() for currency, sums in some.items()}
            for some in (self.booked, self.pending)
        )
        return {**self._asdict(), "booked": booked, "pending": pending}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote."""
        booked, pending = (
            {currency: Sums.from_json(sums) for currency, sums in data[some].items()}
            for some in ("booked", "pending")
        )
        head, number, line = data["head"], data["number"], data["line"]
        return cls(head, number, line, data["has_told"], booked, pending)


NOTHING: Final = Known({}, 0, 0, False, {}, {})


class Statements:
    """Takes the items of a document, or of the rest of it, in their order."""

    def __init__(self, kind: str, known: Known = NOTHING) -> None:
        self._kind = kind
        self._restore(known)
        self._takers: Mapping[str, Callable[[Item], Iterable[Record]]] = {
            MESSAGE: self._message,
            OPEN: self._open,
            END: self._close,
            "GrpHdr": self._group_header,
            "Id": self._id,
            "Acct": self._account,
            "Bal": self._balance,
            "TxsSummry": self._summary,
            "ElctrncSeqNb": self._sequence,
            "LglSeqNb": self._sequence,
            "CreDtTm": self._date,
            "FrToDt": self._date,
            "CpyDplctInd": self._copy,
            **dict.fromkeys(("StmtPgntn", "RptPgntn", "NtfctnPgntn"), self._page),
        }

    def _restore(self, known: Known) -> None:
        self._place: Place | None = None
        self._head, self._number, self._line, self._has_told = known[:4]
        self._booked, self._pending = known[4:]

    @property
    def known(self) -> Known:
        """Return the state before the next item."""
        return Known(
            self._head,
            self._number,
            self._line,
            self._has_told,
            self._booked,
            self._pending,
        )

    @property
    def line(self) -> int:
        """Return the line of the last record."""
        return self._line

    def take(self, item: Item) -> Iterable[Record]:
        """Return the records that an item amounts to."""
        if item.name == ENTRY:
            return self._entry(item)
        taker = self._takers.get(item.name)
        if taker is None:
            return ()
        if item.content.is_too_long:
            return (self._unreadable(item, item.name, "longer than 1 MiB"),)
        return taker(item)

    # --- entries ------------------------------------------------------------------

    def _entry(self, item: Item) -> list[Record]:
        place = self._place
        if place is None:
            place = self._place = _place(self._kind, self._head)
        self._number += 1
        lines = (item.line, self._line)
        tally, judged = judge(item.content, place, self._number, lines)
        records: list[Record] = [*judged]
        if not self._has_told and isinstance(records[0], Row):
            doubts = (*records[0].flags, *_doubts(self._head))
            records[0] = records[0]._replace(flags=doubts)
            self._has_told = True
        self._line = records[-1].line
        self._count(tally, len(records))
        return records

    def _count(self, tally: Tally, rows: int) -> None:
        currency = tally.currency or self._head.get("currency") or NO_CURRENCY
        some = self._booked if tally.is_booked else self._pending
        some = {**some, currency: (some.get(currency) or Sums()).plus(rows, tally)}
        if tally.is_booked:
            self._booked = some
        else:
            self._pending = some

    # --- what stands before them --------------------------------------------------

    def _learn(self, **what: Any) -> tuple[Record, ...]:
        self._head = {**self._head, **what}
        self._place = None
        return ()

    def _message(self, item: Item) -> Iterable[Record]:
        version = values.count(item.content.values["version"])
        self._head = {
            "is_known_version": 0 < (version or 0) <= NEWEST_VERSION,
            "version": version or 0,
        }
        return ()

    def _group_header(self, item: Item) -> Iterable[Record]:
        told = item.content.values
        return self._learn(
            message=values.clean(told.get("MsgId")), pages=_pages(told, "MsgPgntn/")
        )

    def _open(self, _: Item) -> Iterable[Record]:
        kept = ("is_known_version", "version", "message", "pages", "carried")
        head = {key: self._head[key] for key in kept if key in self._head}
        head |= head.get("pages", {})
        self._restore(NOTHING._replace(head=head, line=self._line))
        return ()

    def _id(self, item: Item) -> Iterable[Record]:
        return self._learn(id=values.clean(item.content.values.get("")))

    def _page(self, item: Item) -> Iterable[Record]:
        return self._learn(**_pages(item.content.values, ""))

    def _sequence(self, item: Item) -> Iterable[Record]:
        number = values.count(item.content.values.get("", "").strip())
        return self._learn(**{item.name: number})

    def _date(self, item: Item) -> Iterable[Record]:
        told = item.content.values
        text = values.first(told, ("", "ToDtTm", "ToDt"))
        return self._learn(**{item.name: visible(text)})

    def _copy(self, item: Item) -> Iterable[Record]:
        return self._learn(copy=values.clean(item.content.values.get("")))

    def _account(self, item: Item) -> Iterable[Record]:
        told = item.content.values
        return self._learn(
            account=account_of(told, ACCOUNT), currency=values.clean(told.get("Ccy"))
        )

    def _summary(self, item: Item) -> Iterable[Record]:
        told = item.content.values
        declared = {key: visible(told[key].strip()) for key in DECLARED if key in told}
        return self._learn(declared=declared)

    def _balance(self, item: Item) -> Iterable[Record]:
        told = item.content.values
        read = read_balance(told, self._head.get("currency", ""))
        if read is None:
            text = " ".join(told.get(key, "") for key in ("Amt/@Ccy", "Amt"))
            return (self._unreadable(item, text.strip(), "no balance"),)
        code, currency, balance = read
        all_ = self._head.get("balances", {})
        known = with_balance(all_.get(currency, {}), code, balance)
        return self._learn(balances={**all_, currency: known})

    def _unreadable(self, item: Item, expected: str, found: str) -> Fault:
        self._line = max(item.line, self._line)
        return Fault(self._line, Control.UNREADABLE, visible(expected), found)

    # --- its end ------------------------------------------------------------------

    def _close(self, item: Item) -> Iterator[Record]:
        head = self._head
        self._line = max(item.line, self._line)
        carried: dict[str, str] = {}
        for currency in self._currencies():
            statement = self._statement(currency)
            yield statement
            reached = _reached(statement)
            if reached is not None and statement.closing is None:
                carried[currency] = str(reached)
            elif reached is not None and reached != statement.closing:
                closing, found = f"{statement.closing:f}", f"{reached:f}"
                yield Fault(self._line, Control.CLOSING_BALANCE, closing, found)
        if _is_whole(head):
            declared = head.get("declared", {})
            booked, pending = map(_all, (self._booked, self._pending))
            yield from total_faults(declared, self._line, self._number, booked, pending)
        page = [head.get("account"), head.get("id"), head.get("page", 1)]
        self._learn(carried={"page": page, "amounts": carried})

    def _currencies(self) -> list[str]:
        """Return the currencies of the statement, that of its account first."""
        own: str = self._head.get("currency") or NO_CURRENCY
        found = {**self._head.get("balances", {}), **self._booked, **self._pending}
        return sorted(found, key=lambda currency: currency != own) or [own]

    def _statement(self, currency: str) -> Statement:
        head = self._head
        known = head.get("balances", {}).get(currency, {})
        opening, closing = bounds(known, self._kind)
        opening = opening or self._carried(currency)
        booked = self._booked.get(currency, Sums())
        pending = self._pending.get(currency, Sums())
        number = head.get("ElctrncSeqNb")
        return Statement(
            self._line,
            head.get("account", ""),
            _statement_id(head),
            head.get("LglSeqNb") if number is None else number,
            currency,
            opening.amount if opening else None,
            closing.amount if closing else None,
            opening.day if opening else None,
            closing.day if closing else None,
            booked.rows + pending.rows,
            booked.credits,
            booked.debits,
        )

    def _carried(self, currency: str) -> Balance | None:
        """Return where the page before has led to."""
        head, before = self._head, self._head.get("carried")
        page = [head.get("account"), head.get("id"), head.get("page", 1) - 1]
        if not before or before["page"] != page:
            return None
        amount = before["amounts"].get(currency)
        return None if amount is None else Balance(Decimal(amount), None)


def _pages(told: Mapping[str, str], prefix: str) -> dict[str, Any]:
    page = values.count(told.get(f"{prefix}PgNb", "").strip())
    if page is None:
        return {}
    is_last = told.get(f"{prefix}LastPgInd", "").strip() not in {"false", "0"}
    return {"page": page, "is_last": is_last}


def _is_whole(head: Head) -> bool:
    """Return whether it is the only page of its statement."""
    return head.get("page", 1) == 1 and bool(head.get("is_last", True))


def _statement_id(head: Head) -> str:
    """Return what the statement is called, each of its pages by another name."""
    number = head.get("ElctrncSeqNb") or head.get("LglSeqNb") or ""
    name = head.get("id") or head.get("message") or f"{number}"
    page = head.get("page", 1)
    return name if page == 1 else f"{name}/{page}"


def _place(kind: str, head: Head) -> Place:
    account = head.get("account", "")
    moment = values.moment(head.get("FrToDt") or head.get("CreDtTm") or "")
    return Place(
        kind,
        f"CAMT{kind}:{account or '-'}:{_statement_id(head) or '-'}:",
        account,
        head.get("currency", ""),
        moment,
    )


def _doubts(head: Head) -> Iterator[Flag]:
    """Yield the doubts about a whole statement."""
    if not head.get("is_known_version"):
        version = head.get("version")
        yield Flag("xmlns", Reason.UNKNOWN_VERSION, f"{version:02}" if version else "")
    if head.get("copy") in _COPIES:
        yield Flag("CpyDplctInd", Reason.COPY_OR_DUPLICATE, head["copy"])
    for column, key in (("Acct/Id", "account"), ("Id", "id")):
        if not head.get(key):
            yield Flag(column, Reason.MISSING_VALUE, "")


def _all(by_currency: Mapping[str, Sums]) -> Sums:
    """Return the sums over all currencies."""
    return reduce(Sums.__add__, by_currency.values(), Sums())


def _reached(statement: Statement) -> Decimal | None:
    """Return where the opening balance and the movements lead."""
    if statement.opening is None:
        return None
    added = values.plus(statement.opening, statement.credits)
    return values.minus(added, statement.debits)
