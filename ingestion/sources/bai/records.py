"""The judge of BAI2: records to rows, statements and faults of control totals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from json.encoder import encode_basestring as _json
from typing import Any, Final

from ingestion.sources import booking
from ingestion.sources.bai import detail
from ingestion.sources.bai.controls import (
    balance_faults,
    count_faults,
    read_summary,
    scaled,
    some,
    total_faults,
)
from ingestion.sources.bai.cutting import CONTINUATION, DETAIL, STRAY, WRAPPED
from ingestion.sources.bai.detail import Fields, Place, amount_of
from ingestion.sources.bai.known import Account, File, Group
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
from ingestion.sources.textlines import decoded
from ingestion.sources.units import END, Unit

DEFAULT_CURRENCY: Final = "USD"
#: Groups that take back or only try what they hold.
_NOT_BOOKED: Final = frozenset({"2", "4"})


class Records:
    """Judges the records of one file, in their order."""

    single: Final = frozenset({DETAIL, STRAY})

    def __init__(self, state: Mapping[str, Any]) -> None:
        file, group, account = (state.get(k) for k in ("file", "group", "account"))
        self._file = File(**file) if file else None
        self._group = Group(**group) if group else None
        self._account = Account.from_json(account) if account else None
        #: The account before, and how many times it has stood in a row.
        self._last: list[Any] = list(state.get("last") or ["", 0])
        self._has_ended = bool(state.get("ended"))
        self._place: Place | None = None
        self._judges: dict[str, Callable[[Unit], list[Record]]] = {
            "01": self._file_header,
            "02": self._group_header,
            "03": self._account_identifier,
            "49": self._account_trailer,
            "98": self._group_trailer,
            "99": self._file_trailer,
            CONTINUATION: self._stray,
            STRAY: self._stray,
            END: self._end,
        }

    @property
    def state(self) -> dict[str, Any]:
        """Return what it knows, as JSON values."""
        return {
            "file": self._file and asdict(self._file),
            "group": self._group and asdict(self._group),
            "account": self._account and asdict(self._account),
            "last": list(self._last),
            "ended": self._has_ended,
        }

    def take(self, unit: Unit) -> Sequence[Record]:
        """Return the records of a unit."""
        if unit.kind == DETAIL:
            return (self._detail(unit),)
        if unit.is_cut:
            self._count(unit)
            return [_reject(unit, Reason.FIELD_TOO_LONG)]
        records = self._judges[unit.kind](unit)
        # What was written of a line is known by its rejects: they have to come first.
        return sorted(records, key=lambda record: not isinstance(record, Reject))

    # --- transactions

    def _detail(self, unit: Unit) -> Record:
        account = self._account
        try:
            if account is None:
                self._count(unit)
                raise FieldError(DETAIL, Reason.OUTSIDE_STATEMENT, _shown(unit))
            given = detail.parse(unit.parts)
            amount = amount_of(given.amount_text)
            account.entries += 1
            self._count(unit)
            _add(account, given.type_code, amount)
            _check_text(unit, given.text)
            place = self._place or self._placed(account)
            found = detail.row(unit.line, place, account, given, amount)
        except FieldError as error:
            return Reject(unit.line, error.column, error.reason, error.value)
        account.rows += 1
        return found

    def _placed(self, account: Account) -> Place:
        group = self._group or Group()
        if group.status in _NOT_BOOKED:
            raise FieldError("group_status", Reason.NOT_BOOKED, group.status)
        if not account.id:
            raise FieldError("account", Reason.MISSING_VALUE, "")
        if not group.as_of_date:
            raise FieldError("as_of_date", Reason.MISSING_VALUE, "")
        told = {
            "as_of_date": group.as_of_date,
            "as_of_time": group.as_of_time,
            "as_of_date_modifier": group.modifier,
            "group_status": group.status,
            "file": self._file.id if self._file else "",
        }
        raw = ",".join(f'"{name}":{_json(text)}' for name, text in told.items())
        day = _day(group.as_of_date)
        statement = _statement_id(group, account)
        self._place = Place(account.id, statement, account.currency, day, raw)
        return self._place

    def _count(self, unit: Unit) -> None:
        """Count the physical records of a unit, wherever it stands."""
        count = sum(1 for kind, _ in unit.parts if kind != WRAPPED)
        for open_one in (self._file, self._group, self._account):
            if open_one is not None:
                open_one.records += count

    # --- headers

    def _file_header(self, unit: Unit) -> list[Record]:
        records = self._unfinished(unit.line)
        fields = Fields(unit.parts).all()
        sender, _, created, time, name = some(fields, 5)
        self._file = File(
            sender=sender,
            created=created,
            id="-".join(filter(None, (created, time, name))),
        )
        self._group = self._account = self._place = None
        self._count(unit)
        return records

    def _group_header(self, unit: Unit) -> list[Record]:
        records = self._end_group(unit.line)
        _, _, status, day, time, currency, modifier = some(Fields(unit.parts).all(), 7)
        self._group = Group(
            status=status,
            as_of_date=day,
            as_of_time=time,
            currency=currency.upper(),
            modifier=modifier,
        )
        self._last = ["", 0]
        if self._file is None:
            records.append(_reject(unit, Reason.OUTSIDE_STATEMENT))
        self._count(unit)
        return records

    def _account_identifier(self, unit: Unit) -> list[Record]:
        records = self._end_account(unit.line)
        if self._group is None:
            self._group = Group()
            records.append(_reject(unit, Reason.OUTSIDE_STATEMENT))
        fields = Fields(unit.parts).all()
        name, currency = some(fields, 2)
        name = "".join(filter(str.isprintable, name))
        repeat = self._last[1] + 1 if name == self._last[0] else 0
        self._last = [name, repeat]
        self._account = Account(
            name,
            currency.upper() or self._group.currency or DEFAULT_CURRENCY,
            repeat,
        )
        self._place = None
        self._count(unit)
        if bad := read_summary(self._account, fields[2:]):
            value = visible(bad)
            records = [r for r in records if not isinstance(r, Reject)]
            records.append(Reject(unit.line, "03", Reason.MALFORMED_FIELD, value))
        return records

    # --- trailers

    def _account_trailer(self, unit: Unit) -> list[Record]:
        account = self._account
        self._count(unit)
        if account is None:
            return [_reject(unit, Reason.OUTSIDE_STATEMENT)]
        total, count = some(Fields(unit.parts).all(), 2)
        faults = total_faults(unit.line, total, account.sum)
        faults += count_faults(unit.line, count, account.records, "records")
        faults += balance_faults(unit.line, account)
        stated = amount_of(total) if total else account.sum
        return [
            *faults,
            *self._closed(unit.line, account.sum if stated is None else stated),
        ]

    def _closed(self, line: int, stated: int) -> list[Record]:
        """Close the open account, and return its statement."""
        account, group = self._account, self._group
        if account is None or group is None:
            return []
        group.accounts += 1
        group.stated += stated
        group.found += account.sum
        self._account = self._place = None
        if group.status in _NOT_BOOKED:
            return []
        return [_statement(line, group, account)]

    def _group_trailer(self, unit: Unit) -> list[Record]:
        records = self._end_account(unit.line)
        group, file = self._group, self._file
        self._count(unit)
        if group is None:
            return [*records, _reject(unit, Reason.OUTSIDE_STATEMENT)]
        total, accounts, count = some(Fields(unit.parts).all(), 3)
        records += total_faults(unit.line, total, group.stated, group.found)
        records += count_faults(unit.line, accounts, group.accounts, "accounts")
        records += count_faults(unit.line, count, group.records, "records")
        stated = amount_of(total) if total else group.stated
        if file is not None:
            file.groups += 1
            file.stated += group.stated if stated is None else stated
            file.found += group.found
        self._group = None
        return records

    def _file_trailer(self, unit: Unit) -> list[Record]:
        records = self._end_group(unit.line)
        file = self._file
        if file is None:
            return [*records, _reject(unit, Reason.OUTSIDE_STATEMENT)]
        self._count(unit)
        total, groups, count = some(Fields(unit.parts).all(), 3)
        records += total_faults(unit.line, total, file.stated, file.found)
        records += count_faults(unit.line, groups, file.groups, "groups")
        records += count_faults(unit.line, count, file.records, "records")
        self._file = None
        return records

    # --- what ends too early

    def _end_account(self, line: int) -> list[Record]:
        account = self._account
        if account is None:
            return []
        fault = Fault(line, Control.UNFINISHED, "49", "")
        return [fault, *self._closed(line, account.sum)]

    def _end_group(self, line: int) -> list[Record]:
        records = self._end_account(line)
        group, self._group = self._group, None
        if group is None:
            return records
        if self._file is not None:
            self._file.groups += 1
            self._file.stated += group.stated
            self._file.found += group.found
        return [*records, Fault(line, Control.UNFINISHED, "98", "")]

    def _unfinished(self, line: int) -> list[Record]:
        records = self._end_group(line)
        file, self._file = self._file, None
        if file is None:
            return records
        return [*records, Fault(line, Control.UNFINISHED, "99", "")]

    def _end(self, unit: Unit) -> list[Record]:
        if self._has_ended:
            return []
        self._has_ended = True
        return self._unfinished(unit.line)

    def _stray(self, unit: Unit) -> list[Record]:
        return [_reject(unit, Reason.OUTSIDE_FIELD)]


def _add(account: Account, type_code: str, amount: int | None) -> None:
    """Add a transaction to the sums, good or refused, if its amount can be read."""
    if amount is None:
        return
    account.sum += amount
    direction = detail.direction_of(type_code, amount)
    if direction is not None:
        total = account.credits if direction == "C" else account.debits
        total.count += 1
        total.sum += abs(amount) if type_code >= "900" else amount


def _check_text(unit: Unit, text: str) -> None:
    if unit.is_cut:
        raise FieldError(DETAIL, Reason.FIELD_TOO_LONG, visible(text))
    if any(b"\0" in raw for _, raw in unit.parts):
        raise FieldError(DETAIL, Reason.NUL_BYTE, visible(text))


def _statement_id(group: Group, account: Account) -> str:
    """Return what tells this report of an account from all others of it."""
    time = f"T{group.as_of_time}" if group.as_of_time else ""
    repeat = f".{account.repeat + 1}" if account.repeat else ""
    modifier = f"/{group.modifier}" if group.modifier else ""
    return visible(f"{group.as_of_date}{time}{modifier}{repeat}")


def _statement(line: int, group: Group, account: Account) -> Statement:
    try:
        day = _day(group.as_of_date).day
    except FieldError:
        day = None
    return Statement(
        line,
        account.id,
        _statement_id(group, account),
        None,
        account.currency,
        None if account.opening is None else scaled(account.opening, account.currency),
        None if account.closing is None else scaled(account.closing, account.currency),
        day,
        day,
        account.rows,
        scaled(account.credits.sum, account.currency),
        scaled(account.debits.sum, account.currency),
    )


def _day(text: str) -> booking.Day:
    short = text[2:] if len(text) == 8 else text
    if not (len(short) == 6 and short.isascii() and short.isdigit()):
        raise FieldError("as_of_date", Reason.INVALID_TIMESTAMP, visible(text))
    return booking.short_day("as_of_date", short)


def _shown(unit: Unit) -> str:
    return visible(decoded(unit.parts[0][1]))


def _reject(unit: Unit, reason: Reason) -> Reject:
    column = None if unit.kind == STRAY else unit.kind
    return Reject(unit.line, column, reason, _shown(unit))
