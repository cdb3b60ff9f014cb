"""Screens for files and transactions: read-only, with accounts masked."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    DropdownFilter,
    RangeDateTimeFilter,
)

from ingestion import (
    profiles,
    profiles_admin,  # noqa: F401 - registers its screens
    storage,
)
from ingestion.masking import mask_account, mask_row, mask_text, mask_value
from ingestion.models import IngestedFile, KeptOutRow, Transaction
from tenants.adminkit import (
    ReadOnlyAdmin,
    change_url,
    json_block,
    moment,
    mono,
    pill,
    row_link,
    subtle,
)
from tenants.wording import age

#: Kept-out rows on the page of a file; the artifact has them all.
SHOWN_REJECTS: Final = 100

_TONES: Final = {
    "received": "queued",
    "validating": "running",
    "loading": "running",
    "loaded": "succeeded",
    "quarantined": "retryable",
    "failed": "dead",
    "SUCCESS": "succeeded",
    "FAILED": "dead",
    "PENDING": "retryable",
    "REVERSED": "queued",
}


class _ChoiceFilter(DropdownFilter):  # type: ignore[misc]
    """Offers fixed values of one column, which has no choices of its own."""

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep the rows with the chosen value."""
        value = self.value()
        return rows.filter(**{self.parameter_name: value}) if value else rows


class SourceFilter(_ChoiceFilter):
    """Offers the sources that can be ingested."""

    title = "source"
    parameter_name = "source"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return the formats and the dialects."""
        return [(name, name) for name in profiles.source_names()]


class StatusFilter(_ChoiceFilter):
    """Offers the statuses of a transaction."""

    title = "status"
    parameter_name = "status"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return the four statuses."""
        return [(s, s) for s in ("SUCCESS", "FAILED", "PENDING", "REVERSED")]


def _count(field: str, title: str) -> Callable[[Any, IngestedFile], str]:
    @admin.display(description=title)
    def column(_: Any, file: IngestedFile) -> str:
        return f"{getattr(file, field):,}"

    return column


@admin.register(IngestedFile)
class IngestedFileAdmin(ReadOnlyAdmin):
    """Files brought in, and what became of their rows."""

    list_display = (
        *("path", "state_pill", "tenant", "source", "row_count", "inserted_count"),
        *("duplicate_count", "conflicting_count", "rejected_count", "size_text"),
        "created",
    )
    list_select_related = ("tenant",)
    list_filter = (
        ("state", ChoicesCheckboxFilter),
        ("tenant", AutocompleteSelectFilter),
        SourceFilter,
        ("created_at", RangeDateTimeFilter),
    )
    search_fields = ("tenant_id", "path")
    search_help_text = "A tenant, or a file's whole path"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("path", "state_pill"),
                    ("tenant", "source"),
                    ("job_link", "size_text"),
                    ("received", "loaded"),
                    "etag",
                )
            },
        ),
        (
            "Rows",
            {
                "fields": (
                    ("row_count", "inserted_count", "duplicate_count"),
                    ("conflicting_count", "rejected_count"),
                    ("rejects_link", "conflicts_link"),
                )
            },
        ),
        ("Kept out", {"fields": ("kept_out_table",)}),
    )
    received = moment("created_at", "Received")
    loaded = moment("loaded_at", "Loaded")
    row_count = _count("rows", "Rows")
    inserted_count = _count("inserted", "Inserted")
    duplicate_count = _count("duplicate", "Duplicate")
    conflicting_count = _count("conflicting", "Conflicting")
    rejected_count = _count("rejected", "Rejected")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by tenant or whole path, exactly."""
        term = search_term.strip()
        if not term:
            return queryset, False
        by_path = queryset.filter(path=term)
        return queryset.filter(tenant_id=term) | by_path, False

    def get_urls(self) -> list[URLPattern]:
        """Add the download of a file's artifacts."""
        download = self.admin_site.admin_view(self.download)
        name = "ingestion_ingestedfile_download"
        return [
            path("<int:file_id>/download/<str:what>/", download, name=name),
            *super().get_urls(),
        ]

    def download(
        self, request: HttpRequest, file_id: int, what: str
    ) -> HttpResponseBase:
        """Stream the rejects or the conflicts of a file; the key is the row's own."""
        if not request.user.has_perm("ingestion.view_keptoutrow"):
            raise PermissionDenied
        file = get_object_or_404(IngestedFile, pk=file_id)
        wanted = {"rejects": file.rejects_path, "conflicts": file.conflicts_path}
        if not wanted.get(what):
            raise Http404
        key = storage.object_key(file.tenant_id, wanted[what])
        store = storage.store()
        try:
            item = store.stat(key)
        except storage.ObjectMissingError:
            return self._unreadable(request, file_id, f"The store has no {key}.")
        except storage.StoreUnavailableError as error:
            return self._unreadable(request, file_id, f"Unable to read it: {error}")
        disposition = content_disposition_header(True, PurePosixPath(key).name)
        return StreamingHttpResponse(
            store.blocks(item, 0),
            content_type="application/octet-stream",
            headers={
                "Content-Disposition": disposition or "attachment",
                "Content-Length": str(item.size),
            },
        )

    def _unreadable(
        self, request: HttpRequest, file_id: int, text: str
    ) -> HttpResponseRedirect:
        self.message_user(request, text, messages.ERROR)
        return HttpResponseRedirect(change_url(IngestedFile, file_id))

    @admin.display(description="State")
    def state_pill(self, file: IngestedFile) -> SafeString:
        """Return the state as a coloured label."""
        return pill(file.state, _TONES[file.state])

    @admin.display(description="Size")
    def size_text(self, file: IngestedFile) -> str:
        """Return the size for people."""
        return filesizeformat(file.size)

    @admin.display(description="Received")
    def created(self, file: IngestedFile) -> str:
        """Return when it came."""
        return age(file.created_at, now=timezone.now())

    @admin.display(description="Job")
    def job_link(self, file: IngestedFile) -> SafeString:
        """Return a link to the job that brought it in, unless that was pruned."""
        if file.job_id is None:
            return subtle("pruned")
        url = reverse("admin:jobs_job_change", args=[file.job_id])
        return format_html('<a class="dtq-link" href="{}">{}</a>', url, file.job_id)

    @admin.display(description="Rejected rows")
    def rejects_link(self, file: IngestedFile) -> SafeString:
        """Return a link to the artifact with the rejected rows."""
        return _download_link(file, "rejects", file.rejects_path)

    @admin.display(description="Conflicting rows")
    def conflicts_link(self, file: IngestedFile) -> SafeString:
        """Return a link to the artifact with the conflicting rows."""
        return _download_link(file, "conflicts", file.conflicts_path)

    @admin.display(description=f"First {SHOWN_REJECTS} rows")
    def kept_out_table(self, file: IngestedFile) -> str:
        """Return the first kept-out rows as a table."""
        found = KeptOutRow.objects.filter(file=file).order_by("line", "id")
        rows = [(row, masked_value(row)) for row in found[:SHOWN_REJECTS]]
        context = {"rows": rows}
        return render_to_string("admin/ingestion/kept_out_rows.html", context)


def masked_value(row: KeptOutRow) -> str:
    """Return the offending value with any account in it masked."""
    return str(mask_value(row.column, row.value)) if row.value else ""


def _download_link(file: IngestedFile, what: str, stored: str) -> SafeString:
    if not stored:
        return subtle("none")
    url = reverse("admin:ingestion_ingestedfile_download", args=[file.pk, what])
    return format_html('<a class="dtq-link" href="{}">{}</a>', url, stored)


@admin.register(KeptOutRow)
class KeptOutRowAdmin(ReadOnlyAdmin):
    """Rows that did not become transactions."""

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
