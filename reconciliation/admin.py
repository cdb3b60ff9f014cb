"""The screens of reconciliation; importing the others registers them."""

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    RangeDateTimeFilter,
)

from reconciliation import (  # noqa: F401
    profiles_admin,
    reports_admin,
    runs_admin,
    schedules_admin,
)
from reconciliation.models import Reconciliation
from tenants.adminkit import ReadOnlyAdmin, moment, pill


@admin.register(Reconciliation)
class ReconciliationAdmin(ReadOnlyAdmin):
    """Disagreements that runs found, newest first."""

    list_display = (
        *("id", "tenant", "mismatch_pill", "internal_txn_id", "external_txn_id"),
        *("notes", "found"),
    )
    list_select_related = ("tenant",)
    list_filter = (
        ("mismatch_type", ChoicesCheckboxFilter),
        ("tenant", AutocompleteSelectFilter),
        ("created_at", RangeDateTimeFilter),
    )
    fields = (
        *("tenant", "mismatch_pill", "internal_txn_id", "external_txn_id"),
        *("notes", "found"),
    )

    found = moment("created_at", "Found")

    @admin.display(description="Mismatch")
    def mismatch_pill(self, row: Reconciliation) -> SafeString:
        """Return the type of the mismatch as a label."""
        return pill(row.mismatch_type.replace("_", " "), "retryable")
