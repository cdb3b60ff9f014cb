"""Filters that the lists of files and of transactions share."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import (
    DropdownFilter,
    RangeDateTimeFilter,
    RangeNumericFilter,
)

from ingestion import profiles
from ingestion.terms import parse_amount


class ChoiceFilter(DropdownFilter):  # type: ignore[misc]
    """Offers fixed values of one column, which has no choices of its own."""

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep the rows with the chosen value."""
        value = self.value()
        return rows.filter(**{self.parameter_name: value}) if value else rows


class SourceFilter(ChoiceFilter):
    """Offers the sources that can be ingested."""

    title = "source"
    parameter_name = "source"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return the formats and the dialects."""
        return [(name, name) for name in profiles.source_names()]


class AmountFilter(RangeNumericFilter):  # type: ignore[misc]
    """Keeps the amounts of a range, both ends included; says what it cannot read."""

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep the rows within the range; none where an end cannot be read."""
        try:
            low, high = self._end("from"), self._end("to")
            _in_order(low, high, "amount")
        except ValueError as error:
            messages.error(request, f"Amount: {error}")
            return rows.none()
        if low is not None:
            rows = rows.filter(amount__gte=low)
        return rows if high is None else rows.filter(amount__lte=high)

    def _end(self, end: str) -> Decimal | None:
        text = self.used_parameters.get(f"{self.parameter_name}_{end}") or ""
        return parse_amount(text) if text.strip() else None


class TimeFilter(RangeDateTimeFilter):  # type: ignore[misc]
    """Keeps the times of a range; a date alone is the whole day."""

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep the rows within the range; none where an end cannot be read."""
        try:
            low, high = self._end("from", time.min), self._end("to", time.max)
            _in_order(low, high, "time")
        except ValueError as error:
            messages.error(request, f"Time: {error}")
            return rows.none()
        if low is not None:
            rows = rows.filter(**{f"{self.parameter_name}__gte": low})
        if high is not None:
            rows = rows.filter(**{f"{self.parameter_name}__lte": high})
        return rows

    def _end(self, end: str, otherwise: time) -> datetime | None:
        name = f"{self.parameter_name}_{end}"
        day = (self.used_parameters.get(f"{name}_0") or "").strip()
        hour = (self.used_parameters.get(f"{name}_1") or "").strip()
        if not day and not hour:
            return None
        if not day:
            raise ValueError(f"choose a date beside {hour!r}")
        try:
            moment = time.fromisoformat(hour) if hour else otherwise
            both = datetime.combine(
                date.fromisoformat(day), moment.replace(tzinfo=None)
            )
            return timezone.make_aware(both)
        except (ValueError, OverflowError):
            given = f"{day} {hour}".strip()
            raise ValueError(
                f"{given!r} is no time: write it like 2026-01-31 and 14:30"
            ) from None


def _in_order(low: Any, high: Any, what: str) -> None:
    if low is not None and high is not None and low > high:
        raise ValueError(f"the first {what} is above the second, so nothing is between")
