"""The screen of files: what they say, what became of them, and decisions about some."""

from collections.abc import Callable
from functools import partial
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
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import content_disposition_header
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    RangeDateTimeFilter,
)

from ingestion import file_tables, storage
from ingestion.downloads import ORIGINAL, download_of
from ingestion.filters_admin import SourceFilter
from ingestion.models import IngestedFile
from ingestion.quarantine_admin import DECISIONS, decide, may_decide
from ingestion.selectors import Artifact, NoArtifactError
from ingestion.upload_admin import may_upload, upload
from jobs import timeline
from tenants.adminkit import (
    ReadOnlyAdmin,
    change_url,
    link_action,
    moment,
    opening_scopes,
    pill,
    row_link,
    subtle,
)
from tenants.wording import age

#: What it takes to download the original; the rest takes the right to see rows.
_RIGHTS: Final = {ORIGINAL: "ingestion.download_ingestedfile"}
#: Of a file in quarantine nothing is counted but these.
_ALWAYS_COUNTED: Final = ("fault_count",)
#: Files whose job has no way to go.
_ENDED: Final = ("loaded", "quarantined", "failed")
_TONES: Final = {
    "received": "queued",
    "validating": "running",
    "loading": "running",
    "loaded": "succeeded",
    "quarantined": "retryable",
    "failed": "dead",
}


def _count(
    field: str, title: str, *, is_bad: bool = False
) -> Callable[[Any, IngestedFile], str]:
    @admin.display(description=title)
    def column(_: Any, file: IngestedFile) -> str:
        count = getattr(file, field)
        is_quarantined = file.state == IngestedFile.State.QUARANTINED
        if is_quarantined and field not in _ALWAYS_COUNTED:
            return "–"
        if is_bad and count:
            return format_html('<span class="dtq-bad">{}</span>', f"{count:,}")
        return f"{count:,}"

    return column


def _rows_link(model: str, title: str, text: str) -> Callable[..., SafeString]:
    @admin.display(description=title)
    def column(_: Any, file: IngestedFile) -> SafeString:
        url = reverse(f"admin:ingestion_{model}_changelist")
        address = f"{url}?file__id__exact={file.pk}"
        return format_html('<a class="dtq-link" href="{}">{}</a>', address, text)

    return column


def _link(artifact: Artifact, title: str) -> Callable[[Any, IngestedFile], SafeString]:
    @admin.display(description=title)
    def column(_: Any, file: IngestedFile) -> SafeString:
        stored = getattr(file, f"{artifact}_path")
        if not stored:
            return subtle("none")
        place = [file.pk, artifact.value]
        url = reverse("admin:ingestion_ingestedfile_download", args=place)
        return format_html('<a class="dtq-link" href="{}">{}</a>', url, stored)

    return column


def _table(render: Callable[[IngestedFile], str], title: str) -> Callable[..., str]:
    @admin.display(description=title)
    def column(_: Any, file: IngestedFile) -> str:
        return render(file)

    return column


@admin.register(IngestedFile)
class IngestedFileAdmin(ReadOnlyAdmin):
    """Files brought in, and what became of their rows."""

    list_display = (
        *("path", "state_pill", "created", "tenant", "source", "row_count"),
        *("inserted_count", "duplicate_count", "conflicting_count"),
        *("rejected_count", "fault_total", "size_text"),
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
    actions_list: ClassVar = ["upload_file"]
    change_form_template = "admin/ingestion/ingestedfile/change_form.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("path", "state_pill"),
                    "original_link",
                    ("progress", "decided"),
                    ("tenant", "source"),
                    ("job_link", "quarantine_job_link"),
                    ("size_text", "same_as_link"),
                    ("received", "loaded"),
                    "digest",
                    "etag",
                )
            },
        ),
        (
            "What it says about itself",
            {"fields": ("faults_table", "statements_table", "totals_table")},
        ),
        (
            "Rows",
            {
                "fields": (
                    ("row_count", "inserted_count", "duplicate_count"),
                    ("conflicting_count", "rejected_count", "flagged_count"),
                    ("transactions_link", "kept_out_link"),
                    "reasons_table",
                    ("rejects_link", "conflicts_link"),
                    ("flags_link", "corrections_link"),
                    "summary_link",
                )
            },
        ),
        ("Rows that need a look", {"fields": ("kept_out_table",)}),
    )
    received = moment("created_at", "Received")
    loaded = moment("loaded_at", "Loaded")
    row_count = _count("rows", "Rows")
    inserted_count = _count("inserted", "Inserted")
    duplicate_count = _count("duplicate", "Duplicate")
    conflicting_count = _count("conflicting", "Conflicting", is_bad=True)
    rejected_count = _count("rejected", "Rejected", is_bad=True)
    flagged_count = _count("flagged", "Flagged")
    fault_total = _count("fault_count", "Faults", is_bad=True)
    transactions_link = _rows_link("transaction", "Transactions", "Those it brought")
    kept_out_link = _rows_link("keptoutrow", "Rows that need a look", "All of them")
    rejects_link = _link(Artifact.REJECTS, "Rejected rows")
    conflicts_link = _link(Artifact.CONFLICTS, "Conflicting rows")
    flags_link = _link(Artifact.FLAGS, "Flagged rows")
    corrections_link = _link(Artifact.CORRECTIONS, "Corrections: rows as they stood")
    summary_link = _link(Artifact.SUMMARY, "Summary")
    faults_table = _table(file_tables.faults_table, "Faults")
    statements_table = _table(file_tables.statements_table, "Statements")
    totals_table = _table(file_tables.totals_table, "Totals of its rows")
    reasons_table = _table(file_tables.reasons_table, "Reasons")
    kept_out_table = _table(
        file_tables.kept_out_table, f"First {file_tables.MOST_SHOWN} rows"
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by tenant or whole path, exactly."""
        term = search_term.strip()
        if not term:
            return queryset, False
        by_path = queryset.filter(path=term)
        return queryset.filter(tenant_id=term) | by_path, False

    # --- Uploads ----------------------------------------------------------------------

    def has_upload_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may send files."""
        return may_upload(request)

    @link_action(
        description="Upload a file", permissions=["upload"], icon="upload_file"
    )
    def upload_file(self, request: HttpRequest) -> HttpResponseRedirect:
        """Lead to the page that takes a file."""
        return HttpResponseRedirect(reverse("admin:ingestion_ingestedfile_upload"))

    # --- Pages ------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the download of a file's artifacts, and the pages that ask."""
        wrap, name = self.admin_site.admin_view, "ingestion_ingestedfile"
        decisions = [
            path(
                f"<int:file_id>/{decision}/",
                wrap(partial(decide, self, name=decision)),
                name=f"{name}_{decision}",
            )
            for decision in DECISIONS
        ]
        return [
            path(
                "upload/",
                opening_scopes(wrap(partial(upload, self))),
                name=f"{name}_upload",
            ),
            path(
                "<int:file_id>/download/<str:what>/",
                wrap(self.download),
                name=f"{name}_download",
            ),
            *decisions,
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave the original out for those who may not download it."""
        if request.user.has_perm(_RIGHTS[ORIGINAL]):
            return self.fieldsets
        title, options = self.fieldsets[0]
        fields = tuple(each for each in options["fields"] if each != "original_link")
        return ((title, {**options, "fields": fields}), *self.fieldsets[1:])

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Offer to decide about a file in quarantine on its page."""
        file = kwargs.get("obj")
        is_quarantined = file is not None and file.state == "quarantined"
        context["may_decide"] = is_quarantined and may_decide(request)
        return super().render_change_form(request, context, *args, **kwargs)

    def download(
        self, request: HttpRequest, file_id: int, what: str
    ) -> HttpResponseBase:
        """Lead to a link of the store, or stream; the key is the row's own."""
        if not request.user.has_perm(_RIGHTS.get(what, "ingestion.view_keptoutrow")):
            raise PermissionDenied
        file = get_object_or_404(IngestedFile, pk=file_id)
        try:
            download = download_of(file, what)
        except NoArtifactError:
            raise Http404 from None
        try:
            item = download.found()
        except storage.ObjectMissingError as error:
            return self._unreadable(request, file_id, f"The store has no {error}.")
        except storage.StoreUnavailableError as error:
            return self._unreadable(request, file_id, f"Unable to read it: {error}")
        link = download.link()
        if link is not None:
            return HttpResponseRedirect(link)
        disposition = content_disposition_header(True, download.name)
        return StreamingHttpResponse(
            storage.store().blocks(item, 0),
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

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="State")
    def state_pill(self, file: IngestedFile) -> SafeString:
        """Return the state as a coloured label."""
        return pill(file.state, _TONES[file.state])

    @admin.display(description="Progress")
    def progress(self, file: IngestedFile) -> SafeString:
        """Return how far its job is with it."""
        percent = None if file.job is None else timeline.progress_percent(file.job)
        if file.job is None or percent is None or file.state in _ENDED:
            return subtle("–")
        return format_html(
            '<span class="dtq-progress"><i style="width: {}%"></i></span> '
            '<span class="dtq-subtle">{}</span>',
            percent,
            timeline.progress_text(file.job),
        )

    @admin.display(description="Decided")
    def decided(self, file: IngestedFile) -> str:
        """Return what a person decided about it in quarantine."""
        if file.decided_at is None:
            return "–"
        when = age(file.decided_at, now=timezone.now())
        who = file.decided_by or "somebody"
        return f"{file.get_decision_display()} {when} by {who}: {file.decided_why}"

    @admin.display(description="Size")
    def size_text(self, file: IngestedFile) -> str:
        """Return the size for people."""
        return filesizeformat(file.size)

    @admin.display(description="Original")
    def original_link(self, file: IngestedFile) -> SafeString:
        """Return a link to the file as it came."""
        url = reverse("admin:ingestion_ingestedfile_download", args=[file.pk, ORIGINAL])
        text = "Download the file as it came"
        return format_html('<a class="dtq-link" href="{}">{}</a>', url, text)

    @admin.display(description="Content")
    def digest(self, file: IngestedFile) -> SafeString:
        """Return the digest of its content."""
        text = file.content_digest or "–"
        return format_html('<span class="dtq-mono dtq-breakable">{}</span>', text)

    @admin.display(description="Received")
    def created(self, file: IngestedFile) -> str:
        """Return when it came."""
        return age(file.created_at, now=timezone.now())

    @admin.display(description="Job")
    def job_link(self, file: IngestedFile) -> SafeString:
        """Return a link to the job that brings it in, unless that was pruned."""
        return _job_link(file.job_id, "pruned")

    @admin.display(description="Job before its release")
    def quarantine_job_link(self, file: IngestedFile) -> SafeString:
        """Return a link to the job that put it in quarantine, once it was released."""
        return _job_link(file.quarantine_job_id, "–")

    @admin.display(description="Same content as")
    def same_as_link(self, file: IngestedFile) -> SafeString:
        """Return a link to the file with that content that was loaded before."""
        if file.same_as is None:
            return subtle("–")
        return row_link(IngestedFile, file.same_as.pk, file.same_as.path)


def _job_link(job_id: Any, otherwise: str) -> SafeString:
    if job_id is None:
        return subtle(otherwise)
    url = reverse("admin:jobs_job_change", args=[job_id])
    return format_html('<a class="dtq-link" href="{}">{}</a>', url, job_id)
