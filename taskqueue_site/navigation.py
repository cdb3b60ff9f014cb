"""The sidebar in the order of an operator's need, and the environment's banner."""

from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from jobs import dead_letters

#: Dead letters are counted up to here: the badge only has to say that there are many.
MAX_BADGE: Final = 1000

#: Title, icon, `app_model` of the list.
Entry = tuple[str, str, str]
_GROUPS: Final[tuple[tuple[str, tuple[Entry, ...]], ...]] = (
    (
        "Work",
        (
            ("Jobs", "work", "jobs_job"),
            ("Dead letters", "skull", "jobs_deadletter"),
            ("Bulk decisions", "rule", "jobs_bulkdecision"),
            ("Dead messages", "mail_off", "jobs_deadmessage"),
            ("Attempts", "replay", "jobs_attempt"),
            ("Tenants", "domain", "tenants_tenant"),
        ),
    ),
    (
        "Data",
        (
            ("Files", "description", "ingestion_ingestedfile"),
            ("Kept-out rows", "playlist_remove", "ingestion_keptoutrow"),
            ("Statements", "account_balance", "ingestion_statement"),
            ("Faults of files", "rule_folder", "ingestion_filefault"),
            ("Transactions", "receipt_long", "ingestion_transaction"),
            ("Dialect profiles", "dictionary", "ingestion_dialectprofile"),
            ("Mismatches", "difference", "reconciliation_reconciliation"),
            ("Runs", "compare_arrows", "reconciliation_run"),
            ("Profiles", "tune", "reconciliation_profile"),
            ("Schedules", "schedule", "reconciliation_schedule"),
            ("Reports", "summarize", "reconciliation_report"),
            ("Matches", "join_inner", "reconciliation_match"),
            ("Usage", "data_usage", "jobs_usageevent"),
        ),
    ),
    (
        "Machinery",
        (
            ("Workers", "memory", "jobs_worker"),
            ("Switches", "toggle_on", "jobs_switch"),
            ("Beat tasks", "alarm", "django_celery_beat_periodictask"),
            ("Results", "checklist", "django_celery_results_taskresult"),
        ),
    ),
    (
        "Access",
        (
            ("API keys", "key", "tenants_apikey"),
            ("Members", "group", "tenants_membership"),
            ("Tiers", "layers", "tenants_tier"),
            ("Users", "person", "auth_user"),
            ("Groups", "shield_person", "auth_group"),
        ),
    ),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the sidebar for one request, as the theme wants it."""
    overview = {
        "title": "Overview",
        "icon": "monitoring",
        "link": reverse("admin:index"),
        "permission": _permission("jobs", "job"),
    }
    share = {
        "title": "Fair share",
        "icon": "balance",
        "link": reverse("admin:fair_share"),
        "permission": _permission("jobs", "job"),
    }
    reconciliation = {
        "title": "Reconciliation",
        "icon": "query_stats",
        "link": reverse("admin:reconciliation_overview"),
        "permission": _permission("reconciliation", "reconciliation"),
    }
    groups: list[dict[str, Any]] = [
        {"title": title, "items": [_item(entry) for entry in entries]}
        for title, entries in _GROUPS
    ]
    groups[1]["items"].insert(0, reconciliation)
    _mark_dead(groups, request)
    return [{"items": [overview, share]}, *groups]


def _item(entry: Entry) -> dict[str, Any]:
    title, icon, name = entry
    app, _, model = name.rpartition("_")
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{name}_changelist"),
        "permission": _permission(app, model),
    }


def _permission(app: str, model: str) -> Callable[[HttpRequest], bool]:
    names = [f"{app}.{verb}_{model}" for verb in ("view", "change")]
    return lambda request: any(request.user.has_perm(name) for name in names)


def _mark_dead(groups: list[dict[str, Any]], request: HttpRequest) -> None:
    if not request.user.has_perm("jobs.view_deadletter"):
        return
    dead = dead_letters.count(most=MAX_BADGE)
    if dead:
        text = f"{MAX_BADGE - 1}+" if dead >= MAX_BADGE else str(dead)
        groups[0]["items"][1].update(badge=text, badge_variant="danger")


def environment(request: HttpRequest) -> list[str] | None:
    """Return the banner that tells production from a playground."""
    name = settings.ENVIRONMENT_NAME
    if not name:
        return None
    is_production = name.lower().startswith("prod")
    return [name, "danger" if is_production else "info"]


def stylesheet(request: HttpRequest) -> str:
    """Return the address of the product's own styles."""
    return static("taskqueue_site/admin.css")


def favicon(request: HttpRequest) -> str:
    """Return the address of the icon of the browser's tab."""
    return static("taskqueue_site/favicon.svg")
