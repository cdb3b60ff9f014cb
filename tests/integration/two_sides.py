"""Two sides that arrive file by file, and what runs find of them."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, NamedTuple
from uuid import uuid4

from ingestion.models import IngestedFile, Transaction
from jobs.handlers import Assignment, JSONDict
from jobs.models import Job
from reconciliation import handlers
from reconciliation.models import MatchRule, Profile, Reconciliation, Run
from reconciliation.runs import run_fail
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_job, run

#: A day in India.
STARTS = datetime(2026, 1, 14, 18, 30, tzinfo=UTC)
ENDS = STARTS + timedelta(days=1)
OURS, THEIRS = "LEDGER", "UPI"

_numbers = count(1)


class Row(NamedTuple):
    """A transaction of a side."""

    source: str
    reference: str | None
    amount: str = "10.00"
    status: str = "SUCCESS"
    account: str | None = None
    at: datetime = STARTS + timedelta(hours=6)
    currency: str = "INR"


def ours(*values: Any, **named: Any) -> Row:
    """Return a row of our side."""
    return Row(OURS, *values, **named)


def theirs(*values: Any, **named: Any) -> Row:
    """Return a row of theirs."""
    return Row(THEIRS, *values, **named)


def arrive(*rows: Row, tenant: str = "t1", **values: Any) -> list[int]:
    """Load a file for each side that has rows; returns the rows' ids, in order."""
    made: dict[int, int] = {}
    with tenant_scope(tenant):
        for source in sorted({row.source for row in rows}):
            here = [(n, row) for n, row in enumerate(rows) if row.source == source]
            file = IngestedFile.objects.create(
                tenant_id=tenant,
                source=source,
                path=f"{source}/{next(_numbers)}",
                size=1,
                rows=len(here),
                inserted=len(here),
                **{"state": "loaded", "loaded_at": ENDS, **values},
            )
            stored = Transaction.objects.bulk_create(
                _transaction(file, row) for _, row in here
            )
            made |= {n: one.pk for (n, _), one in zip(here, stored, strict=True)}
    return [made[n] for n in range(len(rows))]


def _transaction(file: IngestedFile, row: Row) -> Transaction:
    number = next(_numbers)
    return Transaction(
        tenant_id=file.tenant_id,
        file=file,
        source=row.source,
        txn_id=f"{row.source}:{number}",
        source_txn_id=f"S{number}",
        reference_id=row.reference,
        account_id=row.account,
        amount=Decimal(row.amount),
        currency=row.currency,
        direction="C",
        status=row.status,
        txn_timestamp=row.at,
        raw_row={},
        row_hash=b"",
    )


def make_profile(
    *rules: dict[str, Any], tenant: str = "t1", name: str = "upi", **values: Any
) -> Profile:
    """Create a profile with these rules; without any, of equal references."""
    with tenant_scope(tenant):
        profile: Profile = Profile.objects.create(
            tenant_id=tenant,
            name=name,
            **{"internal_sources": [OURS], "external_sources": [THEIRS], **values},
        )
        set_rules(profile, *(rules or ({},)))
    return profile


def set_rules(profile: Profile, *rules: dict[str, Any]) -> None:
    """Give a profile these rules in the place of those it has."""
    with tenant_scope(profile.tenant_id):
        MatchRule.objects.filter(profile=profile).delete()
        MatchRule.objects.bulk_create(
            MatchRule(tenant_id=profile.tenant_id, profile=profile, place=place, **rule)
            for place, rule in enumerate(rules, start=1)
        )


def order(
    *,
    tenant: str = "t1",
    profile: str = "upi",
    starts: datetime = STARTS,
    ends: datetime = ENDS,
    rules: Sequence[dict[str, Any]] | None = None,
) -> Job:
    """Return a queued job that reconciles a period."""
    payload: dict[str, Any] = {
        "profile": profile,
        "starts_at": starts.isoformat(),
        "ends_at": ends.isoformat(),
    }
    if rules is not None:
        payload["rules"] = list(rules)
    return make_job(tenant, kind="reconcile", payload=payload)


def reconcile(**values: Any) -> dict[str, Any]:
    """Run a reconciliation to its end; returns its result."""
    job = run(order(**values))
    assert job.state == "succeeded", job.error
    return job.result or {}


def drive(
    tenant: str = "t1",
    *,
    dice: random.Random | None = None,
    stops_at: str = "",
    dies_at: str = "",
    now: datetime = ENDS + timedelta(days=9),
    job: Job | None = None,
    state: JSONDict | None = None,
    **values: Any,
) -> JSONDict:
    """Run a reconciliation step by step, without workers and commits.

    With dice, it is killed now and then and goes on. At the phase where it stops, its
    checkpoint is returned; where it dies, its job is given up as well.
    """
    job = job or order(tenant=tenant, **values)
    while True:
        steps = handlers.reconcile(_assignment(job, state, now))
        try:
            step = next(steps)
            while True:
                with tenant_scope(tenant):
                    checkpoint = step()
                    if checkpoint.state["phase"] == dies_at:
                        run_fail(job.pk)
                state = json.loads(json.dumps(checkpoint.state))
                if checkpoint.state["phase"] in (stops_at, dies_at):
                    return dict(checkpoint.state)
                if dice is not None and dice.random() < 0.3:
                    break
                step = steps.send(checkpoint)
        except StopIteration as end:
            return dict(end.value)


def _assignment(job: Job, state: JSONDict | None, now: datetime) -> Assignment:
    return Assignment(
        job_id=job.pk,
        tenant=job.tenant_id,
        attempt_id=uuid4().int % 1_000_000,
        kind="reconcile",
        payload=job.payload,
        checkpoint=state,
        now=now,
    )


def standing(**wanted: Any) -> set[tuple[str, int | None, int | None, str]]:
    """Return type, rows and state of all mismatches, but for closed ones."""
    with all_tenants(reason="test"):
        found = Reconciliation.objects.exclude(state="closed").filter(**wanted)
        return set(
            found.values_list("mismatch_type", "internal_id", "external_id", "state")
        )


def runs() -> list[Run]:
    """Return all runs in their order."""
    with all_tenants(reason="test"):
        return list(Run.objects.order_by("pk"))
