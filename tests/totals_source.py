"""A format for tests, of which every line says what it is: statements with totals.

    S|account|number|currency|opening|2026-01-15
    R|id|C|10.00
    R|id|D|10.00|doubtful|column~doubtful
    E|closing|2026-01-15|rows

A statement is from `S` to `E`; its rows are counted, its balances have to agree.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ingestion.sources.base import (
    Control,
    Fault,
    FileFault,
    Flag,
    Position,
    Reason,
    Record,
    Reject,
    Row,
    Source,
    SourceError,
    Statement,
    raw_json,
    row_hash,
)


def statement(
    *rows: str,
    account: str = "ACC1",
    number: int | str = 1,
    opening: str = "0",
    closing: str | None = None,
    day: str = "2026-01-15",
    currency: str = "INR",
    count: int | None = None,
) -> bytes:
    """Return a statement of these rows, whose totals hold unless they are given."""
    moved = sum(
        (_signed(row.split("|")) for row in rows if row.startswith("R|")), Decimal(0)
    )
    end = str(Decimal(opening) + moved) if closing is None else closing
    head = f"S|{account}|{number}|{currency}|{opening}|{day}"
    tail = f"E|{end}|{day}|{len(rows) if count is None else count}"
    return "\n".join((head, *rows, tail, "")).encode()


def _signed(cells: Sequence[str]) -> Decimal:
    try:
        return Decimal(cells[3]) * (1 if cells[2] == "C" else -1)
    except InvalidOperation:
        return Decimal(0)


class LinesReading:
    """The records of such a file.

    A line of several records is read again as a whole when one of them was the last.
    """

    def __init__(self, blocks: Iterable[bytes], resume: Position | None) -> None:
        self._blocks = blocks
        self.position = resume or Position(0, 1, {"given": 0})

    @property
    def offset(self) -> int:
        """Return where the line of the last record began, or behind it."""
        return self.position.offset

    def __iter__(self) -> Iterator[Record]:
        """Yield the records; raises SourceError if the first line opens nothing."""
        state: dict[str, Any] = deepcopy(dict(self.position.state))
        given = state.pop("given")
        offset, number = self.position.offset, self.position.line
        for line in _lines(self._blocks):
            if offset == 0 and not line.startswith(b"S|"):
                raise SourceError(FileFault.WRONG_HEADER, "Begin with a statement.")
            before = {**deepcopy(state), "given": 0}
            found = _records(number, line.decode().rstrip("\n").split("|"), state)
            yield from self._given(found, given, offset, number, before)
            offset, number, given = offset + len(line), number + 1, 0
            self.position = Position(offset, number, {**deepcopy(state), "given": 0})
        if state.get("open"):
            fault = Fault(number, Control.UNFINISHED, "the end of a statement", "")
            self.position = Position(offset, number, {"given": 0})
            yield fault

    def _given(
        self,
        found: list[Record],
        given: int,
        offset: int,
        number: int,
        before: dict[str, Any],
    ) -> Iterator[Record]:
        for n, record in enumerate(found[given:], given + 1):
            self.position = Position(offset, number, {**before, "given": n})
            yield record


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    kept = b""
    for block in blocks:
        *whole, kept = (kept + block).split(b"\n")
        yield from (line + b"\n" for line in whole)
    if kept:
        yield kept


def _records(number: int, cells: list[str], state: dict[str, Any]) -> list[Record]:
    match cells:
        case ["S", account, sequence, currency, opening, day]:
            state["open"] = {
                **{"account": account, "number": sequence, "currency": currency},
                **{"opening": opening, "day": day, "rows": 0, "C": "0", "D": "0"},
            }
            return []
        case ["R", txn_id, direction, amount, *flags]:
            return [_row(number, txn_id, direction, amount, flags, state["open"])]
        case ["E", closing, day, count]:
            return _end(number, closing, day, count, state.pop("open"))
    return [Reject(number, None, Reason.WRONG_FIELD_COUNT, "|".join(cells))]


def _row(
    number: int,
    txn_id: str,
    direction: str,
    amount: str,
    flags: list[str],
    about: dict[str, Any],
) -> Row | Reject:
    about["rows"] += 1
    try:
        money = Decimal(amount)
    except InvalidOperation:
        return Reject(number, "amount", Reason.INVALID_AMOUNT, amount)
    about[direction] = str(Decimal(about[direction]) + money)
    moment = datetime.combine(date.fromisoformat(about["day"]), time(), UTC)
    return Row(
        line=number,
        txn_id=txn_id,
        source_txn_id=txn_id,
        reference_id=None,
        account_id=about["account"],
        counterparty_account=None,
        vpa_or_ifsc=None,
        amount=money,
        currency=about["currency"],
        status="SUCCESS",
        direction=direction,
        txn_timestamp=moment,
        raw_row=raw_json({"id": txn_id, "amount": amount}),
        row_hash=row_hash("lines:1", txn_id, direction, str(money)),
        flags=tuple(map(_flag, flags)),
    )


def _flag(text: str) -> Flag:
    column, tilde, value = text.rpartition("~")
    return Flag(column if tilde else "id", Reason.INVALID_ID, value)


def _end(
    number: int, closing: str, day: str, count: str, about: dict[str, Any]
) -> list[Record]:
    opening = Decimal(about["opening"]) if about["opening"] else None
    end = Decimal(closing) if closing else None
    gained, taken = Decimal(about["C"]), Decimal(about["D"])
    told = Statement(
        line=number,
        account_id=about["account"],
        statement_id=f"{about['account']}/{about['number']}",
        number=int(about["number"]) if about["number"] else None,
        currency=about["currency"],
        opening=opening,
        closing=end,
        opening_date=date.fromisoformat(about["day"]),
        closing_date=date.fromisoformat(day),
        rows=about["rows"],
        credits=gained,
        debits=taken,
    )
    faults: list[Record] = []
    if opening is not None and end is not None and opening + gained - taken != end:
        reached = str(opening + gained - taken)
        faults.append(Fault(number, Control.CLOSING_BALANCE, closing, reached))
    if int(count) != about["rows"]:
        faults.append(Fault(number, Control.ROW_COUNT, count, str(about["rows"])))
    return [told, *faults]


def read(blocks: Iterable[bytes], *, resume: Position | None = None) -> LinesReading:
    """Return the records of such a file."""
    return LinesReading(blocks, resume)


#: Checked before it is loaded.
TOTALS: Final = Source(name="TOTALS", read=read, has_totals=True)
#: The same, loaded at once.
LINES: Final = Source(name="LINES", read=read)
