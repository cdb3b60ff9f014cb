"""The screen of the switches of kinds and pools; a tenant's are on its own page."""

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from jobs.models import Switch
from jobs.switches import forget_reason
from tenants.adminkit import ChangesOnly, ModelAdmin, moment, pill

if TYPE_CHECKING:
    from django.forms import TextInput
else:
    from unfold.widgets import UnfoldAdminTextInputWidget as TextInput

_HELP: Final = {
    "name": "A kind of job, such as ingest, or a pool of workers.",
    "is_accepting": "New jobs are taken. Off: the API answers 503 not_accepting.",
    "is_dispatching": "Queued jobs are handed to workers; what runs goes on.",
    "is_scheduling": "Scheduled jobs are queued at their time; retries always.",
    "reason": "One line, shown to staff where the jobs wait.",
}


@admin.register(Switch)
class SwitchAdmin(ChangesOnly, ModelAdmin):
    """What may happen to the jobs of a kind or a pool."""

    list_display = ("scope", "name", "status", "reason", "changed")
    ordering = ("scope", "name")
    sortable_by: ClassVar[tuple[str, ...]] = ()
    fields = (
        *("scope", "name", "is_accepting", "is_dispatching", "is_scheduling"),
        "reason",
    )
    saved_too = ("changed_at",)
    changed = moment("changed_at", "Changed")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Keep whose switches they are."""
        return ("scope", "name") if obj else ()

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Give texts one line, and say what each switch stops."""
        if db_field.name in {"name", "reason"}:
            kwargs["widget"] = TextInput()
        help_text = _HELP.get(db_field.name)
        if help_text:
            kwargs["help_text"] = help_text
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: Any, obj: Any, form: Any, change: Any) -> None:
        """Note when it was turned; with everything on no reason is left."""
        obj.changed_at = timezone.now()
        super().save_model(request, obj, form, change)
        forget_reason(obj)

    @admin.display(description="Off")
    def status(self, switch: Switch) -> SafeString:
        """Return what is off."""
        off = [
            *([] if switch.is_accepting else ["accept"]),
            *([] if switch.is_dispatching else ["dispatch"]),
            *([] if switch.is_scheduling else ["schedule"]),
        ]
        if not off:
            return pill("all on", "succeeded")
        return format_html_join(" ", "{}", ((pill(word, "paused"),) for word in off))
