"""The page of reconciliation: how much matches, what is open, and for how long."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.timezone import localtime

from reconciliation import selectors
from reconciliation.charts import BLUE, GRAY, GREEN, ORANGE, RED, chart
from reconciliation.days import Day, by_type, currencies, days
from reconciliation.measures import BUCKET_NAMES, Ageing, ageing, percent_text, ratio
from reconciliation.models import Profile
from reconciliation.selectors import IN_TIME_HOURS, Choice
from tenants.selectors import UnknownTenantError, tenant_get

#: Days that can be looked at, and those that are at first.
SPANS: Final = (7, 30, 90)
SPAN: Final = 30
#: The first day that a span of any length can end with.
_EARLIEST: Final = date.min + timedelta(days=max(SPANS))
#: Profiles that are offered by name; the others are reached through their tenant.
MOST_OFFERED: Final = 200
_STATES: Final = (
    ("open", ("open", "assigned"), ORANGE),
    ("resolved", ("resolved", "approved"), GREEN),
    ("closed", ("closed",), GRAY),
)


def page(
    request: HttpRequest, each_context: dict[str, Any], *, now: datetime
) -> HttpResponse:
    """Show the page. Raises PermissionDenied for staff who may not see mismatches."""
    if not request.user.has_perm("reconciliation.view_reconciliation"):
        raise PermissionDenied
    today = localtime(now).date()
    until, flaw = _until(request.GET.get("until", "").strip(), today)
    choice, span = _choice(request, until)
    found = days(choice)
    names = currencies(found)
    currency = request.GET.get("currency", "")
    shown = currency if currency in names else _most_moved(found, names)
    asked = _asked(choice, span, shown, today)
    ages = ageing(selectors.open_by_age(choice, now=now))
    context = {
        **each_context,
        "title": "Reconciliation",
        **_toolbar(choice, asked, names),
        "today": today,
        "flaw": flaw,
        "latest": _latest(choice, found, asked, today),
        "cards": _cards(choice, found, ages),
        "charts": _charts(choice, found, shown, ages),
        "ages": [_age_row(each) for each in ages],
        "buckets": BUCKET_NAMES,
        "days": [_day_row(choice, day) for day in reversed(found)],
        "hours": IN_TIME_HOURS,
        "missing": _missing(choice),
    }
    return render(request, "admin/reconciliation/overview.html", context)


def _until(text: str, today: date) -> tuple[date, str]:
    """Return the last day that is asked for, or today and what is wrong with it."""
    if not text:
        return today, ""
    try:
        until = date.fromisoformat(text)
    except ValueError:
        return today, "Until: write it like 2026-01-31."
    if until < _EARLIEST:
        return today, f"{until} is too long ago: these are the days until today."
    if until > today:
        return today, f"{until} is still to come: these are the days until today."
    return until, ""


def _choice(request: HttpRequest, until: date) -> tuple[Choice, int]:
    """Return what the address asks for; what nothing can match asks for nothing."""
    span, profile = request.GET.get("days", ""), request.GET.get("profile", "")
    count = int(span) if span in {str(each) for each in SPANS} else SPAN
    is_id = profile.isascii() and profile.isdigit() and len(profile) < 19
    choice = Choice(
        first=until - timedelta(days=count - 1),
        last=until,
        tenant=request.GET.get("tenant", "").strip() or None,
        profile=int(profile) if is_id else None,
    )
    return choice, count


def _missing(choice: Choice) -> str:
    """Return what there is not, without which there is nothing to show."""
    whose = ""
    if choice.tenant is not None:
        try:
            tenant_get(slug=choice.tenant)
        except UnknownTenantError as error:
            return str(error)
        whose = f" for {choice.tenant}"
    if selectors.profiles_of(choice):
        return ""
    return f"No profile says what is compared with what{whose}."


def _most_moved(found: Iterable[Day], names: list[str]) -> str:
    """Return the currency with rows on the most days."""
    counts = {name: sum(name in day.amounts for day in found) for name in names}
    return min(names, key=lambda name: (-counts[name], name), default="")


# --- The toolbar ----------------------------------------------------------------------


def _asked(choice: Choice, span: int, currency: str, today: date) -> dict[str, Any]:
    """Return what links of the page ask for again."""
    return {
        "tenant": choice.tenant or "",
        "profile": choice.profile or "",
        "days": span,
        # An address that somebody keeps goes with the time unless a day was chosen.
        "until": "" if choice.last == today else choice.last,
        "currency": currency,
    }


def _toolbar(choice: Choice, asked: dict[str, Any], names: list[str]) -> dict[str, Any]:
    span, currency = asked["days"], asked["currency"]
    return {
        "choice": choice,
        "span": span,
        "spans": [(f"{n} days", _url(asked, days=n), n == span) for n in SPANS],
        "currencies": [(n, _url(asked, currency=n), n == currency) for n in names],
        "tenants": _tenants(),
        "profiles": _profiles(choice),
        "currency": currency,
    }


def _url(asked: dict[str, Any], **changes: Any) -> str:
    given = {name: value for name, value in (asked | changes).items() if value}
    return f"{reverse('admin:reconciliation_overview')}?{urlencode(given)}"


def _latest(
    choice: Choice, found: list[Day], asked: dict[str, Any], today: date
) -> tuple[date, str] | None:
    """Return the latest day with rows, and its address, where none of these has any."""
    if any(day.ours or day.theirs for day in found):
        return None
    latest = selectors.latest_day(choice, upto=today)
    return None if latest is None else (latest, _url(asked, until=latest))


def _tenants() -> list[str]:
    rows = Profile.objects.order_by("tenant_id").values_list("tenant_id", flat=True)
    return list(rows.distinct()[:MOST_OFFERED])


def _profiles(choice: Choice) -> list[Profile]:
    rows: models.QuerySet[Profile] = Profile.objects.order_by("tenant_id", "name")
    if choice.tenant:
        rows = rows.filter(tenant_id=choice.tenant)
    return list(rows[:MOST_OFFERED])


# --- What it shows --------------------------------------------------------------------


def _queue(choice: Choice, **more: str) -> str:
    """Return where the mismatches of a choice are worked off."""
    asked = {
        "tenant__slug__exact": choice.tenant,
        "profile__id__exact": choice.profile,
        **more,
    }
    given = {name: value for name, value in asked.items() if value}
    address = reverse("admin:reconciliation_reconciliation_changelist")
    return f"{address}?{urlencode(given)}" if given else address


def _cards(
    choice: Choice, found: list[Day], ages: list[Ageing]
) -> list[dict[str, str]]:
    ours = sum(day.ours for day in found)
    rate = ratio(ours - sum(day.standing for day in found), ours)
    told = sum(day.told for day in found)
    explained = ratio(sum(day.explained for day in found), told)
    both = sum(day.has_both_sides for day in found)
    rows = sum(day.ours + day.theirs for day in found)
    in_time = ratio(sum(day.in_time for day in found), rows)
    waiting = sum(each.count for each in ages)
    of_ours = f"of {ours:,} row{'' if ours == 1 else 's'} of ours"
    return [
        _card("Match rate", percent_text(rate), "succeeded", of_ours),
        {
            **_card("Open now", f"{waiting:,}", "retryable", "of whichever day"),
            "url": _queue(choice),
        },
        _card("Both sides", f"{both} of {len(found)}", "info", "days that have both"),
        _card(
            "In time", percent_text(in_time), "info", f"loaded within {IN_TIME_HOURS} h"
        ),
        _card("Explained", percent_text(explained), "info", f"of {told:,} mismatches"),
    ]


def _card(title: str, value: str, tone: str, note: str) -> dict[str, str]:
    return {"title": title, "value": value, "tone": tone, "note": note}


def _charts(
    choice: Choice, found: list[Day], currency: str, ages: list[Ageing]
) -> list[dict[str, Any]]:
    labels = [f"{day.day:%b} {day.day.day}" for day in found]
    moved = {each.day: each for each in selectors.moved_by_day(choice)}
    types = by_type(choice)
    return [
        chart(
            title="Match rate per day",
            note="% of our rows",
            kind="line",
            labels=labels,
            series=[("Match rate, %", BLUE, [_percent(d.match_rate) for d in found])],
            beginAtZero=False,
            suggestedMax=100,
        ),
        chart(
            title="Value matched per day",
            note=currency,
            labels=labels,
            series=[
                ("Matched", GREEN, [float(d.matched_amount(currency)) for d in found]),
                ("With a mismatch", RED, [float(d.at_stake[currency]) for d in found]),
            ],
            is_stacked=True,
        ),
        chart(
            title="Found and settled per day",
            note="settled: resolved by somebody or a rule, or closed by a run",
            labels=labels,
            series=[
                ("Found", ORANGE, [_moved(moved, d, "found") for d in found]),
                ("Settled", GREEN, [_moved(moved, d, "settled") for d in found]),
            ],
        ),
        chart(
            title="Open by age",
            note="days, of whichever day",
            labels=BUCKET_NAMES,
            series=[("Open", ORANGE, _by_bucket(ages))],
        ),
        chart(
            title="By type",
            note="of the mismatches of these days",
            labels=[name.replace("_", " ") for name in types],
            series=[
                (title, colour, [sum(t[s] for s in states) for t in types.values()])
                for title, states, colour in _STATES
            ],
            is_stacked=True,
            labels_all=True,
        ),
    ]


def _percent(part: float | None) -> float | None:
    """Return a part as percent for a chart; none where no row was."""
    return None if part is None else 100 * part


def _moved(moved: dict[Any, selectors.Moved], day: Day, name: str) -> int:
    found = moved.get(day.day)
    return 0 if found is None else int(getattr(found, name))


def _by_bucket(ages: list[Ageing]) -> list[int]:
    places = range(len(BUCKET_NAMES))
    return [sum(each.counts[place] for each in ages) for place in places]


def _age_row(row: Ageing) -> dict[str, Any]:
    average = row.average_days
    return {
        "currency": row.currency or "–",
        "cells": [
            (f"{count:,}", f"{amount:,.2f}")
            for count, amount in zip(row.counts, row.amounts, strict=True)
        ],
        "count": f"{row.count:,}",
        "amount": f"{row.amount:,.2f}",
        "average": "–" if average is None else f"{average:.1f} d",
    }


def _day_row(choice: Choice, day: Day) -> dict[str, Any]:
    date = day.day.isoformat()
    return {
        "day": date,
        "ours": f"{day.ours:,}",
        "theirs": f"{day.theirs:,}",
        "has_both_sides": day.has_both_sides,
        "sources": f"{day.brought} of {day.expected}",
        "match_rate": percent_text(day.match_rate),
        "completeness": percent_text(day.completeness),
        "timeliness": percent_text(day.timeliness),
        "explainability": percent_text(day.explainability),
        "told": f"{day.told:,}",
        "url": day.told and _queue(choice, state="all", day_from=date, day_to=date),
    }
