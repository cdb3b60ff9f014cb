"""The screen of transactions: search, filters, one row, and the export as CSV."""

from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from ingestion import terms, transaction_search
from ingestion.filters_admin import (
    AmountFilter,
    ChoiceFilter,
    SourceFilter,
    TimeFilter,
)
from ingestion.masking import mask_account, mask_id, mask_text, mask_value
from ingestion.models import IngestedFile, Transaction
from ingestion.transaction_export import MOST_ROWS, count_capped, csv_lines
from jobs.models import Job
from tenants.adminkit import (
    LedgerChangeList,
    ReadOnlyAdmin,
    json_block,
    moment,
    mono,
    pill,
    row_link,
    subtle,
)
from tenants.models import Tenant

_TONES: Final = {
    "SUCCESS": "succeeded",
    "FAILED": "dead",
    "PENDING": "retryable",
    "REVERSED": "queued",
}
_EXPORT: Final = "ingestion.export_transaction"


class StatusFilter(ChoiceFilter):
    """Offers the statuses of a transaction."""

    title = "status"
    parameter_name = "status"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return the four statuses."""
        return [(s, s) for s in _TONES]


class TransactionChangeList(LedgerChangeList):
    """Gives up where the rows are not found in time, and says what to do."""

    def get_results(self, request: HttpRequest) -> None:
        """Read a page of rows."""
        try:
            with transaction_search.bounded():
                super().get_results(request)
                # Read it here, where the time is bounded.
                len(self.result_list)
        except transaction_search.TooSlowError as error:
            messages.error(request, str(error))
            self.queryset = self.queryset.none()
            super().get_results(request)


@admin.register(Transaction)
class TransactionAdmin(ReadOnlyAdmin):
    """Movements of money; whose, only to recognise."""

    list_display = (
        *("txn", "happened", "tenant", "source", "status_pill", "money", "account"),
        *("counterparty", "reference_id"),
    )
    list_select_related = ("tenant",)
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        ("file", AutocompleteSelectFilter),
        SourceFilter,
        StatusFilter,
        ("amount", AmountFilter),
        ("txn_timestamp", TimeFilter),
    )
    list_before_template = "admin/ingestion/transaction/above.html"
    search_fields = ("txn_id", "reference_id")
    search_help_text = "Reference, account, UPI address, amount"
    fields: ClassVar = (
        *("txn", "source_txn", "reference_id", "tenant_link", "source"),
        *("status_pill", "money", "account", "counterparty", "vpa_or_ifsc_masked"),
        *("happened", "created", "file_link", "job_link", "raw_row_masked"),
    )
    happened = moment("txn_timestamp", "Time")
    created = moment("created_at", "Loaded")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the list whose time is bounded."""
        return TransactionChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by index for ids and references, else within the chosen days."""
        asked = request.GET
        is_range = any(asked.get(f"amount_{end}") for end in ("from", "to"))
        if search_term.strip():
            term = terms.read_term(search_term)
            by_id = transaction_search.with_id(queryset, term)
            if by_id.exists():
                return by_id, False
            queryset = transaction_search.with_meaning(queryset, term)
        elif not is_range:
            return queryset, False
        if queryset.query.is_empty() or _is_narrowed(request):
            return queryset, False
        days = transaction_search.DAYS
        messages.info(
            request,
            f"Looked only through the last {days} days, for it is no id or reference "
            "that is known. Choose dates or a file in the filters to look elsewhere.",
        )
        return transaction_search.lately(queryset, timezone.now()), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show the list, with the export for those who may."""
        more = {
            "may_export": request.user.has_perm(_EXPORT),
            "search_hint": terms.HELP,
            "days": transaction_search.DAYS,
        }
        return super().changelist_view(request, {**(extra_context or {}), **more})

    # --- Export -----------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the export."""
        view = self.admin_site.admin_view(self.export_view)
        name = "ingestion_transaction_export"
        return [path("export/", view, name=name), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Send the rows of the search and the filters in the address, all pages."""
        if not (self.has_view_permission(request) and request.user.has_perm(_EXPORT)):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        rows = self.get_changelist_instance(request).queryset
        back = HttpResponseRedirect(
            f"{reverse('admin:ingestion_transaction_changelist')}"
            f"?{request.GET.urlencode()}"
        )
        if rows.query.is_empty():
            return back  # The list says once more what is wrong with the filter.
        try:
            with transaction_search.bounded():
                count = count_capped(rows)
        except transaction_search.TooSlowError as error:
            messages.error(request, str(error))
            return back
        if count > MOST_ROWS:
            messages.error(
                request,
                f"An export has at most {MOST_ROWS:,} rows, and these are more. Narrow "
                "the dates, choose a tenant or a file.",
            )
            return back
        # What the list had to say is said by no page: forget it.
        list(messages.get_messages(request))
        _log_export(request, count)
        lines = csv_lines(rows, most=count, reason=f"export: {request.user.pk}")
        name = f"transactions_{timezone.localtime():%Y%m%d_%H%M%S}.csv"
        return StreamingHttpResponse(
            lines,
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Txn id", ordering="txn_id")
    def txn(self, row: Transaction) -> str:
        """Return its id, with an account in it masked."""
        return mask_id(row.txn_id)

    @admin.display(description="Source txn id")
    def source_txn(self, row: Transaction) -> str:
        """Return the id that its source gave it, with an account in it masked."""
        return mask_id(row.source_txn_id)

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
        file = self._file(row)
        if file is None:
            return subtle(f"{row.file_id}, no longer kept")
        return row_link(IngestedFile, file.pk, file.path)

    @admin.display(description="Job")
    def job_link(self, row: Transaction) -> SafeString:
        """Return a link to the job that loaded the file."""
        file = self._file(row)
        if file is None or file.job_id is None:
            return subtle("no longer kept")
        return row_link(Job, file.job_id, file.job_id)

    @admin.display(description="Tenant")
    def tenant_link(self, row: Transaction) -> SafeString:
        """Return a link to the tenant."""
        return row_link(Tenant, row.tenant_id, row.tenant_id)

    def _file(self, row: Transaction) -> IngestedFile | None:
        found: IngestedFile | None = IngestedFile.objects.filter(pk=row.file_id).first()
        return found

    @admin.display(description="Raw row")
    def raw_row_masked(self, row: Transaction) -> SafeString:
        """Return the row as it came, masked."""
        return json_block(mask_value("", row.raw_row))


def _is_narrowed(request: HttpRequest) -> bool:
    """Return whether a file or dates are chosen."""
    asked = request.GET
    names = ("file__id__exact", "txn_timestamp_from_0", "txn_timestamp_to_0")
    return any(asked.get(name) for name in names)


def _log_export(request: HttpRequest, count: int) -> None:
    """Write who exported how many rows of which filter into the admin's history."""
    chosen = ", ".join(
        f"{name}={mask_text(str(value))}"
        for name, value in request.GET.items()
        if value
    )
    LogEntry.objects.create(
        user_id=request.user.pk or 0,
        content_type=ContentType.objects.get_for_model(Transaction),
        object_repr="transactions",
        action_flag=CHANGE,
        change_message=f"Exported {count:,} rows as CSV: {chosen or 'no filter'}",
    )
