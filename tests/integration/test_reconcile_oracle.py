"""The engine in PostgreSQL finds what an oracle in plain Python finds, on any rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import starmap
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.reconcile import generator
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


# Rows that only their ids tell apart: of which is matched, and which beside.
SAME: dict[str, list[Any]] = {
    **ALIKE,
    "source_txn_id": ["S1"],
    "account_id": ["A1"],
    "status": ["SUCCESS"],
}
EQUAL = st.lists(
    movements(**{**SAME, "amount": ["10.00"], "at": MOMENTS[:1]}),
    min_size=5,
    max_size=8,
)


@st.composite
def sums(draw: st.DrawFn) -> list[Movement]:
    """Return a row, and rows of the other side that add up to it, on some days."""
    one = draw(st.sampled_from(Side))
    (many,) = set(Side) - {one}
    count = draw(st.integers(2, 3))
    usual = {**SAME, "at": [MOMENTS[3], MOMENTS[4], *MOMENTS[5:]]}
    whole = movements(**{**usual, "side": [one], "amount": [f"{count}0.00"]})
    part = movements(**{**usual, "side": [many], "amount": ["10.00"]})
    parts = st.lists(part, min_size=count, max_size=count)
    return [draw(whole), *draw(parts)]


SUMMING = st.builds(
    lambda terms, *rules: replace(terms, rules=rules),
    TERMS,
    FIRST_RULES,
    *(
        st.builds(
            Rule,
            key=st.sampled_from([Key.REFERENCE, Key.ID]),
            shape=st.just(shape),
            days=st.integers(0, 2),
        )
        for shape in (Shape.ONE_TO_MANY, Shape.MANY_TO_ONE)
    ),
)
CASES = st.one_of(
    st.tuples(ROWS, TERMS),
    st.tuples(ROWS, TERMS),
    st.tuples(EQUAL, TERMS),
    st.tuples(sums(), SUMMING),
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
@given(case=CASES)
def test_the_engine_agrees_with_the_oracle(case: tuple[list[Movement], Terms]):
    rows, terms = case
    as_of = NOON + timedelta(days=5)
    with taken_back():
        make_tenant("t1")
        with tenant_scope("t1"):
            stored = store(rows)
            found = engine(terms, as_of)
        assert found == reconcile(stored, terms, as_of=as_of)


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32))
def test_the_engine_finds_what_was_planted(seed: int):
    grown = generator.garden(seed)
    with taken_back():
        make_tenant("t1")
        with tenant_scope("t1"):
            stored = store(grown.rows)
            found = engine(generator.TERMS, generator.AS_OF)
        # The rows were written in the order of their places.
        first = stored[0].id - 1
        assert found == _moved(grown.planted, first)
        assert found == reconcile(stored, generator.TERMS, as_of=generator.AS_OF)


def _moved(planted: Outcome, by: int) -> Outcome:
    """Return what was planted, with ids that are so much higher."""

    def told(mismatch: Mismatch) -> Mismatch:
        sides = (mismatch.internal, mismatch.external)
        return Mismatch(mismatch.type, *(row and row + by for row in sides))

    def matched(match: Match) -> Match:
        sides = (match.internal, match.external)
        return Match(match.rule, *(tuple(row + by for row in side) for side in sides))

    return Outcome(
        set(map(matched, planted.matches)), set(map(told, planted.mismatches))
    )


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
        tenant_id="t1", name="x", internal_sources=["LEDGER"], external_sources=["UPI"]
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
        holder_id=run.pk,
        profile_id=profile.pk,
        tenant="t1",
        files=files,
        starts=STARTS,
        ends=ENDS,
    )
    found_in = period_ranges(scope, terms, rows=1)
    plain = sum(opening.open_range(scope, terms, one).plain for one in found_in)
    opening.open_without_key(scope, terms, is_fresh=False)
    passes.apply_rules(scope, terms)
    telling.tell(scope, terms, as_of=as_of)
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
