"""Registers the screens that belong to no single app. The site is in site.py."""

from taskqueue_site import (  # noqa: F401  (importing them registers their screens)
    results_admin,
    schedules_admin,
    tenants_admin,
    users_admin,
)
