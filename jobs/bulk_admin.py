"""The screen of bulk decisions: how far each is, and the way to call it off."""

from datetime import datetime
from typing import Any, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from jobs.bulk import bulk_cancel
from jobs.decisions_admin import DECISIONS
from jobs.models import BulkDecision
from tenants.adminkit import ReadOnlyAdmin, change_url, log_change, pill
from tenants.scoping import all_tenants
from tenants.wording import age, duration

_TONES: Final = {"running": "running", "done": "succeeded", "cancelled": "cancelled"}


def state_of(bulk: BulkDecision) -> str:
    """Return whether it is `running`, `done` or `cancelled`."""
    if bulk.cancelled_at is not None:
        return "cancelled"
    return "running" if bulk.finished_at is None else "done"


@admin.register(BulkDecision)
class BulkDecisionAdmin(ReadOnlyAdmin):
    """What was decided about many dead letters at once, newest first."""

    list_display = (
        *("id", "state_pill", "decision", "criteria", "progress_bar", "decided_by"),
        *("reason", "started"),
    )
    fields = ("id",)
    change_form_template = "admin/jobs/bulkdecision/change_form.html"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the user may see dead letters, as these are about them."""
        return bool(
            request.user.has_perm("jobs.view_deadletter")
            or super().has_view_permission(request, obj)
        )

    def get_urls(self) -> list[URLPattern]:
        """Add the part that refreshes itself, and the way to call it off."""
        wrap = self.admin_site.admin_view
        return [
            path(
                "<int:bulk_id>/live/",
                wrap(self.live_view),
                name="jobs_bulkdecision_live",
            ),
            path(
                "<int:bulk_id>/cancel/",
                wrap(require_POST(self.cancel_view)),
                name="jobs_bulkdecision_cancel",
            ),
            *super().get_urls(),
        ]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show how far it is instead of a form."""
        bulk = kwargs.get("obj")
        if bulk is not None:
            context.update(self._story(request, bulk), title=str(bulk))
        return super().render_change_form(request, context, *args, **kwargs)

    def live_view(self, request: HttpRequest, bulk_id: int) -> HttpResponse:
        """Return the moving part of the page."""
        bulk = get_object_or_404(BulkDecision, pk=bulk_id)
        if not self.has_view_permission(request, bulk):
            raise PermissionDenied
        context = self._story(request, bulk)
        return render(request, "admin/jobs/bulkdecision/live.html", context)

    def cancel_view(self, request: HttpRequest, bulk_id: int) -> HttpResponse:
        """Call off what is left; who may decide so may call it off."""
        bulk = get_object_or_404(BulkDecision, pk=bulk_id)
        if not DECISIONS[bulk.decision].is_open_to(request):
            raise PermissionDenied
        with all_tenants(reason="call off a bulk decision"):
            called_off = bulk_cancel(bulk_id=bulk_id)
        if called_off:
            log_change(request, BulkDecision.objects.filter(pk=bulk_id), "Called off.")
            text = "Called off. What was done until now stays done."
            self.message_user(request, text, messages.SUCCESS)
        else:
            self.message_user(request, "It had ended already.", messages.WARNING)
        return HttpResponseRedirect(change_url(bulk, bulk_id))

    def _story(self, request: HttpRequest, bulk: BulkDecision) -> dict[str, Any]:
        now = timezone.now()
        state = state_of(bulk)
        return {
            "bulk": bulk,
            "state": pill(state, _TONES[state]),
            "tone": _TONES[state],
            "is_running": state == "running",
            "may_call_off": DECISIONS[bulk.decision].is_open_to(request),
            "percent": _percent(bulk),
            "total": f"{bulk.total_count:,}",
            "come_to": f"{_come_to(bulk):,}",
            "done": f"{bulk.done_count:,}",
            "passed_over": f"{bulk.passed_over_count:,}",
            "left": f"{bulk.total_count - _come_to(bulk):,}",
            "time_left": _time_left(bulk),
            "started": age(bulk.created_at, now=now),
            "took": _took(bulk, now),
        }

    @admin.display(description="State")
    def state_pill(self, bulk: BulkDecision) -> SafeString:
        """Return the state as a coloured label."""
        return pill(state_of(bulk), _TONES[state_of(bulk)])

    @admin.display(description="Progress")
    def progress_bar(self, bulk: BulkDecision) -> SafeString:
        """Return a bar and the numbers."""
        return format_html(
            '<span class="dtq-progress"><i style="width: {}%"></i></span>'
            '<span class="dtq-subtle">{} of {}</span>',
            _percent(bulk),
            f"{_come_to(bulk):,}",
            f"{bulk.total_count:,}",
        )

    @admin.display(description="Started")
    def started(self, bulk: BulkDecision) -> str:
        """Return when it was decided."""
        return age(bulk.created_at, now=timezone.now())


def _come_to(bulk: BulkDecision) -> int:
    return bulk.done_count + bulk.passed_over_count


def _percent(bulk: BulkDecision) -> int:
    return 100 * _come_to(bulk) // bulk.total_count if bulk.total_count else 100


def _time_left(bulk: BulkDecision) -> str:
    return duration((bulk.total_count - _come_to(bulk)) / bulk.per_second)


def _took(bulk: BulkDecision, now: datetime) -> str:
    return duration(((bulk.finished_at or now) - bulk.created_at).total_seconds())
