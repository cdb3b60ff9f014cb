"""The admin site: its overview, and the part of it that refreshes itself."""

from typing import TYPE_CHECKING, Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from reconciliation import overview_page
from taskqueue_site import dashboard, fair_share_page
from taskqueue_site.dashboard import Overview, Share
from tenants.wording import age, duration, plain

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite as BaseSite
else:
    from unfold.sites import UnfoldAdminSite as BaseSite


#: Tenants on the overview; the page of fair share finds the others.
MOST_TENANTS: Final = 50


class Site(BaseSite):
    """The admin of operations staff."""

    site_header = "Task queue"
    site_title = "Task queue"
    index_title = "Overview"

    def extra_urls(self) -> list[URLPattern]:
        """Return the pages that belong to no model."""
        views = {
            "overview/": ("overview", self.overview),
            "fair-share/": ("fair_share", self.fair_share),
            "fair-share/table/": ("fair_share_table", fair_share_page.table),
            "reconciliation/overview/": (
                "reconciliation_overview",
                self.reconciliation,
            ),
        }
        return [
            path(address, self.admin_view(view), name=name)
            for address, (name, view) in views.items()
        ]

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Let a page that refreshes itself go to the login when the session ends."""
        guarded = super().admin_view(view, cacheable)

        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
            is_partial = "HX-Request" in request.headers
            if is_partial and not self.has_permission(request):
                return HttpResponse(headers={"HX-Refresh": "true"})
            return guarded(request, *args, **kwargs)

        return inner

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the overview to those who may see jobs."""
        context = {**(extra_context or {}), **_overview_context(request)}
        return super().index(request, context)

    def overview(self, request: HttpRequest) -> HttpResponse:
        """Return the moving part of the overview."""
        context = _overview_context(request)
        return render(request, "admin/overview.html", context)

    def fair_share(self, request: HttpRequest) -> HttpResponse:
        """Show who should have had what of each pool, and who had."""
        return fair_share_page.page(request, self.each_context(request))

    def reconciliation(self, request: HttpRequest) -> HttpResponse:
        """Show how much matches, what is open, and for how long."""
        context = self.each_context(request)
        return overview_page.page(request, context, now=timezone.now())


def _overview_context(request: HttpRequest) -> dict[str, Any]:
    if not request.user.has_perm("jobs.view_job"):
        return {"overview": None}
    now = timezone.now()
    found = dashboard.overview()
    return {
        "overview": found,
        "now": now,
        "cards": _cards(found),
        "tenants": [_tenant_row(share) for share in _busy_first(found.shares)],
        "more_tenants": max(0, len(found.shares) - MOST_TENANTS),
        "window": dashboard.WINDOW.minutes,
        "failures": [(each, age(each.at, now=now)) for each in found.failures],
    }


def _cards(found: Overview) -> list[dict[str, Any]]:
    wait = found.oldest_wait_seconds
    oldest = "–" if wait is None else duration(wait)
    on_the_way, later = found.total("dispatched"), found.total("scheduled")
    return [
        _card("Running", found.total("running"), "running", f"{on_the_way} dispatched"),
        _card(
            "Queued", found.total("queued"), "queued", f"{later} scheduled for later"
        ),
        _card("Oldest wait", oldest, "queued", "since it was due"),
        _card("Retryable", found.total("retryable"), "retryable", "failed, will retry"),
        _card("Dead", found.total("dead"), "dead", "wait for a person"),
        _card("Succeeded", found.succeeded, "succeeded", "in the last hour"),
    ]


def _card(title: str, value: int | str, state: str, note: str) -> dict[str, Any]:
    """Describe a counter; it links to the jobs in that state."""
    url = reverse("admin:jobs_job_changelist") + f"?state__exact={state}"
    if state == "dead":
        url = reverse("admin:jobs_deadletter_changelist")
    return {
        "title": title,
        "value": f"{value:,}" if isinstance(value, int) else value,
        "tone": state,
        "note": note,
        "url": url,
        "is_loud": state == "dead" and value != 0,
    }


def _busy_first(shares: list[Share]) -> list[Share]:
    """Return as many tenants as fit on a page, those with something to do first."""
    if len(shares) <= MOST_TENANTS:
        return shares
    return sorted(shares, key=_idleness)[:MOST_TENANTS]


def _idleness(share: Share) -> tuple[bool, float, str]:
    wait = share.load.oldest_wait_seconds or 0.0
    return (share.received is None and not wait, -wait, share.load.slug)


def _tenant_row(share: Share) -> dict[str, Any]:
    load = share.load
    wait = load.oldest_wait_seconds
    return {
        "share": share,
        "load": load,
        "weight": plain(load.weight),
        "wait": "–" if wait is None else duration(wait),
        "later": load.retryable + load.scheduled,
    }
