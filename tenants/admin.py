"""Screens for tiers, members and API keys.

A tenant's own screen shows its quota and its load, so it stands where those may be
imported: taskqueue_site/tenants_admin.py.
"""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString

from tenants.adminkit import ModelAdmin, change_url, log_change, mono, pill, subtle
from tenants.models import ApiKey, Membership, Tier
from tenants.wording import age


@admin.register(Tier)
class TierAdmin(ModelAdmin):
    """Classes of tenants."""

    list_display = ("name", "weight", "default_pool")
    search_fields = ("name",)
    ordering = ("-weight", "name")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Any = None
    ) -> tuple[str, ...]:
        """Keep a name once it is given: tenants refer to it."""
        return ("name",) if obj else ()


@admin.register(Membership)
class MembershipAdmin(ModelAdmin):
    """Who belongs to a tenant, and as what."""

    list_display = ("user", "tenant", "role")
    list_select_related = ("user", "tenant")
    list_filter = ("role",)
    search_fields = ("user__username", "tenant__slug")
    autocomplete_fields = ("tenant", "user")
    ordering = ("tenant", "user")


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    """Keys of producers: to see and to revoke. The digest is never shown."""

    list_display = ("prefix", "tenant", "name", "status", "last_used", "expires_at")
    list_select_related = ("tenant",)
    search_fields = ("id__exact", "tenant__slug__exact")
    search_help_text = "The key's prefix, or a tenant"
    ordering = ("tenant", "id")
    fields = (
        *("prefix", "tenant", "name", "status", "created_at"),
        *("last_used_at", "expires_at", "revoked_at"),
    )
    actions: ClassVar = ["revoke_selected"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: a key is made where its secret can be shown once."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a key is revoked, never edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a revoked key keeps telling what it was."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Let those revoke who may change keys."""
        return request.user.has_perm("tenants.change_apikey")

    @admin.display(description="Prefix", ordering="id")
    def prefix(self, key: ApiKey) -> SafeString:
        """Return the public part of the key."""
        return mono(f"fq_live_{key.pk}_…")

    @admin.display(description="Status")
    def status(self, key: ApiKey) -> SafeString:
        """Return whether the key still opens anything."""
        if key.revoked_at:
            return pill("revoked", "dead")
        if key.expires_at and key.expires_at <= timezone.now():
            return pill("expired", "retryable")
        return pill("active", "succeeded")

    @admin.display(description="Last used", ordering="last_used_at")
    def last_used(self, key: ApiKey) -> SafeString:
        """Return when the key was last used."""
        return subtle(age(key.last_used_at, now=timezone.now()))

    @admin.action(description="Revoke selected keys", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, keys: Any) -> HttpResponse:
        """Revoke keys for good, after a page that says which."""
        live = keys.filter(revoked_at=None)
        if "confirmed" not in request.POST:
            return _confirm_revoke(self, request, list(live))
        ids = list(live.values_list("pk", flat=True))
        rows = ApiKey.objects.filter(pk__in=ids, revoked_at=None)
        log_change(request, rows, "Revoked.")
        count = rows.update(revoked_at=timezone.now())
        self.message_user(request, f"{count} key(s) revoked.", messages.SUCCESS)
        return HttpResponseRedirect(request.get_full_path())


def _confirm_revoke(
    model_admin: ApiKeyAdmin, request: HttpRequest, keys: list[ApiKey]
) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Revoke API keys",
        "opts": ApiKey._meta,
        "question": f"Revoke {len(keys)} key(s)? Calls that carry them get 401 at once, "
        "and this cannot be undone.",
        "rows": [
            (f"{key} · {key.name or key.tenant_id}", change_url(key, key.pk))
            for key in keys
        ],
        "hidden": [
            ("action", "revoke_selected"),
            *((admin.helpers.ACTION_CHECKBOX_NAME, key.pk) for key in keys),
        ],
        "submit": f"Revoke {len(keys)} key(s)",
        "is_danger": True,
    }
    return TemplateResponse(request, "admin/confirm_action.html", context)
