"""What a person who changed a profile's terms is told: what stands by the old ones."""

from typing import Any

from django.contrib import messages
from django.db.models import Count, Max, Min
from django.http import HttpRequest

from reconciliation.lifecycle import ACTIVE
from reconciliation.models import Profile, Reconciliation


def tell_of_old_days(screen: Any, request: HttpRequest, profile: Profile) -> None:
    """Say of which days mismatches stay open, and what tells them by the new terms."""
    found = Reconciliation.objects.filter(
        profile=profile, state__in=ACTIVE, day__isnull=False
    ).aggregate(count=Count("pk"), first=Min("day"), last=Max("day"))
    if not found["count"]:
        return
    are = "1 mismatch is" if found["count"] == 1 else "{count:,} mismatches are"
    text = are + " open by the terms as they were, of {first} to {last}. Run now, over "
    text += "those days, looks at them by the new ones."
    screen.message_user(request, text.format_map(found), messages.WARNING)
