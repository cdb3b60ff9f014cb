"""Statements and faults that were found and not told yet, as JSON for a position."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final

from ingestion.sources.base import Control, Fault, Record, Statement

_CONTROLS: Final = {control.value: control for control in Control}


def to_json(records: Iterable[Record]) -> list[Any]:
    """Return the records as JSON; rows and rejects are told at once, so none is due."""
    return [[_plain(value) for value in record] for record in records]


def from_json(data: Iterable[Sequence[Any]]) -> list[Record]:
    """Return what `to_json` wrote."""
    return [_record(values) for values in data]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | None) else str(value)


def _record(values: Sequence[Any]) -> Record:
    if len(values) == len(Fault._fields):
        line, control, expected, found = values
        return Fault(line, _CONTROLS[control], expected, found)
    made = Statement(*values)
    return made._replace(
        opening=_decimal(made.opening),
        closing=_decimal(made.closing),
        opening_date=_day(made.opening_date),
        closing_date=_day(made.closing_date),
        credits=Decimal(made.credits),
        debits=Decimal(made.debits),
    )


def _decimal(text: Any) -> Decimal | None:
    return None if text is None else Decimal(text)


def _day(text: Any) -> date | None:
    return None if text is None else date.fromisoformat(text)
