"""The engine in PostgreSQL finds what an oracle in plain Python finds, on any rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import starmap
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.reconcile.oracle import Match, Mismatch, Movement, Outcome, reconcile
from ingestion.models import IngestedFile, Transaction
from reconciliation import opening, passes, telling
from reconciliation.matching import Fee, Key, Rule, Shape, Side, Terms
from reconciliation.models import Finding, OpenRow, Profile, Run
from reconciliation.ranges import period_ranges
from reconciliation.scope import Scope
from tenants.scoping import tenant_scope
from tests.arrange import make_tenant

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 1, 15, 6, 30, tzinfo=UTC)
STARTS, ENDS = NOON - timedelta(days=30), NOON + timedelta(days=30)
SOURCES = {Side.INTERNAL: "LEDGER", Side.EXTERNAL: "UPI"}

MOMENTS = [
    NOON,
    NOON + timedelta(seconds=1),
    NOON - timedelta(hours=7),
    # The last second of a day in India and the first one of the next.
    datetime(2026, 1, 14, 18, 29, 59, tzinfo=UTC),
    datetime(2026, 1, 14, 18, 30, tzinfo=UTC),
    datetime(2026, 1, 17, 6, tzinfo=UTC),  # a Saturday
    datetime(2026, 1, 19, 6, tzinfo=UTC),
]


def movements(**narrowed: list[Any]) -> st.SearchStrategy[Movement]:
    """Return rows whose values come from these; the fewer, the more rows meet."""
    choices: dict[str, list[Any]] = {
        "side": list(Side),
        "reference_id": ["R1", "R1", "R2", None],
        "source_txn_id": ["S1", "S2"],
        "account_id": ["A1", None],
        "amount": ["10.00", "10.01", "9.80", "20.00", "30.00", "5.00"],
        "currency": ["INR", "INR", "INR", "USD"],
        "direction": ["C", "D"],
        "status": ["SUCCESS", "SUCCESS", "SUCCESS", "PENDING", "FAILED", "REVERSED"],
        "at": MOMENTS,
        **narrowed,
    }
    parts = {name: st.sampled_from(values) for name, values in choices.items()}
    parts["amount"] = parts["amount"].map(Decimal)
    return st.builds(Movement, id=st.just(0), **parts)


ALIKE = {
    "reference_id": ["R1"],
    "currency": ["INR"],
    "direction": ["C"],
    "amount": ["10.00", "9.80"],
}
ROWS = st.one_of(
    st.lists(movements(), max_size=8),
    st.lists(movements(**ALIKE), max_size=6),
    st.lists(movements(**ALIKE, status=["SUCCESS"]), max_size=6),
    st.lists(movements(**ALIKE, status=["SUCCESS"], at=MOMENTS[:1]), max_size=6),
    st.lists(movements(reference_id=["R1", "R2"], status=["SUCCESS"]), max_size=12),
    st.lists(movements(reference_id=[None], account_id=["A1"], status=["SUCCESS"])),
)
RULES = st.builds(
    Rule,
    key=st.sampled_from(Key),
    shape=st.sampled_from(Shape),
    amount=st.sampled_from(["0", "0.01", "0.50"]).map(Decimal),
    percent=st.sampled_from(["0", "5"]).map(Decimal),
    days=st.integers(0, 2),
    is_business_days=st.booleans(),
    is_less_fee=st.booleans(),
    is_confirmed=st.booleans(),
)
FIRST_RULES = st.builds(
    Rule,
    key=st.sampled_from([Key.REFERENCE, Key.ID]),
    amount=st.sampled_from(["0", "0.01"]).map(Decimal),
    days=st.integers(0, 2),
    is_business_days=st.booleans(),
)
TERMS = st.builds(
    Terms,
    internal=st.just(["LEDGER"]),
    external=st.just(["UPI"]),
    rules=st.builds(
        lambda first, more: [first, *more], FIRST_RULES, st.lists(RULES, max_size=3)
    ),
    zone=st.sampled_from(["Asia/Kolkata", "America/New_York"]).map(ZoneInfo),
    cutoff=st.sampled_from([time(0), time(18)]),
    fee=st.sampled_from([None, Fee(percent=Decimal(2))]),
    stale_after=st.sampled_from([timedelta(hours=1), timedelta(days=10)]),
)


class RolledBackError(Exception):
    """Takes an example's rows back."""


@contextmanager
def taken_back() -> Iterator[None]:
    try:
        with transaction.atomic():
            yield
            raise RolledBackError
    except RolledBackError:
        pass


@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(rows=ROWS, terms=TERMS)
def test_the_engine_agrees_with_the_oracle(rows: list[Movement], terms: Terms):
    as_of = NOON + timedelta(days=5)
    with taken_back():
        make_tenant("t1")
        with tenant_scope("t1"):
            stored = store(rows)
            found = engine(terms, as_of)
        assert found == reconcile(stored, terms, as_of=as_of)


def store(rows: list[Movement]) -> list[Movement]:
    """Write the rows; returns them with their ids."""
    file = IngestedFile.objects.create(
        tenant_id="t1", source="X", path="a", size=1, state="loaded"
    )
    made = Transaction.objects.bulk_create(
        Transaction(
            tenant_id="t1",
            file=file,
            source=SOURCES[row.side],
            txn_id=f"T{number}",
            row_hash=b"",
            raw_row={},
            source_txn_id=row.source_txn_id or "",
            reference_id=row.reference_id,
            account_id=row.account_id,
            amount=row.amount,
            currency=row.currency,
            direction=row.direction,
            status=row.status,
            txn_timestamp=row.at,
        )
        for number, row in enumerate(rows)
    )
    return [row._replace(id=one.pk) for row, one in zip(rows, made, strict=True)]


def engine(terms: Terms, as_of: datetime) -> Outcome:
    """Return what the engine finds, plain matches included."""
    files = list(IngestedFile.objects.values_list("pk", flat=True))
    profile = Profile.objects.create(
        tenant_id="t1", name="x", internal_sources=["A"], external_sources=["B"]
    )
    run = Run.objects.create(
        tenant_id="t1",
        profile=profile,
        period_starts_at=STARTS,
        period_ends_at=ENDS,
        as_of=as_of,
        file_ids=files,
        terms={},
    )
    scope = Scope(
        run_id=run.pk,
        profile_id=profile.pk,
        tenant="t1",
        files=files,
        starts=STARTS,
        ends=ENDS,
    )
    found_in = period_ranges(scope, terms, rows=1)
    plain = sum(opening.open_range(scope, terms, one).plain for one in found_in)
    opening.open_without_key(scope, terms, is_fresh=False)
    passes.apply_rules(run.pk, terms)
    telling.tell(run.pk, terms, as_of=as_of)
    found = Outcome()
    told = Finding.objects.values_list("mismatch_type", "internal_id", "external_id")
    found.mismatches = set(starmap(Mismatch, told))
    assert len(told) == len(found.mismatches)
    lots: dict[int, list[OpenRow]] = {}
    for row in OpenRow.objects.exclude(match=None).order_by("transaction_id"):
        lots.setdefault(row.match, []).append(row)
    for lot in lots.values():
        sides = [
            tuple(row.transaction_id for row in lot if row.side == side)
            for side in Side
        ]
        found.matches.add(Match(lot[0].rule or 0, *sides))
    found.matches |= plain_matches(terms)
    assert plain == len(plain_matches(terms))
    return found


def plain_matches(terms: Terms) -> set[Match]:
    """Return the matches of rows that were not opened."""
    opened = set(OpenRow.objects.values_list("transaction_id", flat=True))
    lots: dict[str, list[Transaction]] = {}
    for row in Transaction.objects.order_by("pk"):
        if row.pk not in opened:
            lots.setdefault(getattr(row, terms.primary), []).append(row)
    return {
        Match(
            1,
            tuple(row.pk for row in lot if row.source == "LEDGER"),
            tuple(row.pk for row in lot if row.source == "UPI"),
        )
        for lot in lots.values()
    }
