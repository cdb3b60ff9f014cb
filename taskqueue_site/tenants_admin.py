"""The screens of tenants and tiers: weight, load, pool, and who is paused, and why.

They stand here because they show a tenant together with its quota, its jobs and its
workers, which belong to later packages.
"""

from dataclasses import replace
from http import HTTPStatus
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextInputWidget

from jobs import previews
from jobs.backlog import TenantConfig
from quotas.admin import QuotaInline
from quotas.models import Quota
from taskqueue_site import tenant_previews
from taskqueue_site.dashboard import TenantLoad, tenant_loads
from taskqueue_site.pools import PoolInput, known_pools, live_slots, pool_note
from tenants.adminkit import (
    ChangeList,
    ChangesOnly,
    DialogForm,
    ModelAdmin,
    after_dialog,
    change_url,
    dialog_action,
    link_action,
    log_change,
    pill,
    subtle,
)
from tenants.models import MOST_CHARACTERS, Tenant, Tier
from tenants.services import tenant_pause, tenant_resume
from tenants.wording import duration, plain


class ReasonForm(DialogForm):
    """Asks why; the answer is kept in the history and beside the tenant."""

    reason = forms.CharField(
        label="Reason", max_length=MOST_CHARACTERS, widget=UnfoldAdminTextInputWidget
    )


class ConfirmForm(DialogForm):
    """Asks nothing but a yes."""


class PoolsChangeList(ChangeList):
    """Reads the slots of all pools in one statement."""

    def get_results(self, request: HttpRequest) -> None:
        """Attach `slots` to each row shown."""
        super().get_results(request)
        slots = live_slots()
        self.result_list = list(self.result_list)
        for row in self.result_list:
            row.slots = slots


class TenantChangeList(PoolsChangeList):
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


def _slug(object_id: str) -> str:
    """Return the slug of the tenant that an address names; raises Http404."""
    return str(get_object_or_404(Tenant, pk=unquote(object_id)).pk)


#: The submit button that asks what saving would do.
PREVIEW: Final = "_preview"


@admin.register(Tier)
class TierAdmin(ChangesOnly, ModelAdmin):
    """Classes of tenants."""

    list_display = ("name", "weight", "max_in_flight", "default_pool", "served")
    search_fields = ("name",)
    ordering = ("-weight", "name")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the list that knows the pools' slots."""
        return PoolsChangeList

    def get_readonly_fields(
        self, request: HttpRequest, obj: Any = None
    ) -> tuple[str, ...]:
        """Keep a name once it is given: tenants refer to it."""
        return ("name",) if obj else ()

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Offer the pools there are."""
        if db_field.name == "default_pool":
            kwargs["widget"] = PoolInput(known_pools())
            kwargs["help_text"] = (
                "Where its tenants' jobs run, unless a tenant has a pool of its own."
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        """Save, and say if nobody works for the pool."""
        super().save_model(request, obj, form, change)
        _warn_of_pool(self, request, obj.default_pool)

    @admin.display(description="Served by")
    def served(self, tier: Tier) -> SafeString:
        """Return how many slots its pool has."""
        return pool_note(tier.default_pool, _slots(tier))


@admin.register(Tenant)
class TenantAdmin(ChangesOnly, ModelAdmin):
    """Tenants with their weight and their load."""

    list_display = (
        *("slug", "name", "tier", "runs_in", "weight", "running", "waiting"),
        *("oldest_wait", "dead", "status"),
    )
    list_select_related = ("tier",)
    list_filter = ("is_paused", "tier")
    search_fields = ("slug", "name")
    ordering = ("slug",)
    sortable_by = ("slug", "name", "tier")
    inlines = (QuotaInline,)
    fields = (
        *("slug", "name", "tier", "pool", "runs_in", "retention_days"),
        *("paused", "is_accepting", "is_scheduling"),
    )
    actions_detail: ClassVar = ["pause", "resume", "preview_pause", "preview_resume"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the list that knows the tenants' load."""
        return TenantChangeList

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep a slug once it is given: keys, paths and queues carry it."""
        return ("slug", "runs_in", "paused") if obj else ()

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
        if PREVIEW not in request.POST:
            _warn_of_pool(self, request, form.instance.pool_name)

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Give short texts one line, and offer the pools there are."""
        if db_field.name in {"slug", "name"}:
            kwargs["widget"] = UnfoldAdminTextInputWidget()
        if db_field.name == "pool":
            kwargs["widget"] = PoolInput(known_pools())
            kwargs["help_text"] = (
                "The workers that run its jobs; empty means its tier's. Attempts in "
                "flight end where they are."
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    # --- Preview ----------------------------------------------------------------------

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form, save it, or show what saving it would do."""
        if PREVIEW not in request.POST:
            return super().change_view(request, object_id, form_url, extra_context)
        before = previews.settings()
        # Saved and undone: so the preview is of what saving does, checks included.
        with transaction.atomic():
            answer = super().change_view(request, object_id, form_url, extra_context)
            after = previews.settings()
            transaction.set_rollback(True)
        if answer.status_code != HTTPStatus.NO_CONTENT:
            return answer
        hidden = [
            (name, value)
            for name, values in request.POST.lists()
            for value in values
            if name not in {PREVIEW, "csrfmiddlewaretoken"}
        ]
        slug = unquote(object_id)
        return self._show_preview(request, before[slug], after[slug], hidden)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        """Go on after saving; a preview has nothing to announce."""
        if PREVIEW in request.POST:
            return HttpResponse(status=HTTPStatus.NO_CONTENT)
        return super().response_change(request, obj)

    @link_action(description="What if paused", permissions=["view"], icon="science")
    def preview_pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what a pause would have done."""
        return self._preview_paused(request, unquote(object_id), is_paused=True)

    @link_action(description="What if resumed", permissions=["view"], icon="science")
    def preview_resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show what would have happened without the pause."""
        return self._preview_paused(request, unquote(object_id), is_paused=False)

    def _preview_paused(
        self, request: HttpRequest, slug: str, *, is_paused: bool
    ) -> HttpResponse:
        before = previews.settings().get(slug)
        if before is None:
            raise Http404
        after = replace(before, is_paused=is_paused)
        return self._show_preview(request, before, after, None)

    def _show_preview(
        self,
        request: HttpRequest,
        before: TenantConfig,
        after: TenantConfig,
        hidden: list[tuple[str, str]] | None,
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            **tenant_previews.context(before, after, now=timezone.now()),
            "title": f"Preview of {before.slug}",
            "hidden": hidden,
            "back_url": change_url(Tenant, before.slug),
        }
        return TemplateResponse(request, "admin/tenants/tenant/preview.html", context)

    # --- Pause ------------------------------------------------------------------------

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer the one of pause and resume that changes something."""
        slug = unquote(str(object_id))
        is_paused = Tenant.objects.filter(pk=slug, is_paused=True).exists()
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
        slug = _slug(object_id)
        tenant_pause(slug=slug, reason=reason)
        return self._done(request, slug, f"Paused: {reason}")

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
        slug = _slug(object_id)
        tenant_resume(slug=slug)
        return self._done(request, slug, "Resumed.")

    def _done(self, request: HttpRequest, slug: str, said: str) -> HttpResponse:
        log_change(request, Tenant.objects.filter(pk=slug), said)
        self.message_user(request, f"{slug}: {said}", messages.SUCCESS)
        return after_dialog(change_url(Tenant, slug))

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Runs in pool")
    def runs_in(self, tenant: Tenant) -> SafeString:
        """Return the pool in force, and how many slots it has."""
        note = pool_note(tenant.pool_name, _slots(tenant))
        return format_html("{} {}", tenant.pool_name, note)

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
        pills = [
            *([] if tenant.is_accepting else [pill("takes no jobs", "paused")]),
            *([] if tenant.is_scheduling else [pill("not scheduling", "paused")]),
        ]
        if tenant.is_paused:
            pills = [pill("paused", "paused"), subtle(tenant.paused_reason), *pills]
        pills = pills or [pill("active", "succeeded")]
        return format_html_join(" ", "{}", ((each,) for each in pills))

    @admin.display(description="Dispatching")
    def paused(self, tenant: Tenant) -> SafeString:
        """Return whether it is paused, on the tenant's page."""
        return self.status(tenant)


def _slots(row: Any) -> dict[str, int]:
    """Return the slots of all pools, as the list has read them or anew."""
    slots: dict[str, int] = row.slots if hasattr(row, "slots") else live_slots()
    return slots


def _warn_of_pool(screen: ModelAdmin, request: HttpRequest, pool: str) -> None:
    if not live_slots().get(pool):
        screen.message_user(
            request,
            f"No worker serves the pool {pool}: its jobs wait until one does. Start "
            f"one with `manage.py worker --pool {pool}`.",
            messages.WARNING,
        )


def _load(tenant: Any) -> TenantLoad:
    load: TenantLoad = tenant.load
    return load


def _number(count: int, tone: str) -> SafeString:
    return pill(f"{count:,}", tone) if count else subtle("0")
