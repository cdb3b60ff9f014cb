"""A day of the ledger against a day of UPI: what matches, and what does not.

The profile and its schedule are made as the admin makes them; the run and the list of
mismatches are jobs, ordered over HTTP.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from ingestion.storage import object_key, store
from reconciliation.crontabs import FIELDS, crontab_of
from reconciliation.models import MatchRule, Profile, Schedule
from reconciliation.schedules import schedule_save
from taskqueue_site.demo import Producer
from tenants.scoping import all_tenants

TENANT: Final = "echo"
#: File and source: what our books say, and what the network says of the same day.
FILES: Final = (("ledger_upi.csv", "LEDGER"), ("upi_small.csv", "UPI"))
PROFILE: Final = "UPI daily"
DAY: Final = {
    "starts_at": "2026-01-05T00:00:00+05:30",
    "ends_at": "2026-01-06T00:00:00+05:30",
}
#: Key, shape, and whether its matches stand without a person's word.
RULES: Final = (
    (MatchRule.Key.REFERENCE, MatchRule.Shape.ONE_TO_ONE, True),
    (MatchRule.Key.REFERENCE, MatchRule.Shape.ONE_TO_MANY, True),
    (MatchRule.Key.REFERENCE, MatchRule.Shape.MANY_TO_ONE, True),
    (MatchRule.Key.ACCOUNT, MatchRule.Shape.ONE_TO_ONE, False),
)
#: Every day at six, as cron has it.
SIX: Final = "0 6 * * *"
_INDIA: Final = "Asia/Kolkata"
_FEE: Final = Decimal("2.36")
_WIDTHS: Final = (-16, 4, 15)


def prepare(tenant: str, *, now: datetime) -> None:
    """Make the profile with its rules, and its schedule; an earlier run's stay."""
    with all_tenants(reason="demonstration"):
        profile, is_new = Profile.objects.get_or_create(
            tenant_id=tenant,
            name=PROFILE,
            defaults={
                "internal_sources": ["LEDGER"],
                "external_sources": ["UPI"],
                "time_zone": _INDIA,
                "fee_fixed": _FEE,
            },
        )
        if is_new:
            _add_rules(profile)
            _add_schedule(profile, now)


def _add_rules(profile: Profile) -> None:
    for place, (key, shape, is_confirmed) in enumerate(RULES, start=1):
        MatchRule.objects.create(
            tenant_id=profile.tenant_id,
            profile=profile,
            place=place,
            key=key,
            shape=shape,
            is_confirmed=is_confirmed,
        )


def _add_schedule(profile: Profile, now: datetime) -> None:
    schedule = Schedule(
        tenant_id=profile.tenant_id, name=f"{profile.name} at 06:00", profile=profile
    )
    fields = dict(zip((name for name, *_ in FIELDS), SIX.split(), strict=True))
    cron = crontab_of(**fields, zone=ZoneInfo(_INDIA))
    schedule_save(schedule=schedule, cron=cron, now=now)


def load(producer: Producer, samples: Path) -> None:
    """Store and enqueue the two sides."""
    for name, source in FILES:
        with (samples / name).open("rb") as content:
            store().write(object_key(producer.tenant, name), content)
        producer.enqueue(name, source)


def compare(producer: Producer) -> None:
    """Enqueue the run over the samples' day."""
    producer.order("reconcile", profile=PROFILE, **DAY)


def list_mismatches(producer: Producer) -> None:
    """Enqueue a report of what the run told."""
    producer.order("report", what="mismatches", filters={"profile": PROFILE}, **DAY)


def summary(run: Any, report: str) -> list[str]:
    """Return what the run counted, and a line for each type of mismatch."""
    counts = run["result"]
    if counts["mode"] == "changes":
        lines = [f"{counts['rows']} rows came since the day was compared last."]
    else:
        lines = [
            f"{counts['rows']} rows: {counts['plain']} pairs plainly match, "
            f"{_matched(counts['matched'])}, {counts['unmatched']} are left."
        ]
    # Of a second demonstration, people may have changed what there was.
    told = csv.DictReader(report.splitlines())
    return [*lines, "", *_table([row for row in told if row["state"] != "closed"])]


def _matched(by_place: dict[str, int]) -> str:
    suggests = {
        str(place)
        for place, (*_, is_confirmed) in enumerate(RULES, start=1)
        if not is_confirmed
    }
    suggested = sum(rows for place, rows in by_place.items() if place in suggests)
    matched = sum(by_place.values()) - suggested
    return f"rules match {matched} more rows and suggest a match of {suggested}"


def _table(told: Sequence[dict[str, str]]) -> list[str]:
    numbers = Counter(row["mismatch_type"] for row in told)
    head = _line("mismatch", "", "amount", "the first of them")
    lines = [head, "-" * (len(head) + 20)]
    for kind, number in sorted(numbers.items()):
        own = [row for row in told if row["mismatch_type"] == kind]
        amount = sum(Decimal(row["amount"]) for row in own)
        lines.append(_line(kind, number, f"{amount:,.2f}", own[0]["notes"]))
    return lines


def links(base_url: str, run: Any) -> list[str]:
    """Return where in the admin the run and its mismatches are."""
    screens = f"{base_url}/admin/reconciliation"
    return [
        f"the run           {screens}/run/{run['result']['run']}/change/",
        f"its mismatches    {screens}/reconciliation/?tenant__slug__exact={TENANT}",
        f"its schedule      {screens}/schedule/",
    ]


def _line(*cells: object) -> str:
    *first, last = cells
    pairs = zip(first, _WIDTHS, strict=True)
    text = " ".join(
        f"{cell!s:<{-width}}" if width < 0 else f"{cell!s:>{width}}"
        for cell, width in pairs
    )
    return f"{text}  {last}"
