"""Filters of the list of mismatches."""

from collections.abc import Mapping
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Final

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import (
    DropdownFilter,
    RangeDateFilter,
    RelatedDropdownFilter,
)

from reconciliation.lifecycle import ACTIVE, State

_BACKEND: Final = "django.contrib.auth.backends.ModelBackend"
#: The least and the most days of each age.
AGES: Final[Mapping[str, tuple[int, int | None]]] = MappingProxyType(
    {
        "0-1": (0, 1),
        "2-7": (2, 7),
        "8-30": (8, 30),
        "31-90": (31, 90),
        "over-90": (91, None),
    }
)


def assignees() -> QuerySet[Any]:
    """Return the staff who may work mismatches off, by name."""
    people = get_user_model().objects.with_perm(
        "reconciliation.resolve_reconciliation", backend=_BACKEND
    )
    found: QuerySet[Any] = people.filter(is_staff=True).order_by("username")
    return found


class StateFilter(DropdownFilter):  # type: ignore[misc]
    """Shows what is to be worked off, unless a state or all are asked for."""

    title = "state"
    parameter_name = "state"
    all_option: Final = ["", "To be worked off"]

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return the states, and all of them."""
        return [("all", "All"), *((s.value, s.value.title()) for s in State)]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep the chosen state; what is searched for is found in any."""
        if self.value() == "all" or (not self.value() and request.GET.get("q")):
            return rows
        return rows.filter(state__in=[self.value()] if self.value() else ACTIVE)


class ProfileFilter(RelatedDropdownFilter):  # type: ignore[misc]
    """Shows what is of one profile."""

    def has_output(self) -> bool:
        """Offer it for one profile, too: links come here that have it chosen."""
        return bool(self.lookup_choices)


class AssigneeFilter(DropdownFilter):  # type: ignore[misc]
    """Shows what one person has, or nobody."""

    title = "assignee"
    parameter_name = "assignee"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return oneself, nobody, and the people."""
        people = ((str(each.pk), each.get_username()) for each in assignees())
        return [("mine", "Mine"), ("nobody", "Nobody"), *people]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep what the chosen one has."""
        value = self.value()
        if not value:
            return rows
        if value == "nobody":
            return rows.filter(assignee=None)
        return rows.filter(assignee=request.user.pk if value == "mine" else value)


class AgeFilter(DropdownFilter):  # type: ignore[misc]
    """Shows mismatches of days so long ago."""

    title = "age"
    parameter_name = "age"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return the ages."""
        return [(name, _title(name)) for name in AGES]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep the mismatches of that age."""
        if self.value() not in AGES:
            return rows
        least, most = AGES[self.value()]
        today = timezone.localdate()
        if least:  # what happened behind the cut-off is of tomorrow
            rows = rows.filter(day__lte=today - timedelta(days=least))
        return rows if most is None else rows.filter(day__gte=today - timedelta(most))


class DayFilter(RangeDateFilter):  # type: ignore[misc]
    """Shows the days of a range, both included; says what it cannot read."""

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep the days within the range; none where an end cannot be read."""
        try:
            low, high = self._end("from"), self._end("to")
        except ValueError:
            messages.error(request, "Day: write it like 2026-01-31.")
            return rows.none()
        if low is not None:
            rows = rows.filter(day__gte=low)
        return rows if high is None else rows.filter(day__lte=high)

    def _end(self, end: str) -> date | None:
        text = self.used_parameters.get(f"{self.parameter_name}_{end}") or ""
        return date.fromisoformat(text.strip()) if text.strip() else None


def _title(age: str) -> str:
    least, most = AGES[age]
    return f"Over {least - 1} days" if most is None else f"{least}–{most} days"
