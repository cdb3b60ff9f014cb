"""The judge of MT940 and MT942: fields to rows, statements and faults.

The library's tags read the fields; what they let pass is checked here, as is what only
several fields together can say: that balances follow from each other, and totals from
the entries.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mt940 import tags

from ingestion.sources import narrative
from ingestion.sources.base import (
    Control,
    Fault,
    FieldError,
    Reason,
    Record,
    Reject,
    Statement,
    visible,
)
from ingestion.sources.currencies import EXPONENTS
from ingestion.sources.swift.balances import (
    AMOUNT,
    TAGS,
    Balance,
    balance_of,
    decimal,
    is_whole,
    money,
)
from ingestion.sources.swift.cutting import ENTRY, ENVELOPE, FIELDS, STRAY
from ingestion.sources.swift.entry import Line, Place, parse_line, row
from ingestion.sources.swift.known import Before, Page, Totals
from ingestion.sources.textlines import decoded
from ingestion.sources.units import END, Unit

_COMMON: Final = ["61", "86"]
#: `517852257 EUR`, `1291.99.348EUR`, `//AT39364/12345678912/EUR`
_ACCOUNT: Final = re.compile(r"(?P<account>.*?[0-9 /.])(?P<currency>[A-Z]{3})")
_END_OF_MESSAGE: Final = re.compile(r"-\}|\{1:")


class Statements:
    """Judges the fields of one file, in their order."""

    single: Final = frozenset({ENTRY, STRAY})

    def __init__(self, source: str, state: Mapping[str, Any]) -> None:
        self._source = source
        self._is_interim = source == "MT942"
        page, before = state.get("page"), state.get("before")
        self._page = Page.from_json(page) if page else None
        self._before = Before(**before) if before else None
        #: Of the unit before: where a page ends that says nothing of its end.
        self._line = int(state.get("line", 1))
        self._has_ended = bool(state.get("ended"))
        self._place: Place | None = None
        self._judges: dict[str, Callable[[Unit, str], Sequence[Record]]] = {
            **dict.fromkeys(FIELDS, self._no_totals),
            "20": self._reference,
            "25": self._account,
            "25P": self._account,
            "28": self._number,
            "28C": self._number,
            "13": self._made,
            "13D": self._made,
            "34F": self._floor,
            **dict.fromkeys(("60", "60F", "60M"), self._opening),
            **dict.fromkeys(("62", "62F", "62M"), self._closing),
            **dict.fromkeys(("64", "65"), self._available),
            **dict.fromkeys(("90C", "90D"), self._sums),
            ENVELOPE: self._envelope,
            STRAY: self._stray,
            END: self._end,
        }

    @property
    def state(self) -> dict[str, Any]:
        """Return what it knows, as JSON values."""
        return {
            "page": self._page and self._page.to_json(),
            "before": self._before and self._before.to_json(),
            "line": self._line,
            "ended": self._has_ended,
        }

    def take(self, unit: Unit) -> Sequence[Record]:
        """Return the records of a unit."""
        found = (self._entry(unit),) if unit.kind == ENTRY else self._field(unit)
        self._line = unit.line
        return found

    def _field(self, unit: Unit) -> list[Record]:
        records: list[Record] = []
        for tag, data in unit.parts[:-1]:
            records += self._envelope(unit, decoded(data)) if tag == ENVELOPE else ()
        text = decoded(unit.parts[-1][1]).strip() if unit.parts else ""
        judge = self._judges.get(unit.kind, self._unknown)
        if unit.is_cut and unit.kind != "86":
            return [*records, self._reject(unit, Reason.FIELD_TOO_LONG, text)]
        try:
            return [*records, *judge(unit, text.replace("\0", ""))]
        except FieldError as error:
            return [*records, self._reject(unit, error.reason, error.value)]

    # --- entries

    def _entry(self, unit: Unit) -> Record:
        page = self._page
        texts = _texts(unit)
        try:
            if page is None or page.is_closed:
                text = visible(texts["61"])
                raise FieldError(":61:", Reason.OUTSIDE_STATEMENT, text)
            page.entries += 1
            line = parse_line(texts["61"])
            _count(page, line)
            _check_text(unit, texts)
            place = self._place or self._placed(page)
            number = page.entries_before + page.entries
            found = row(number, unit.line, place, line, texts)
        except FieldError as error:
            return Reject(unit.line, error.column, error.reason, error.value)
        page.rows += 1
        return found

    def _placed(self, page: Page) -> Place:
        if not page.account:
            raise FieldError(":25:", Reason.MISSING_VALUE, "")
        if not page.currency:
            raise FieldError("currency", Reason.MISSING_VALUE, "")
        page.entries_before = self._entries_before(page)
        self._place = Place(
            self._source, page.reference, page.account, page.statement_id, page.currency
        )
        return self._place

    def _entries_before(self, page: Page) -> int:
        """Return where the entries' numbers go on, if pages have no numbers.

        The opening balance tells that a page goes on from the one before and is not the
        same once more.
        """
        last = self._goes_on(page)
        if last is None or last.statement_id != page.statement_id:
            return 0
        opening = page.opening is not None and money(page.opening, page.currency or "")
        follows = last.has_moved and opening == last.closing
        return last.entries if page.opening_kind == "M" or follows else 0

    # --- the heading of a statement

    def _reference(self, unit: Unit, text: str) -> list[Record]:
        ended = self._end_page()
        given = _group(
            "transaction_reference", tags.Tags.TRANSACTION_REFERENCE_NUMBER, text
        )
        self._page = Page(reference=_printable(given))
        return ended

    def _begun(self, unit: Unit) -> tuple[Page, list[Record]]:
        """Return the page of a heading: a new one if the last is closed."""
        if self._page is not None and not self._page.is_closed:
            self._place = None
            return self._page, []
        reference = self._page.reference if self._page else ""
        ended = self._end_page()
        self._page = Page(reference=reference)
        return self._page, ended

    def _account(self, unit: Unit, text: str) -> list[Record]:
        page, records = self._begun(unit)
        if page.account is not None:
            return [*records, self._reject(unit, Reason.REPEATED_FIELD, text)]
        # The library's pattern stops at 35 characters; some banks write more.
        given = _printable(text).strip()
        match = _ACCOUNT.fullmatch(given)
        if match and match["currency"] in EXPONENTS and not narrative.is_iban(given):
            given = match["account"].rstrip(" /")
            page.currency = page.currency or match["currency"]
        page.account = given or None
        return records

    def _number(self, unit: Unit, text: str) -> list[Record]:
        page, records = self._begun(unit)
        match = tags.Tags.STATEMENT_NUMBER.value.re.match(text)
        if not match:
            return [*records, self._reject(unit, Reason.MALFORMED_FIELD, text)]
        number, sequence = match.groups()
        if sequence and "/" not in text:
            # The library splits a number of more than five digits.
            number, sequence = text, None
        page.number, page.sequence = int(number), int(sequence) if sequence else None
        return [*records, *self._sequence_faults(unit, page)]

    def _sequence_faults(self, unit: Unit, page: Page) -> list[Record]:
        last = self._goes_on(page)
        if last is None or last.sequence is None or page.sequence is None:
            return []
        if last.to_follow is None or page.sequence <= last.sequence + 1:
            return []
        return [_fault(unit, Control.PAGE, last.sequence + 1, page.sequence)]

    def _made(self, unit: Unit, text: str) -> list[Record]:
        page, records = self._begun(unit)
        match = tags.Tags.DATE_TIME_INDICATION.value.re.match(text)
        if not match or match.end() < len(text):
            return [*records, self._reject(unit, Reason.MALFORMED_FIELD, text)]
        page.made = match[0]
        return records

    def _floor(self, unit: Unit, text: str) -> list[Record]:
        page, records = self._begun(unit)
        match = tags.Tags.FLOOR_LIMIT_INDICATOR.value.re.match(text)
        if not match or not AMOUNT.fullmatch(match["amount"]):
            return [*records, self._reject(unit, Reason.MALFORMED_FIELD, text)]
        page.currency = page.currency or match["currency"]
        return records

    def _opening(self, unit: Unit, text: str) -> list[Record]:
        page, records = self._begun(unit)
        if page.opening is not None:
            return [*records, self._reject(unit, Reason.REPEATED_FIELD, text)]
        balance = balance_of(unit.kind, text)
        page.opening, page.opening_date = balance.amount, balance.day.day
        page.opening_kind = unit.kind[2:]
        page.currency = balance.currency
        last = self._goes_on(page)
        if page.opening_kind == "M" and last and last.to_follow is not None:
            stated = money(balance.amount, balance.currency)
            if stated != last.to_follow:
                records.append(
                    _fault(unit, Control.OPENING_BALANCE, stated, last.to_follow)
                )
        return records

    def _goes_on(self, page: Page) -> Before | None:
        """Return the page before, if this one is the next of the same statement."""
        last = self._before
        if last is None or (last.account, last.number) != (page.account, page.number):
            return None
        return last

    # --- balances and totals

    def _closing(self, unit: Unit, text: str) -> list[Record]:
        page = self._page
        if page is None or page.is_closed:
            return [self._reject(unit, Reason.OUTSIDE_STATEMENT, text)]
        balance = balance_of(unit.kind, text, page.currency)
        records: list[Record] = []
        if page.opening is None:
            records.append(_fault(unit, Control.MISSING_BALANCE, ":60F:", ""))
        else:
            stated = money(balance.amount, balance.currency)
            found = money(page.opening + page.movement, page.currency or "")
            if stated != found:
                records.append(_fault(unit, Control.CLOSING_BALANCE, stated, found))
        page.currency = page.currency or balance.currency
        page.is_closed = True
        self._remember(page, balance, is_followed=unit.kind == "62M")
        return [*records, _statement(page, balance, unit.line)]

    def _remember(
        self, page: Page, closing: Balance | None, *, is_followed: bool = False
    ) -> None:
        stated = money(closing.amount, closing.currency) if closing else None
        last = self._goes_on(page)
        before = (last.credits, last.debits) if last else (None, None)
        self._before = Before(
            page.account,
            page.number,
            page.sequence,
            stated if is_followed else None,
            credits=_since(before[0], page.credits),
            debits=_since(before[1], page.debits),
            statement_id=page.statement_id,
            entries=page.entries_before + page.entries,
            has_moved=bool(page.movement),
            closing=stated,
        )

    def _available(self, unit: Unit, text: str) -> list[Record]:
        balance_of(unit.kind, text, self._page.currency if self._page else None)
        return self._no_totals(unit, text)

    def _sums(self, unit: Unit, text: str) -> list[Record]:
        page = self._page
        if page is None:
            return [self._reject(unit, Reason.OUTSIDE_STATEMENT, text)]
        match = TAGS[unit.kind].re.match(text)
        if not match or not is_whole(match) or len(match["number"]) > 9:
            return [self._reject(unit, Reason.MALFORMED_FIELD, text)]
        stated = Totals(int(match["number"] or 0), decimal(match["amount"]))
        known = self._known_totals(page, is_credit=unit.kind == "90C")
        first = known[0]
        faults: list[Record] = []
        if stated.count not in [totals.count for totals in known]:
            faults.append(_fault(unit, Control.ROW_COUNT, stated.count, first.count))
        if stated.sum not in [totals.sum for totals in known]:
            control = Control.CREDIT_SUM if unit.kind == "90C" else Control.DEBIT_SUM
            faults.append(_fault(unit, control, stated.sum, first.sum))
        return faults

    def _known_totals(self, page: Page, *, is_credit: bool) -> list[Totals]:
        """Return what the totals may be of: with or without what is only expected.

        And of this page, or of all pages so far: banks do it either way.
        """
        booked = page.credits if is_credit else page.debits
        expected = page.expected_credits if is_credit else page.expected_debits
        known = [_plus(booked, expected), booked]
        last = self._goes_on(page)
        if last is not None and not page.is_closed:
            old = Totals.from_json(last.credits if is_credit else last.debits)
            known += [_plus(old, one) for one in known]
        return known

    # --- the rest

    def _no_totals(self, unit: Unit, text: str) -> list[Record]:
        """Take a field that says nothing of rows: a text about the whole statement."""
        if self._page is None:
            return [self._reject(unit, Reason.OUTSIDE_STATEMENT, text)]
        return []

    def _unknown(self, unit: Unit, text: str) -> list[Record]:
        return [self._reject(unit, Reason.UNKNOWN_FIELD, f":{unit.kind}:{text}")]

    def _stray(self, unit: Unit, text: str) -> list[Record]:
        return [self._reject(unit, Reason.OUTSIDE_FIELD, text)]

    def _envelope(self, unit: Unit, text: str) -> list[Record]:
        """Take what stands around messages: some of it ends the open one."""
        return self._end_page() if _END_OF_MESSAGE.match(text) else []

    def _end(self, unit: Unit, text: str) -> list[Record]:
        if self._has_ended:
            return []
        self._has_ended = True
        page = self._page
        if page and not page.is_closed and not self._is_interim:
            page.is_closed = True
            fault = Fault(unit.line, Control.UNFINISHED, ":62F:", "")
            return [fault, _statement(page, None, unit.line)]
        return self._end_page()

    def _end_page(self) -> list[Record]:
        """End the open page without a closing balance, which an MT942 need not have."""
        page, self._page, self._place = self._page, None, None
        if page is None or page.is_closed:
            return []
        self._remember(page, None)
        ended: list[Record] = [_statement(page, None, self._line)]
        if self._is_interim:
            return ended
        return [Fault(self._line, Control.MISSING_BALANCE, ":62F:", ""), *ended]

    def _reject(self, unit: Unit, reason: Reason, text: str) -> Reject:
        column = f":{unit.kind}:" if unit.kind in FIELDS else None
        return Reject(unit.line, column, reason, visible(text))


def _count(page: Page, line: Line) -> None:
    if line.is_expected:
        totals = (
            page.expected_credits if line.direction == "C" else page.expected_debits
        )
    else:
        totals = page.credits if line.direction == "C" else page.debits
    totals.add(line.amount)


def _texts(unit: Unit) -> dict[str, str]:
    """Return the texts of an entry by tag; those of one tag are joined as lines."""
    tags_given = [tag for tag, _ in unit.parts]
    if tags_given == _COMMON:
        (_, line), (_, info) = unit.parts
        return {"61": decoded(line), "86": decoded(info), "NS": ""}
    texts: dict[str, list[str]] = {"86": [], "NS": []}
    for tag, data in unit.parts:
        texts.setdefault(tag, []).append(decoded(data))
    return {tag: "\n".join(lines) for tag, lines in texts.items()}


def _check_text(unit: Unit, texts: Mapping[str, str]) -> None:
    """Refuse texts that cannot be kept; raises FieldError."""
    if unit.is_cut:
        tag, text = max(texts.items(), key=lambda one: len(one[1]))
        raise FieldError(f":{tag}:", Reason.FIELD_TOO_LONG, visible(text))
    if "\0" in texts["86"] or "\0" in texts["61"] or "\0" in texts["NS"]:
        tag, text = next(one for one in texts.items() if "\0" in one[1])
        raise FieldError(f":{tag}:", Reason.NUL_BYTE, visible(text))


def _since(before: list[Any] | None, totals: Totals) -> list[Any]:
    """Return the totals of all pages of a statement so far, as JSON values."""
    return (
        _plus(Totals.from_json(before), totals).to_json()
        if before
        else (totals.to_json())
    )


def _plus(one: Totals, other: Totals) -> Totals:
    return Totals(one.count + other.count, one.sum + other.sum)


def _group(name: str, tag: tags.Tags, text: str) -> str:
    match = tag.value.re.match(text)
    return match[name] if match else ""


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c for c in text if c.isprintable())


def _fault(unit: Unit, control: Control, expected: object, found: object) -> Fault:
    return Fault(unit.line, control, visible(str(expected)), visible(str(found)))


def _statement(page: Page, closing: Balance | None, line: int) -> Statement:
    return Statement(
        line,
        page.account or "",
        page.statement_id,
        page.number,
        page.currency or "",
        page.opening,
        closing and closing.amount,
        page.opening_date,
        closing and closing.day.day,
        page.rows,
        page.credits.sum,
        page.debits.sum,
    )
