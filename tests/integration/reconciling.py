"""What tests of reconciliation start from: profiles, rows of two sides, mismatches."""

from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import count
from typing import Any

from django.contrib.auth.models import Permission, User

from ingestion.models import IngestedFile, Transaction
from reconciliation.models import (
    Match,
    MatchRow,
    MatchRule,
    MismatchEvent,
    Profile,
    Reconciliation,
)
from tenants.scoping import all_tenants
from tests.arrange import PASSWORD, make_file, make_job, make_transaction

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
DAY = date(2026, 4, 1)
OURS, THEIRS = "LEDGER", "UPI"

_numbers = count(1)


def make_profile(tenant: str = "t1", **values: Any) -> Profile:
    """Create a profile of the ledger against UPI, with one rule by reference."""
    with all_tenants(reason="test"):
        profile: Profile = Profile.objects.create(
            **{
                "tenant_id": tenant,
                "name": "upi",
                "internal_sources": [OURS],
                "external_sources": [THEIRS],
                "time_zone": "UTC",
                **values,
            }
        )
        MatchRule.objects.create(tenant_id=tenant, profile=profile, place=1)
    return profile


def make_row(profile: Profile, source: str, **values: Any) -> Transaction:
    """Create a transaction of one of the profile's sources."""
    number = next(_numbers)
    name = f"{source}:{number}"
    return make_transaction(
        _file_of(profile.tenant_id, source),
        **{
            "source": source,
            "txn_id": name,
            "source_txn_id": name,
            "reference_id": f"R{number}",
            "amount": Decimal(100),
            "txn_timestamp": NOON,
            **values,
        },
    )


def make_pair(
    profile: Profile, *, theirs: dict[str, Any] | None = None, **values: Any
) -> tuple[Transaction, Transaction]:
    """Create a row of each side that are alike but for what is given of theirs."""
    values.setdefault("reference_id", f"R{next(_numbers)}")
    one = make_row(profile, OURS, **values)
    return one, make_row(profile, THEIRS, **{**values, **(theirs or {})})


def make_mismatch(
    profile: Profile,
    ours: Transaction | None = None,
    theirs: Transaction | None = None,
    **values: Any,
) -> Reconciliation:
    """Create a mismatch of these rows, as a run would have found it."""
    row = ours or theirs
    kind = "missing_internal" if ours is None else "missing_external"
    given: dict[str, Any] = {
        "tenant_id": row.tenant_id if row else "t1",
        "profile": profile,
        "mismatch_type": "amount" if ours and theirs else kind,
        "internal_id": ours and ours.pk,
        "external_id": theirs and theirs.pk,
        "internal_txn_id": ours and ours.txn_id,
        "external_txn_id": theirs and theirs.txn_id,
        "key": row and row.reference_id,
        "day": DAY,
        "amount": row.amount if row else Decimal(100),
        "difference": Decimal(1),
        "currency": "INR",
        "notes": "100 here, 99 there: 1 INR apart",
        **values,
    }
    with all_tenants(reason="test"):
        made: Reconciliation = Reconciliation.objects.create(**given)
        MismatchEvent.objects.create(
            tenant_id=made.tenant_id, mismatch=made, actor="run 1", action="found"
        )
    return made


def make_mismatches(profile: Profile, number: int, **values: Any) -> list[int]:
    """Create many mismatches of one row each, without rows; returns their ids."""
    with all_tenants(reason="test"):
        made = Reconciliation.objects.bulk_create(
            Reconciliation(
                **{
                    "tenant_id": profile.tenant_id,
                    "profile": profile,
                    "mismatch_type": "missing_external",
                    "internal_id": 1_000_000 + next(_numbers),
                    "internal_txn_id": "LEDGER:x",
                    "day": DAY,
                    "amount": Decimal("2.50"),
                    "difference": Decimal("2.50"),
                    "currency": "INR",
                    **values,
                }
            )
            for _ in range(number)
        )
    return [row.pk for row in made]


def make_match(profile: Profile, *rows: Transaction, **values: Any) -> Match:
    """Create a match of these rows, suggested by rule 2 unless told otherwise."""
    tenant = profile.tenant_id
    given = {"tenant_id": tenant, "profile": profile, "rule": 2, "state": "suggested"}
    with all_tenants(reason="test"):
        match: Match = Match.objects.create(**{**given, **values})
        for row in rows:
            MatchRow.objects.create(
                tenant_id=tenant,
                match=match,
                profile_id=profile.pk,
                transaction_id=row.pk,
                txn_id=row.txn_id,
                side="I" if row.source == OURS else "E",
                key=row.reference_id,
                is_live=match.state == "confirmed",
            )
    return match


def make_person(username: str, *codes: str) -> User:
    """Create a person of the staff with those permissions."""
    person = User.objects.create_user(username, password=PASSWORD, is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=codes))
    return person


def again(mismatch: Reconciliation) -> Reconciliation:
    """Return the mismatch as it is now."""
    with all_tenants(reason="test"):
        found: Reconciliation = Reconciliation.objects.get(pk=mismatch.pk)
    return found


def history(mismatch: Reconciliation) -> list[tuple[str, str, str]]:
    """Return who did what to a mismatch, and what they said, in order."""
    with all_tenants(reason="test"):
        events = MismatchEvent.objects.filter(mismatch=mismatch).order_by("pk")
        return list(events.values_list("actor", "action", "text"))


def _file_of(tenant: str, source: str) -> IngestedFile:
    with all_tenants(reason="test"):
        file = IngestedFile.objects.filter(tenant_id=tenant, source=source).first()
    if file is not None:
        found: IngestedFile = file
        return found
    job = make_job(tenant)
    return make_file(tenant, job=job, source=source, path=f"in/{source}.csv")
