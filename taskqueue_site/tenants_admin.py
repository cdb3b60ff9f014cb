"""The screen of tenants: who has what weight, what load, and who is paused, and why.

It stands here because it shows a tenant together with its quota and its jobs, which
belong to later packages.
"""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from quotas.admin import QuotaInline
from quotas.models import Quota
from taskqueue_site.dashboard import TenantLoad, tenant_loads
from tenants.adminkit import (
    ChangeList,
    DialogForm,
    ModelAdmin,
    after_dialog,
    change_url,
    dialog_action,
    log_change,
    pill,
    subtle,
)
from tenants.models import Tenant
from tenants.services import tenant_pause, tenant_resume
from tenants.wording import duration, plain


class ReasonForm(DialogForm):
    """Asks why; the answer is kept in the history and beside the tenant."""

    reason = forms.CharField(
        label="Reason", max_length=200, widget=UnfoldAdminTextInputWidget
    )


class ConfirmForm(DialogForm):
    """Asks nothing but a yes."""


class TenantChangeList(ChangeList):
    """Reads the load of the tenants on the page in one statement."""

    def get_results(self, request: HttpRequest) -> None:
        """Attach `load` to each tenant shown."""
        super().get_results(request)
        tenants = list(self.result_list)
        loads = {
            load.slug: load for load in tenant_loads([each.pk for each in tenants])
        }
        for tenant in tenants:
            tenant.load = loads[tenant.pk]
        self.result_list = tenants


@admin.register(Tenant)
class TenantAdmin(ModelAdmin):
    """Tenants with their weight and their load."""

    list_display = (
        *("slug", "name", "tier", "weight", "running", "waiting", "oldest_wait"),
        *("dead", "status"),
    )
    list_select_related = ("tier",)
    list_filter = ("is_paused", "tier")
    search_fields = ("slug", "name")
    ordering = ("slug",)
    sortable_by = ("slug", "name", "tier")
    inlines = (QuotaInline,)
    fields = ("slug", "name", "tier", "pool", "paused")
    actions_detail: ClassVar = ["pause", "resume"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the list that knows the tenants' load."""
        return TenantChangeList

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep a slug once it is given: keys, paths and queues carry it."""
        return ("slug", "paused") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave the pause out of the form of a new tenant."""
        return self.fields if obj else ("slug", "name", "tier", "pool")

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Start a new tenant in the standard tier, as the command does."""
        return {"tier": "standard", **super().get_changeform_initial_data(request)}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a tenant's ledger outlives the contract."""
        return False

    def save_related(self, request: Any, form: Any, formsets: Any, change: Any) -> None:
        """Give a new tenant its quota even if nobody touched the defaults."""
        super().save_related(request, form, formsets, change)
        Quota.objects.get_or_create(tenant=form.instance)

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Give short texts one line."""
        if db_field.name in {"slug", "name", "pool"}:
            kwargs["widget"] = UnfoldAdminTextInputWidget()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    # --- Pause ------------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer the one of pause and resume that changes something."""
        is_paused = Tenant.objects.filter(pk=object_id, is_paused=True).exists()
        wanted = "resume" if is_paused else "pause"
        actions = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        return [each for each in actions if each.action_name.endswith(f"_{wanted}")]

    @dialog_action(
        description="Pause",
        text="Stops dispatching this tenant's jobs within about a second. What runs "
        "goes on to its end, and the API keeps accepting jobs.",
        form=ReasonForm,
        permissions=["change"],
        icon="pause",
        variant=ActionVariant.WARNING,
    )
    def pause(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Stop dispatching the tenant's jobs, for the reason given."""
        reason = form.cleaned_data["reason"]
        tenant_pause(slug=object_id, reason=reason)
        return self._done(request, object_id, f"Paused: {reason}")

    @dialog_action(
        description="Resume",
        text="Dispatches this tenant's jobs again within about a second.",
        form=ConfirmForm,
        permissions=["change"],
        icon="play_arrow",
        variant=ActionVariant.SUCCESS,
    )
    def resume(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Dispatch the tenant's jobs again."""
        tenant_resume(slug=object_id)
        return self._done(request, object_id, "Resumed.")

    def _done(self, request: HttpRequest, slug: str, said: str) -> HttpResponse:
        log_change(request, Tenant.objects.filter(pk=slug), said)
        self.message_user(request, f"{slug}: {said}", messages.SUCCESS)
        return after_dialog(change_url(Tenant, slug))

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Weight")
    def weight(self, tenant: Any) -> str:
        """Return the weight without idle zeros."""
        return plain(_load(tenant).weight)

    @admin.display(description="Running")
    def running(self, tenant: Any) -> SafeString:
        """Return the jobs at work; dispatched ones count, they hold a slot."""
        load = _load(tenant)
        return _number(load.running + load.dispatched, "running")

    @admin.display(description="Waiting")
    def waiting(self, tenant: Any) -> SafeString:
        """Return the queued jobs, and those whose time has not come."""
        load = _load(tenant)
        later = load.retryable + load.scheduled
        note = subtle(f" +{later:,} later") if later else ""
        return format_html("{}{}", _number(load.queued, "queued"), note)

    @admin.display(description="Oldest wait")
    def oldest_wait(self, tenant: Any) -> str:
        """Return how long the job that waits longest has been due."""
        wait = _load(tenant).oldest_wait_seconds
        return "–" if wait is None else duration(wait)

    @admin.display(description="Dead")
    def dead(self, tenant: Any) -> SafeString:
        """Return the dead letters."""
        return _number(_load(tenant).dead, "dead")

    @admin.display(description="Status")
    def status(self, tenant: Tenant) -> SafeString:
        """Return whether it is paused, and why."""
        if not tenant.is_paused:
            return pill("active", "succeeded")
        return format_html(
            "{} {}", pill("paused", "paused"), subtle(tenant.paused_reason)
        )

    @admin.display(description="Dispatching")
    def paused(self, tenant: Tenant) -> SafeString:
        """Return whether it is paused, on the tenant's page."""
        return self.status(tenant)


def _load(tenant: Any) -> TenantLoad:
    load: TenantLoad = tenant.load
    return load


def _number(count: int, tone: str) -> SafeString:
    return pill(f"{count:,}", tone) if count else subtle("0")
