"""The screen of reports: what was ordered, how far it is, and the download."""

from functools import partial
from typing import ClassVar, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import (
    HttpRequest,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    RangeDateTimeFilter,
)

from ingestion.masking import mask_account
from ingestion.storage import ObjectMissingError, StoreUnavailableError, store
from jobs import timeline
from reconciliation.models import Report
from reconciliation.report_downloads import NoReportError, download_of_report
from reconciliation.report_order_admin import label_of, may_order, order
from tenants.adminkit import (
    ReadOnlyAdmin,
    change_url,
    link_action,
    log_change,
    moment,
    pill,
    row_link,
    subtle,
)
from tenants.wording import age

_PERIOD: Final = ("starts_at", "ends_at")


def filters_in_words(report: Report) -> str:
    """Return the filters of a report, with nobody's account in them."""
    told = {name: text for name, text in report.filters.items() if name not in _PERIOD}
    if "account_id" in told:
        told["account_id"] = mask_account(told["account_id"])
    return ", ".join(f"{label_of(name)} {text}" for name, text in told.items())


def period_in_words(report: Report) -> str:
    """Return the period of a report by the clock that screens go by."""
    ends = [parse_datetime(report.filters.get(name, "")) for name in _PERIOD]
    return " to ".join(
        f"{localtime(end):%Y-%m-%d %H:%M}" if end else "–" for end in ends
    )


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    """Reports, the latest first."""

    list_display = (
        *("what_text", "state_pill", "download_link", "tenant", "period"),
        *("filters_text", "row_count", "size_text", "came"),
    )
    list_select_related = ("tenant", "job")
    list_filter = (
        ("what", ChoicesCheckboxFilter),
        ("tenant", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )
    search_fields = ("tenant__slug__exact",)
    search_help_text = "A tenant"
    actions_list: ClassVar = ["order_report"]
    fields = (
        *("what_text", "state_pill", "tenant", "period", "filters_text"),
        *("row_count", "size_text", "ordered", "finished", "job_link"),
        "download_link",
    )
    ordered = moment("created_at", "Ordered")
    finished = moment("finished_at", "Written")

    # --- Pages ------------------------------------------------------------------------

    def has_order_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may order reports."""
        return may_order(request)

    @link_action(description="Order a report", permissions=["order"], icon="note_add")
    def order_report(self, request: HttpRequest) -> HttpResponseRedirect:
        """Lead to the page that takes an order."""
        return HttpResponseRedirect(reverse("admin:reconciliation_report_order"))

    def get_urls(self) -> list[URLPattern]:
        """Add the order and the download."""
        wrap, name = self.admin_site.admin_view, "reconciliation_report"
        return [
            path("order/", wrap(partial(order, self)), name=f"{name}_order"),
            path(
                "<int:report_id>/download/",
                wrap(self.download),
                name=f"{name}_download",
            ),
            *super().get_urls(),
        ]

    def download(self, request: HttpRequest, report_id: int) -> HttpResponseBase:
        """Lead to a link of the store, or stream; who took it is in its history."""
        if not (self.has_view_permission(request) and may_order(request)):
            raise PermissionDenied
        report = get_object_or_404(Report, pk=report_id)
        try:
            download = download_of_report(report)
            item = download.found()
        except (NoReportError, StoreUnavailableError) as error:
            return self._unreadable(request, report, f"Unable to read it: {error}")
        except ObjectMissingError as error:
            return self._unreadable(request, report, f"The store has no {error}.")
        text = f"Downloaded {report.rows:,} rows as CSV"
        log_change(request, Report.objects.filter(pk=report.pk), text)
        link = download.link()
        if link is not None:
            return HttpResponseRedirect(link)
        disposition = content_disposition_header(True, download.name)
        return StreamingHttpResponse(
            store().blocks(item, 0),
            content_type=download.content_type,
            headers={
                "Content-Disposition": disposition or "attachment",
                "Content-Length": str(item.size),
            },
        )

    def _unreadable(
        self, request: HttpRequest, report: Report, text: str
    ) -> HttpResponseRedirect:
        self.message_user(request, text, messages.ERROR)
        return HttpResponseRedirect(change_url(Report, report.pk))

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Rows of")
    def what_text(self, report: Report) -> str:
        """Return which rows it has."""
        return report.get_what_display()

    @admin.display(description="State")
    def state_pill(self, report: Report) -> SafeString:
        """Return where its job is, and how far while it is not done."""
        if report.finished_at is not None:
            return pill("written", "succeeded")
        if report.job is None:
            return subtle("never written")
        state = pill(report.job.state, report.job.state)
        return format_html(
            '{} <span class="dtq-subtle">{}</span>',
            state,
            timeline.progress_text(report.job),
        )

    @admin.display(description="Ordered")
    def came(self, report: Report) -> str:
        """Return how long ago it was ordered."""
        return age(report.created_at, now=timezone.now())

    @admin.display(description="Period")
    def period(self, report: Report) -> str:
        """Return of what time its rows are."""
        return period_in_words(report)

    @admin.display(description="Filters")
    def filters_text(self, report: Report) -> str:
        """Return which of the rows it has."""
        return filters_in_words(report) or "–"

    @admin.display(description="Rows")
    def row_count(self, report: Report) -> str:
        """Return how many rows it has, once it is written."""
        return "–" if report.finished_at is None else f"{report.rows:,}"

    @admin.display(description="Size")
    def size_text(self, report: Report) -> str:
        """Return its size for people, once it is written."""
        return "–" if report.finished_at is None else filesizeformat(report.size)

    @admin.display(description="Job")
    def job_link(self, report: Report) -> SafeString:
        """Return a link to the job that writes it, unless that was pruned."""
        if report.job is None:
            return subtle("pruned")
        return row_link(report.job, report.job.pk, report.job.pk)

    @admin.display(description="Download")
    def download_link(self, report: Report) -> SafeString:
        """Return a link to it, once it is written."""
        if not report.path:
            return subtle("–")
        url = reverse("admin:reconciliation_report_download", args=[report.pk])
        return format_html('<a class="dtq-link" href="{}">Download</a>', url)
