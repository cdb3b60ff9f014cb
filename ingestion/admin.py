"""Screens of what files brought: read-only, with accounts masked.

Importing this module registers the screens of files and transactions too.
"""

from typing import Any, Final

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
)

from ingestion import profiles_admin  # noqa: F401 - registers its screens
from ingestion.file_tables import masked_value, money
from ingestion.files_admin import IngestedFileAdmin
from ingestion.filters_admin import ChoiceFilter, SourceFilter
from ingestion.masking import mask_account, mask_row, mask_text, mask_value
from ingestion.models import (
    FileFault,
    IngestedFile,
    KeptOutRow,
    Statement,
)
from ingestion.sources.base import Control, Reason
from ingestion.transactions_admin import TransactionAdmin
from tenants.adminkit import (
    ReadOnlyAdmin,
    json_block,
    moment,
    mono,
    row_link,
)

__all__ = ["IngestedFileAdmin", "TransactionAdmin"]

#: Characters of a value in the list.
_SHORT: Final = 60


class FileControlFilter(ChoiceFilter):
    """Offers the controls of files."""

    title = "control"
    parameter_name = "control"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return every control."""
        return [(control.value, control.value) for control in Control]


class ReasonFilter(ChoiceFilter):
    """Offers the reasons why rows are rejected or flagged."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return every reason."""
        return [(reason.value, reason.value) for reason in Reason]


@admin.register(FileFault)
class FileFaultAdmin(ReadOnlyAdmin):
    """What files say about themselves and do not hold."""

    list_display = ("file_link", "line", "control", "expected", "found", "settled")
    list_select_related = ("file",)
    list_filter = (FileControlFilter, ("tenant", AutocompleteSelectFilter))
    fields = list_display
    settled = moment("settled_at", "Settled")

    @admin.display(description="File")
    def file_link(self, fault: FileFault) -> SafeString:
        """Return a link to the file."""
        return row_link(IngestedFile, fault.file_id, fault.file.path)


@admin.register(Statement)
class StatementAdmin(ReadOnlyAdmin):
    """Statements with their balances; whose, only to recognise."""

    list_display = (
        *("statement_masked", "tenant", "account", "number", "opening_money"),
        *("credit_money", "debit_money", "closing_money", "currency", "closing_date"),
        "file_link",
    )
    list_select_related = ("tenant", "file")
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        SourceFilter,
    )
    search_fields = ("tenant_id__exact",)
    search_help_text = "A tenant, whole"
    fields = (
        *list_display,
        *("source", "opening_date", "day", "rows", "line", "ordinal"),
    )

    @admin.display(description="Statement")
    def statement_masked(self, row: Statement) -> SafeString:
        """Return its id, with an account in it masked."""
        return mono(mask_text(row.statement_id) or f"no. {row.ordinal}")

    @admin.display(description="Account")
    def account(self, row: Statement) -> SafeString:
        """Return the account, masked."""
        return mono(mask_account(row.account_id) or "–")

    @admin.display(description="Opening")
    def opening_money(self, row: Statement) -> str:
        """Return the opening balance."""
        return money(row.opening)

    @admin.display(description="Credits")
    def credit_money(self, row: Statement) -> str:
        """Return the sum that came."""
        return money(row.credits)

    @admin.display(description="Debits")
    def debit_money(self, row: Statement) -> str:
        """Return the sum that went."""
        return money(row.debits)

    @admin.display(description="Closing")
    def closing_money(self, row: Statement) -> str:
        """Return the closing balance."""
        return money(row.closing)

    @admin.display(description="File")
    def file_link(self, row: Statement) -> SafeString:
        """Return a link to the file."""
        return row_link(IngestedFile, row.file_id, row.file.path)


@admin.register(KeptOutRow)
class KeptOutRowAdmin(ReadOnlyAdmin):
    """Rows that need a look: most did not become transactions."""

    list_display = ("file_link", "line", "why", "column", "reason", "value_short")
    list_select_related = ("file",)
    list_filter = (
        ("file", AutocompleteSelectFilter),
        ("why", ChoicesCheckboxFilter),
        ReasonFilter,
        ("tenant", AutocompleteSelectFilter),
    )
    fields = (
        *("file_link", "line", "why", "column", "reason", "value_masked"),
        "raw_row_masked",
    )

    @admin.display(description="File")
    def file_link(self, row: KeptOutRow) -> SafeString:
        """Return a link to the file."""
        return row_link(IngestedFile, row.file_id, row.file.path)

    @admin.display(description="Value")
    def value_short(self, row: KeptOutRow) -> SafeString:
        """Return the beginning of the value, masked."""
        return mono(Truncator(masked_value(row)).chars(_SHORT))

    @admin.display(description="Value")
    def value_masked(self, row: KeptOutRow) -> SafeString:
        """Return the value, masked."""
        return mono(masked_value(row))

    @admin.display(description="Raw row")
    def raw_row_masked(self, row: KeptOutRow) -> SafeString:
        """Return the row as it came, masked."""
        return json_block(_masked_json(row.raw_row))


def _masked_json(row: Any) -> Any:
    return mask_row(row) if isinstance(row, dict) else mask_value("", row)
