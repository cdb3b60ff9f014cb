"""Screens of the ledger, all read-only; jobs and dead letters are beside
(jobs/job_admin.py, jobs/dead_letters_admin.py, jobs/bulk_admin.py,
jobs/dead_messages_admin.py), and the switches (jobs/switches_admin.py)."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    RangeDateTimeFilter,
)

from jobs import (  # noqa: F401  (they register screens)
    bulk_admin,
    dead_letters_admin,
    dead_messages_admin,
    job_admin,
    switches_admin,
)
from jobs.models import Attempt, Job, LeaderLease, UsageEvent, Worker
from tenants.adminkit import (
    ReadOnlyAdmin,
    code_block,
    json_block,
    moment,
    pill,
    row_link,
)
from tenants.wording import age, between

#: A worker that has not reported for so long is shown as stale.
STALE_AFTER = timedelta(seconds=8)


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Every try at every job; shares, quotas and bills are sums over these."""

    list_display = (
        *("id", "job_link", "number", "tenant", "pool", "worker", "outcome_pill"),
        *("dispatched", "ran", "cost", "is_billable"),
    )
    list_select_related = ("tenant",)
    list_filter = (
        ("outcome", ChoicesCheckboxFilter),
        ("tenant", AutocompleteSelectFilter),
        ("finished_at", RangeDateTimeFilter),
    )
    search_fields = ("job_id",)
    search_help_text = "A job's id"
    fields = (
        *("job_link", "tenant", "number", "pool", "worker", "outcome_pill"),
        *("dispatched_moment", "started", "lease_expires", "finished"),
        *("held_us", "settled_us", "weight", "is_billable", "term"),
        *("error_json", "traceback_text"),
    )

    dispatched_moment = moment("dispatched_at", "Dispatched")
    started = moment("started_at", "Started")
    lease_expires = moment("lease_expires_at", "Lease expires")
    finished = moment("finished_at", "Finished")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Attempt], search_term: str
    ) -> tuple[QuerySet[Attempt], bool]:
        """Search by the job's id, exactly."""
        try:
            return queryset.filter(job_id=UUID(search_term.strip())), False
        except ValueError:
            return (queryset.none() if search_term.strip() else queryset), False

    @admin.display(description="Job")
    def job_link(self, attempt: Attempt) -> SafeString:
        """Return a link to the job."""
        return row_link(Job, attempt.job_id, f"…{str(attempt.job_id)[-12:]}")

    @admin.display(description="Outcome")
    def outcome_pill(self, attempt: Attempt) -> SafeString:
        """Return how it ended, or that it is live."""
        word = attempt.outcome or ("running" if attempt.started_at else "dispatched")
        return pill(word, word)

    @admin.display(description="Dispatched")
    def dispatched(self, attempt: Attempt) -> str:
        """Return when it was dispatched."""
        return age(attempt.dispatched_at, now=timezone.now())

    @admin.display(description="Ran")
    def ran(self, attempt: Attempt) -> str:
        """Return how long it ran."""
        end = attempt.finished_at or timezone.now()
        return between(attempt.started_at, end) or "–"

    @admin.display(description="Cost")
    def cost(self, attempt: Attempt) -> str:
        """Return the settled worker time in seconds."""
        settled = attempt.settled_us
        return "–" if settled is None else f"{settled / 1_000_000:.3f} s"

    @admin.display(description="Error")
    def error_json(self, attempt: Attempt) -> SafeString:
        """Return the error as JSON."""
        return json_block(attempt.error)

    @admin.display(description="Traceback")
    def traceback_text(self, attempt: Attempt) -> SafeString:
        """Return the traceback as it was."""
        return code_block(attempt.traceback)


@admin.register(UsageEvent)
class UsageEventAdmin(ReadOnlyAdmin):
    """What was counted; bills read only this."""

    list_display = ("id", "tenant", "meter", "quantity", "source", "occurred")
    list_select_related = ("tenant",)
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        ("occurred_at", RangeDateTimeFilter),
    )
    fields = ("tenant", "meter", "quantity", "source", "job_link", "occurred")
    occurred = moment("occurred_at", "Occurred")

    @admin.display(description="Job")
    def job_link(self, event: UsageEvent) -> SafeString:
        """Return a link to the job that used it."""
        return row_link(Job, event.job_id, event.job_id)


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """The worker processes that report themselves."""

    list_display = ("name", "pool", "status", "slots", "running", "seen", "since")
    ordering = ("pool", "name")
    fields = ("name", "pool", "slots", "started", "last_seen")
    started = moment("started_at", "Started")
    last_seen = moment("last_seen_at", "Last seen")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Worker]:
        """Return the workers with the number of attempts each is at."""
        at_work = (
            Attempt.objects.filter(
                Q(outcome=None), worker=OuterRef("name"), started_at__isnull=False
            )
            .order_by()
            .values("worker")
            .annotate(attempts=Count("id"))
            .values("attempts")
        )
        rows: QuerySet[Worker] = super().get_queryset(request)
        return rows.annotate(running_count=Coalesce(Subquery(at_work), 0))

    @admin.display(description="Status")
    def status(self, worker: Worker) -> SafeString:
        """Return whether the worker still reports."""
        is_stale = timezone.now() - worker.last_seen_at > STALE_AFTER
        return pill("stale", "dead") if is_stale else pill("alive", "succeeded")

    @admin.display(description="Running")
    def running(self, worker: Any) -> int:
        """Return how many attempts it is at."""
        return int(worker.running_count)

    @admin.display(description="Last seen")
    def seen(self, worker: Worker) -> str:
        """Return when it last reported."""
        return age(worker.last_seen_at, now=timezone.now())

    @admin.display(description="Started")
    def since(self, worker: Worker) -> str:
        """Return when it started."""
        return age(worker.started_at, now=timezone.now())


@admin.register(LeaderLease)
class LeaderLeaseAdmin(ReadOnlyAdmin):
    """Who leads."""

    list_display = ("name", "holder", "term", "expires")
    expires = moment("expires_at", "Expires")
    ordering = ("name",)
    fields = list_display
