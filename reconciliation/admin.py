"""The screens of reconciliation; importing the modules registers them."""

from reconciliation import (
    matches_admin,
    mismatches_admin,
    profiles_admin,
    reports_admin,
    runs_admin,
    schedules_admin,
)

__all__ = [
    "matches_admin",
    "mismatches_admin",
    "profiles_admin",
    "reports_admin",
    "runs_admin",
    "schedules_admin",
]
