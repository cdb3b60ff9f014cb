"""Screens for members and API keys.

The screens of tenants and tiers show quotas, load and workers, so they stand where
those may be imported: taskqueue_site/tenants_admin.py.
"""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.adminkit import ModelAdmin, change_url, log_change, mono, pill, subtle
from tenants.models import ApiKey, Membership
from tenants.services import api_key_create, api_key_revoke
from tenants.wording import age


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
    """Keys of producers: made and revoked here. The digest is never shown."""

    list_display = ("prefix", "tenant", "name", "status", "last_used", "expires_at")
    list_select_related = ("tenant",)
    search_fields = ("id__exact", "tenant__slug__exact")
    search_help_text = "The key's public part, or a tenant"
    ordering = ("tenant", "id")
    autocomplete_fields = ("tenant",)
    actions = ["revoke_selected"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Ask for little when a key is made, and tell all of it afterwards."""
        asked = ("tenant", "name", "expires_at")
        told = ("prefix", "status", "created_at", "last_used_at", "revoked_at")
        return (*asked, *told) if obj else asked

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a key is revoked, never edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: a revoked key keeps telling what it was."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Let those revoke who may change keys."""
        return request.user.has_perm("tenants.change_apikey")

    # --- Creation ---------------------------------------------------------------------

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Give the name one line."""
        if db_field.name == "name":
            kwargs["widget"] = UnfoldAdminTextInputWidget()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        """Make the key; its full text stays on the object for the page that follows."""
        made, obj.secret = api_key_create(
            slug=obj.tenant_id,
            now=timezone.now(),
            name=obj.name,
            expires_at=obj.expires_at,
        )
        obj.pk = made.pk

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the full key, once, on a page that is kept nowhere."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key created",
            "opts": self.opts,
            "key": obj,
            "secret": obj.secret,
        }
        return TemplateResponse(request, "admin/tenants/apikey/created.html", context)

    # --- Revocation -------------------------------------------------------------------

    @admin.action(description="Revoke selected keys", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, keys: Any) -> HttpResponse:
        """Revoke keys for good, after a page that says which."""
        live = list(keys.filter(revoked_at=None))
        if "confirmed" not in request.POST:
            return self._ask(request, live)
        now = timezone.now()
        for key in live:
            api_key_revoke(key_id=key.pk, now=now)
        if live:
            log_change(request, keys.filter(pk__in=[k.pk for k in live]), "Revoked.")
        self.message_user(request, f"{len(live)} key(s) revoked.", messages.SUCCESS)
        return HttpResponseRedirect(request.get_full_path())

    def _ask(self, request: HttpRequest, keys: list[ApiKey]) -> HttpResponse:
        chosen = [(ACTION_CHECKBOX_NAME, key.pk) for key in keys]
        context = {
            **self.admin_site.each_context(request),
            "title": "Revoke API keys",
            "opts": self.opts,
            "question": f"Revoke {len(keys)} key(s)? Calls that carry them get 401 at "
            "once, and this cannot be undone.",
            "rows": [
                (f"{key} · {key.name or key.tenant_id}", change_url(key, key.pk))
                for key in keys
            ],
            "hidden": [("action", "revoke_selected"), *chosen],
            "submit_text": f"Revoke {len(keys)} key(s)",
            "is_danger": True,
        }
        return TemplateResponse(request, "admin/confirm_action.html", context)

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Key", ordering="id")
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
