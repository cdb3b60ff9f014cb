"""Screens of what files brought: read-only, with accounts masked.

Importing this module registers the screen of files as well.
"""

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    RangeDateTimeFilter,
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
    Transaction,
)
from ingestion.sources.base import Control
from tenants.adminkit import (
    ReadOnlyAdmin,
    json_block,
    moment,
    mono,
    pill,
    row_link,
)

__all__ = ["IngestedFileAdmin"]

_TONES: Final = {
    "SUCCESS": "succeeded",
    "FAILED": "dead",
    "PENDING": "retryable",
    "REVERSED": "queued",
}


class StatusFilter(ChoiceFilter):
    """Offers the statuses of a transaction."""

    title = "status"
    parameter_name = "status"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return the four statuses."""
        return [(s, s) for s in ("SUCCESS", "FAILED", "PENDING", "REVERSED")]


class FileControlFilter(ChoiceFilter):
    """Offers the controls of files."""

    title = "control"
    parameter_name = "control"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return every control."""
        return [(control.value, control.value) for control in Control]


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

    list_display = ("file_link", "line", "why", "column", "reason", "value_masked")
    list_select_related = ("file",)
    list_filter = (
        ("why", ChoicesCheckboxFilter),
        ("tenant", AutocompleteSelectFilter),
    )
    fields = (*list_display, "raw_row_masked")

    @admin.display(description="File")
    def file_link(self, row: KeptOutRow) -> SafeString:
        """Return a link to the file."""
        return row_link(IngestedFile, row.file_id, row.file.path)

    @admin.display(description="Value")
    def value_masked(self, row: KeptOutRow) -> SafeString:
        """Return the value, masked."""
        return mono(masked_value(row))

    @admin.display(description="Raw row")
    def raw_row_masked(self, row: KeptOutRow) -> SafeString:
        """Return the row as it came, masked."""
        return json_block(_masked_json(row.raw_row))


@admin.register(Transaction)
class TransactionAdmin(ReadOnlyAdmin):
    """Movements of money; whose, only to recognise."""

    list_display = (
        *("txn_id", "tenant", "source", "status_pill", "money", "account"),
        *("counterparty", "reference_id", "happened"),
    )
    list_select_related = ("tenant",)
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        SourceFilter,
        StatusFilter,
        ("txn_timestamp", RangeDateTimeFilter),
    )
    search_fields = ("txn_id", "reference_id")
    search_help_text = "A transaction's id or reference, whole"
    fields: ClassVar = (
        *("txn_id", "source_txn_id", "reference_id", "tenant", "source"),
        *("status_pill", "money", "account", "counterparty", "vpa_or_ifsc_masked"),
        *("happened", "created", "file_link", "raw_row_masked"),
    )
    happened = moment("txn_timestamp", "Time")
    created = moment("created_at", "Loaded")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by id or reference, exactly, tenant by tenant so an index serves."""
        term = search_term.strip()
        if not term:
            return queryset, False
        return queryset.filter(pk__in=transaction_ids(term)), False

    @admin.display(description="Status")
    def status_pill(self, row: Transaction) -> SafeString:
        """Return the status as a coloured label."""
        return pill(row.status, _TONES[row.status])

    @admin.display(description="Amount")
    def money(self, row: Transaction) -> SafeString:
        """Return the amount, its currency and its direction."""
        sign = {"C": "+", "D": "−"}[row.direction]
        return format_html(
            '<span class="dtq-nowrap">{}{} {}</span>',
            sign,
            f"{row.amount:,.2f}",
            row.currency,
        )

    @admin.display(description="Account")
    def account(self, row: Transaction) -> SafeString:
        """Return the account, masked."""
        return mono(mask_account(row.account_id) or "–")

    @admin.display(description="Counterparty")
    def counterparty(self, row: Transaction) -> SafeString:
        """Return the other side's account, masked."""
        return mono(mask_account(row.counterparty_account) or "–")

    @admin.display(description="VPA or IFSC")
    def vpa_or_ifsc_masked(self, row: Transaction) -> SafeString:
        """Return the UPI address, masked; a bank's code as it is."""
        return mono(mask_text(row.vpa_or_ifsc or "") or "–")

    @admin.display(description="File")
    def file_link(self, row: Transaction) -> SafeString:
        """Return a link to the file it came in."""
        return row_link(IngestedFile, row.file_id, row.file_id)

    @admin.display(description="Raw row")
    def raw_row_masked(self, row: Transaction) -> SafeString:
        """Return the row as it came, masked."""
        return json_block(_masked_json(row.raw_row))


def transaction_ids(term: str) -> list[int]:
    """Return the ids of the transactions with that id or reference, at most 200.

    Both indexes start with the tenant, so the tenants are named one by one.
    """
    return [row.pk for row in Transaction.objects.raw(_BY_TERM, {"term": term})]


_BY_TERM: Final = """
SELECT found.id FROM tenants_tenant t CROSS JOIN LATERAL (
    SELECT id FROM fintech_transactions
    WHERE tenant_id = t.slug AND txn_id = %(term)s
    UNION
    SELECT id FROM fintech_transactions
    WHERE tenant_id = t.slug AND reference_id = %(term)s
) AS found LIMIT 200
"""


def _masked_json(row: Any) -> Any:
    return mask_row(row) if isinstance(row, dict) else mask_value("", row)
