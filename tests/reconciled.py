"""Profiles, runs and mismatches that tests start from."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from reconciliation.models import FileDay, MatchRule, Profile, Reconciliation, Run
from reconciliation.terms import terms_json, terms_of
from tenants.scoping import all_tenants

DAY = date(2026, 1, 15)
#: Midnight in India before that day.
STARTS = datetime(2026, 1, 14, 18, 30, tzinfo=UTC)


def make_profile(tenant: str, *, rules: int = 1, **values: Any) -> Profile:
    """Create a profile with so many rules, each of which allows a day more."""
    said = {
        "name": "UPI",
        "internal_sources": ["LEDGER"],
        "external_sources": ["UPI"],
        **values,
    }
    with all_tenants(reason="test"):
        profile: Profile = Profile.objects.create(tenant_id=tenant, **said)
        for place in range(1, rules + 1):
            MatchRule.objects.create(
                tenant_id=tenant, profile=profile, place=place, days=place
            )
    return profile


def make_run(profile: Profile, **values: Any) -> Run:
    """Create a run of `DAY` that is done."""
    with all_tenants(reason="test"):
        said = {
            "period_starts_at": STARTS,
            "period_ends_at": STARTS + timedelta(days=1),
            "as_of": STARTS + timedelta(days=1),
            "file_ids": [],
            "terms": terms_json(terms_of(profile)),
            "state": "done",
            "finished_at": STARTS + timedelta(days=2),
            "counts": {
                "rows": 1000,
                "plain": 480,
                "plain_amount": "4800.00",
                "opened": 40,
                "unmatched": 30,
                "matched": {"1": 10},
                "mismatches": {"amount": 4, "missing_external": 26},
                "found": 30,
                "closed": 2,
            },
            **values,
        }
        run: Run = Run.objects.create(
            tenant_id=profile.tenant_id, profile=profile, **said
        )
    return run


def make_mismatch(profile: Profile, **values: Any) -> Reconciliation:
    """Create an open mismatch of `DAY`."""
    said = {
        "mismatch_type": "amount",
        "day": DAY,
        "amount": Decimal(100),
        "difference": Decimal(1),
        "currency": "INR",
        **values,
    }
    with all_tenants(reason="test"):
        made: Reconciliation = Reconciliation.objects.create(
            tenant_id=profile.tenant_id, profile=profile, **said
        )
    return made


def make_file_day(profile: Profile, file_id: int, **values: Any) -> FileDay:
    """Say what a file brought of `DAY`."""
    said = {
        "day": DAY,
        "side": "I",
        "currency": "INR",
        "rows": 10,
        "amount": Decimal(1000),
        **values,
    }
    with all_tenants(reason="test"):
        made: FileDay = FileDay.objects.create(
            tenant_id=profile.tenant_id, profile=profile, file_id=file_id, **said
        )
    return made
