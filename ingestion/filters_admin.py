"""Filters that the lists of files and of transactions share."""

from typing import Any

from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from ingestion import profiles


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
