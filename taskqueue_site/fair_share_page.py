"""The page of fair share in the admin, and the part of it that refreshes itself."""

from typing import Any, Final
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.timezone import localtime

from fairshare.entitlement import Share
from taskqueue_site import fair_share
from taskqueue_site.fair_share import MOST_COUNTED, Choice, FairShare, PoolRows, Row
from taskqueue_site.shares import MOST_ATTEMPTS, WINDOWS
from tenants.wording import duration, plain

#: Seconds between two refreshes; a long window changes slowly and costs more to read.
EVERY_SECONDS: Final = {1: 3, 5: 5, 60: 20}

_WIDE: Final = "dtq-wide-only"
_NUMBER: Final = "dtq-number"
#: Title, order it stands for, classes, hint.
_HEADS: Final = (
    ("Tenant", "tenant", "", "by name"),
    ("Tier", "", _WIDE, "tiers share first, then the tenants in each"),
    ("Weight", "", f"{_NUMBER} {_WIDE}", "against the other tenants of its tier"),
    ("Share", "", _WIDE, "the bar is what it received, the mark its entitlement"),
    ("Received %", "received", _NUMBER, "of the pool's worker time in the window"),
    ("Entitled %", "", _NUMBER, "by weight, over the time in which it had work"),
    (
        "Short by",
        "shortfall",
        f"{_NUMBER} {_WIDE}",
        "entitled less received, in points of percent",
    ),
    ("Running", "", f"{_NUMBER} {_WIDE}", "jobs in flight"),
    ("Waiting", "", f"{_NUMBER} {_WIDE}", "queued jobs"),
    ("Oldest wait", "wait", _NUMBER, "since the first job of its line was due"),
)


def page(request: HttpRequest, each_context: dict[str, Any]) -> HttpResponse:
    """Show the page. Raises PermissionDenied for staff who may not see jobs."""
    context = {**each_context, "title": "Fair share", **_context(request)}
    return render(request, "admin/fair_share.html", context)


def table(request: HttpRequest) -> HttpResponse:
    """Return the moving part. Raises PermissionDenied as the page does."""
    return render(request, "admin/fair_share_table.html", _context(request))


def _context(request: HttpRequest) -> dict[str, Any]:
    if not request.user.has_perm("jobs.view_job"):
        raise PermissionDenied
    choice = Choice.of(request.GET.dict())
    found = fair_share.read(choice)
    return {
        "choice": choice,
        "windows": [
            (
                minutes,
                f"{minutes} min",
                _url(choice, window=minutes),
                each == choice.window,
            )
            for minutes, each in WINDOWS.items()
        ],
        "kept": [("window", choice.window.minutes), ("sort", choice.order)],
        "all_url": _url(choice, q=""),
        "every": EVERY_SECONDS[choice.window.minutes],
        "heads": [_head(choice, *head) for head in _HEADS],
        "notice": _notice(found),
        "pools": [_pool(pool, found) for pool in found.pools],
    }


def _url(choice: Choice, **changes: Any) -> str:
    asked = {
        "window": choice.window.minutes,
        "sort": choice.order,
        "q": choice.search,
        **changes,
    }
    given = {name: value for name, value in asked.items() if value}
    return f"{reverse('admin:fair_share')}?{urlencode(given)}"


def _head(
    choice: Choice, title: str, order: str, css: str, hint: str
) -> dict[str, Any]:
    return {
        "title": title,
        "url": _url(choice, sort=order) if order else "",
        "css": css,
        "hint": hint,
        "is_chosen": order == choice.order,
        "arrow": "↑" if order == "tenant" else "↓",
        "sort": "ascending" if order == "tenant" else "descending",
    }


def _notice(found: FairShare) -> str:
    if not found.found.is_cut:
        return ""
    return (
        f"More than {MOST_ATTEMPTS:,} attempts ended in this window, so it begins at "
        f"{localtime(found.found.begin):%H:%M:%S}."
    )


def _pool(pool: PoolRows, found: FairShare) -> tuple[PoolRows, list[dict[str, Any]]]:
    return pool, [_row(row, found) for row in pool.rows]


def _row(row: Row, found: FairShare) -> dict[str, Any]:
    tenant, share, wait = row.tenant, row.share, row.wait_seconds
    queued = found.waiting.get(tenant.slug, 0) if row.is_here else 0
    return {
        "tenant": tenant,
        "weight": plain(tenant.weight),
        "share": share,
        "received": 100 * share.received if share else None,
        "entitled": 100 * share.entitled if share else None,
        "short": _points(share) if share else "",
        "is_short": share is not None and _is_short(share),
        "running": tenant.at_work if row.is_here else 0,
        "waiting": f"{queued:,}" + ("+" if queued >= MOST_COUNTED else ""),
        "wait": "–" if wait is None else duration(wait),
        "flags": _flags(row),
    }


def _points(share: Share) -> str:
    """Return the shortfall in points of percent, with no minus before a zero."""
    return f"{round(100 * share.shortfall, 1) + 0.0:.1f}".replace("-", "−")


def _is_short(share: Share) -> bool:
    """Tell whether a shortfall is more than the unrest of single jobs."""
    return share.shortfall >= max(0.01, share.entitled / 10)


def _flags(row: Row) -> list[dict[str, str]]:
    tenant = row.tenant
    flags = []
    if tenant.is_paused:
        flags.append(("paused", "paused", tenant.paused_reason))
    if tenant.cap is not None:
        tone = "retryable" if tenant.is_capped else "queued"
        hint = f"{tenant.at_work} in flight of at most {tenant.cap}"
        flags.append((f"cap {tenant.cap}", tone, hint))
    if tenant.rate is not None:
        text = f"{plain(tenant.rate)}/s"
        flags.append((text, "queued", "most jobs dispatched in a second, over time"))
    if not row.is_here:
        flags.append((f"now in {tenant.pool}", "info", "it moved to another pool"))
    return [{"text": text, "tone": tone, "hint": hint} for text, tone, hint in flags]
