"""A tenant's quota, as part of the tenant's screen."""

from decimal import InvalidOperation
from typing import Any, ClassVar

from django import forms
from django.db import models
from django.http import HttpRequest

from quotas.models import Quota
from tenants.adminkit import StackedInline


class DecimalField(forms.DecimalField):
    """Django's compares what was typed with the old value, and fails at `sNaN`."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Return whether the value was changed; whether it is one is checked later."""
        try:
            return super().has_changed(initial, data)
        except InvalidOperation:
            return True


class QuotaInline(StackedInline):
    """The one quota of a tenant; a new tenant gets one with the defaults."""

    model = Quota
    can_delete = False
    min_num = max_num = 1
    extra = 0
    hide_title = True
    formfield_overrides: ClassVar = {models.DecimalField: {"form_class": DecimalField}}
    verbose_name = "quota, in force about a second after you save"
    fields = (
        ("weight",),
        ("max_in_flight", "elastic_cap"),
        ("rate_per_second", "burst"),
    )

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Let those set a first quota who may add tenants or change quotas."""
        may = request.user.has_perm
        return may("quotas.add_quota") or may("tenants.add_tenant")
