"""What a person who changed a profile's terms is told: what stands by the old ones."""

from datetime import date
from typing import Any

from django.contrib import messages
from django.db.models import Count, Max, Min
from django.http import HttpRequest

from reconciliation.lifecycle import ACTIVE
from reconciliation.models import Profile, Reconciliation
from reconciliation.wording import days_words


def tell_of_old_days(screen: Any, request: HttpRequest, profile: Profile) -> None:
    """Say of which days mismatches stay open, and what tells them by the new terms."""
    found = Reconciliation.objects.filter(
        profile=profile, state__in=ACTIVE, day__isnull=False
    ).aggregate(count=Count("pk"), first=Min("day"), last=Max("day"))
    if not found["count"]:
        return
    screen.message_user(request, _text(**found), messages.WARNING)


def _text(count: int, first: date, last: date) -> str:
    """Return what is told of so many mismatches of these days."""
    is_one = count == 1
    are = "1 mismatch is" if is_one else f"{count:,} mismatches are"
    days = "that day" if first == last else "those days"
    return (
        f"{are} open by the terms as they were, of {days_words(first, last)}. Run now, "
        f"over {days}, looks at {'it' if is_one else 'them'} by the new ones."
    )
