"""The screen of dead messages: what came from the broker that nobody could work on."""

from typing import Any, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import TextFilter

from jobs.dead_messages import messages_discard
from jobs.models import DeadMessage
from tenants.adminkit import (
    ReadOnlyAdmin,
    change_url,
    code_block,
    json_block,
    log_change,
    moment,
    mono,
    pill,
)
from tenants.wording import age

#: Bytes of a body that its page shows, and in a line.
SHOWN: Final = 4096
IN_A_LINE: Final = 16
#: Messages named on the page that asks; the rest is counted.
PREVIEWED: Final = 10


def dump(body: bytes) -> str:
    """Return the bytes as lines of offset, hexadecimal and readable characters."""
    lines = []
    for offset in range(0, min(len(body), SHOWN), IN_A_LINE):
        part = body[offset : offset + IN_A_LINE]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        lines.append(f"{offset:08x}  {part.hex(' '):<47}  {text}")
    return "\n".join(lines)


class ReasonFilter(TextFilter):  # type: ignore[misc]
    """Keeps one reason."""

    title = "reason"
    parameter_name = "reason"

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Match the reason exactly."""
        return rows.filter(reason=self.value()) if self.value() else rows


class OpenFilter(admin.SimpleListFilter):
    """Hides what was discarded, unless asked for."""

    title = "discarded"
    parameter_name = "discarded"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Offer what there is beside the open ones."""
        return [("yes", "Discarded")]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Return the open messages, or the discarded ones."""
        return rows.filter(discarded_at__isnull=self.value() != "yes")


@admin.register(DeadMessage)
class DeadMessageAdmin(ReadOnlyAdmin):
    """Messages without a job; no tenant is known, so platform staff alone sees them."""

    list_display = (
        *("id", "reason_pill", "queue", "detail", "size", "seen_count"),
        *("first_seen", "last_seen"),
    )
    list_filter = (OpenFilter, ReasonFilter)
    search_fields = ("sha256__exact", "queue__exact")
    search_help_text = "A body's SHA-256 or a queue, whole"
    fields = (
        *("reason_pill", "detail", "queue", "size", "digest", "content_type"),
        *("content_encoding", "attempts", "seen_count", "first_moment"),
        *("last_moment", "discarded_moment", "discarded_by", "headers_json"),
        *("body_dump",),
    )
    actions = ("discard_selected",)

    first_moment = moment("first_seen_at", "First seen")
    last_moment = moment("last_seen_at", "Last seen")
    discarded_moment = moment("discarded_at", "Discarded")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadMessage]:
        """Return the rows; a list does not read their bodies."""
        rows: QuerySet[DeadMessage] = super().get_queryset(request)
        match = request.resolver_match
        is_list = match is not None and match.url_name == "jobs_deadmessage_changelist"
        return rows.defer("body", "headers") if is_list else rows

    def has_discard_permission(self, request: HttpRequest) -> bool:
        """Return whether the user may discard dead messages."""
        return request.user.has_perm("jobs.discard_deadmessage")

    # --- Discard ----------------------------------------------------------------------

    @admin.action(description="Discard selected", permissions=["discard"])
    def discard_selected(
        self, request: HttpRequest, rows: QuerySet[DeadMessage]
    ) -> HttpResponse:
        """Discard the chosen messages, after a page that counts them."""
        if not self.has_discard_permission(request):
            raise PermissionDenied
        if "confirmed" not in request.POST:
            return self._ask(request, rows)
        chosen = DeadMessage.objects.filter(
            pk__in=list(rows.values_list("pk", flat=True))
        )
        log_change(request, chosen.filter(discarded_at=None), "Discarded.")
        done = messages_discard(
            chosen, by=request.user.get_username(), now=timezone.now()
        )
        text = f"{done:,} dead message(s) discarded."
        self.message_user(request, text, messages.SUCCESS)
        return HttpResponseRedirect(request.get_full_path())

    def _ask(self, request: HttpRequest, rows: QuerySet[DeadMessage]) -> HttpResponse:
        post = request.POST
        total = rows.order_by().count()
        hidden = [
            (ACTION_CHECKBOX_NAME, pk) for pk in post.getlist(ACTION_CHECKBOX_NAME)
        ]
        hidden += [("action", "discard_selected")]
        hidden += [("select_across", post.get("select_across", "0"))]
        context = {
            **self.admin_site.each_context(request),
            "title": "Discard dead messages",
            "opts": self.opts,
            "question": f"Discard {total:,} dead message(s)? They leave this list and "
            "stay on record; one that comes again is shown again.",
            "rows": [
                (str(row), change_url(row, row.pk))
                for row in rows.order_by("-pk")[:PREVIEWED]
            ],
            "more_rows": max(0, total - PREVIEWED),
            "hidden": hidden,
            "submit_text": f"Discard {total:,} message(s)",
            "is_danger": True,
        }
        return TemplateResponse(request, "admin/confirm_action.html", context)

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Reason")
    def reason_pill(self, row: DeadMessage) -> SafeString:
        """Return the reason as a coloured label."""
        return pill(row.reason, "cancelled" if row.discarded_at else "dead")

    @admin.display(description="First seen")
    def first_seen(self, row: DeadMessage) -> str:
        """Return when it was seen first."""
        return age(row.first_seen_at, now=timezone.now())

    @admin.display(description="Last seen")
    def last_seen(self, row: DeadMessage) -> str:
        """Return when it was seen last."""
        return age(row.last_seen_at, now=timezone.now())

    @admin.display(description="SHA-256")
    def digest(self, row: DeadMessage) -> SafeString:
        """Return the digest of the whole body."""
        return mono(row.sha256)

    @admin.display(description="Attempts")
    def attempts(self, row: DeadMessage) -> SafeString:
        """Return the attempts it names, where that could be read."""
        return json_block(row.attempt_ids)

    @admin.display(description="Headers")
    def headers_json(self, row: DeadMessage) -> SafeString:
        """Return the headers as they were kept."""
        return json_block(row.headers)

    @admin.display(description="Body")
    def body_dump(self, row: DeadMessage) -> SafeString:
        """Return the beginning of the body, byte by byte."""
        shown = min(len(row.body), SHOWN)
        note = f"The first {shown:,} of {row.size:,} bytes."
        return format_html("<p>{}</p>{}", note, code_block(dump(bytes(row.body))))
