"""The rows of a file between its header and its end, and what they amount to.

A row is told once the records that continue it are read, and a break of its balance
right behind it. Invariant: `mark` is where the next record begins; what is known by
then, and what was found and is not told yet, is all that `position` needs.

Cost: linear. Memory: one row with at most `MAX_MORE` records that continue it.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ingestion.sources.base import (
    Control,
    Fault,
    FieldError,
    Position,
    Reason,
    Record,
    Reject,
    Statement,
    holding_rows,
)
from ingestion.sources.dialect import balances, due, encodings
from ingestion.sources.dialect.balances import ZERO, Account
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.occurrences import Occurrences
from ingestion.sources.dialect.opening import Opened
from ingestion.sources.dialect.rows import RowReader
from ingestion.sources.dialect.sorting import Kind, Sorted, Sorter

#: Records that may continue one row.
MAX_MORE: Final = 50
#: Labels that no rows are expected behind.
_LAST_LABELS: Final = frozenset({"closing", *balances.FIGURES})


class Body:
    """Tells the records of a file from its first row, or from a later one."""

    def __init__(
        self, dialect: Dialect, opened: Opened, owner: str | None = None
    ) -> None:
        self._dialect = dialect
        self._opened = opened
        self._notes = opened.notes
        self._outcomes = iter(opened.reader)
        self._account = Account(order=dialect.order)
        self._seen = Occurrences()
        #: The account of the rows. What states one behind the header comes too late,
        #: for a later reading as well: ids are made of it.
        self._owner = opened.notes.account if owner is None else owner
        self._rows = RowReader(dialect, opened.layout, self._owner, self._seen)
        self._sorter = Sorter(dialect, opened.layout, self._rows, opened.notes)
        self._held: Sorted | None = None
        self._due: list[Record] = []
        self._is_over = False
        self._line = opened.mark[1]
        #: Offset and line of the next record.
        self.mark = opened.mark
        if opened.first:
            self._held = self._sorter.sort(*opened.first, [])

    def __iter__(self) -> Iterator[Record]:
        """Yield the records that are left."""
        while True:
            while self._due:
                yield self._due.pop(0)
            if self._is_over:
                return
            self._due = self._next()

    # --- One record after the other ---------------------------------------------------

    def _next(self) -> list[Record]:
        """Return what the next record gives to tell; the end of the file too."""
        taken = self._take()
        if taken is None:
            self._is_over = True
            return self._end()
        self._line = taken.line
        if taken.kind is Kind.NOTHING:
            return []
        if taken.kind is Kind.NOTE:
            self._note(taken)
            return []
        self._notes.forget()
        if taken.kind is Kind.REFUSED:
            assert taken.refusal is not None  # noqa: S101 - refused for a reason
            self._account.rows += 1
            return [self._as_it_stood(taken.refusal)]
        return self._row(taken)

    def _take(self) -> Sorted | None:
        """Return the next record; `mark` is then behind it."""
        taken, self._held = self._held or self._peek(), None
        reader = self._opened.reader
        self.mark = (reader.offset, reader.line)
        return taken

    def _peek(self) -> Sorted | None:
        """Return the next record, which stays the next one."""
        if self._held is None:
            outcome = next(self._outcomes, None)
            if outcome is not None:
                reader = self._opened.reader
                self._held = self._sorter.sort(*outcome, reader.ragged)
                if reader.holds_rows:
                    self._held = self._held._replace(holds_rows=True)
        return self._held

    def _more(self) -> list[list[str]]:
        """Take the records that continue the row taken last."""
        more: list[list[str]] = []
        if self._dialect.continued:
            while (
                len(more) < MAX_MORE
                and (held := self._peek()) is not None
                and held.kind is Kind.MORE
            ):
                self._take()
                more.append(held.cells)
        return more

    def _note(self, taken: Sorted) -> None:
        """Keep what a line states."""
        known = len(self._notes.told)
        self._notes.take(taken.line, taken.cells, self._opened.layout)
        if self._notes.begins_trailer(taken.cells) or any(
            told.label in _LAST_LABELS for told in self._notes.told[known:]
        ):
            self._sorter.in_trailer = True

    def _row(self, taken: Sorted) -> list[Record]:
        """Return the row, or the reject, and the break of its balance if one is."""
        account, line = self._account, taken.line
        # What was taken for the end of the file was the end of a page.
        self._sorter.in_trailer = False
        more = self._more()
        try:
            entry = self._rows.read(line, taken.cells, more)
        except FieldError as error:
            is_blank = error.reason in (Reason.MISSING_VALUE, Reason.ZERO_AMOUNT)
            if is_blank and self._sorter.states(taken.cells):
                self._note(taken)  # a dated line that states the opening balance
                return []
            return self._refused(taken, error)
        account.rows += 1
        row = entry.row
        if taken.holds_rows:
            row = holding_rows(row, self._opened.layout.names, taken.cells)
        account.count(row.direction, row.amount, entry.day)
        return [row, *account.step(line, entry.movement, entry.balance, entry.day)]

    def _refused(self, taken: Sorted, error: FieldError) -> list[Record]:
        """Return the reject of a row, which counts with what can be read of it."""
        account, line = self._account, taken.line
        side, balance = self._rows.rest(taken.cells)
        account.rows += 1
        movement = ZERO
        if side:
            amount, direction = side
            account.count(direction, amount, None)
            movement = amount if direction == "C" else -amount
        reject = Reject(line, error.column, error.reason, error.value)
        return [self._as_it_stood(reject), *account.step(line, movement, balance)]

    def _as_it_stood(self, reject: Reject) -> Reject:
        """Return the reject with its bytes, where it may be sent again by itself.

        Then nothing is read ahead, so that the record read last is its own.
        """
        raw = self._opened.reader.raw if self._dialect.stands_alone else None
        if raw is None:
            return reject
        return reject._replace(raw=encodings.as_in_file(raw, self._opened.text.codec))

    # --- The end, and the way back ----------------------------------------------------

    def _end(self) -> list[Record]:
        """Return what the whole file gives to tell."""
        dialect, told = self._dialect, self._notes.told
        faults = list(balances.totals(self._account, told))
        if dialect.trailer_required and not balances.has_trailer(told):
            wanted = "a trailer with a count or a sum"
            faults.append(Fault(self._line, Control.UNFINISHED, wanted, "none"))
        # The line of the last record is the greatest: what is loaded ends there.
        faults.sort(key=lambda fault: fault.line)
        return [*faults, *([self._statement()] if dialect.is_statement else [])]

    def _statement(self) -> Statement:
        account, told = self._account, self._notes.told
        opening = balances.stated(told, "opening")
        closing = balances.stated(told, "closing")
        first, last = account.first_day, account.last_day
        return Statement(
            self._line,
            self._dialect.account or self._notes.account,
            "" if first is None else f"{first}..{last}",
            None,
            self._dialect.currency,
            account.opening if opening is None else opening,
            account.closing if closing is None else closing,
            first,
            last,
            account.rows,
            account.credit_sum,
            account.debit_sum,
        )

    @property
    def position(self) -> Position:
        """Return where a later reading goes on."""
        opened = self._opened
        state: dict[str, Any] = {
            "codec": opened.text.codec,
            "delimiter": opened.reader.grammar.delimiter,
            "names": list(opened.layout.names),
            "owner": self._owner,
            "at": dict(opened.layout.at),
            "told": [list(told) for told in self._notes.told],
            "in_trailer": self._sorter.in_trailer,
            "account": self._account.to_json(),
            "seen": self._seen.to_json(),
            "due": due.to_json(self._due),
            "is_over": self._is_over,
            "last_line": self._line,
        }
        return Position(*self.mark, state)

    def recall(self, state: Mapping[str, Any]) -> None:
        """Go on with what an earlier reading knew."""
        self._sorter.in_trailer = state["in_trailer"]
        self._account = Account.from_json(state["account"])
        self._seen.recall(state["seen"])
        self._due = due.from_json(state["due"])
        self._is_over = state["is_over"]
        self._line = state["last_line"]
