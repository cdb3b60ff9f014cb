"""Runs file by file come to what one run over everything comes to, killed or not."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.reconcile import generator
from benchmarks.reconcile.oracle import Movement
from reconciliation import ranges
from reconciliation.matching import Side
from reconciliation.models import Reconciliation
from reconciliation.terms import rule_json
from tenants.scoping import tenant_scope
from tests.arrange import make_tenant
from tests.integration.two_sides import (
    ENDS,
    STARTS,
    Row,
    arrive,
    drive,
    make_profile,
    ours,
    standing,
    theirs,
)

pytestmark = pytest.mark.django_db

RULES: list[list[dict[str, Any]]] = [
    [{}],
    [{"amount": "0.50"}, {"shape": "one_to_many"}, {"shape": "many_to_one", "days": 2}],
]
ROWS = st.builds(
    Row,
    source=st.sampled_from(["LEDGER", "UPI"]),
    reference=st.sampled_from(["R1", "R1", "R2", "R3", "R4", "R5", None]),
    amount=st.sampled_from(["10.00", "10.00", "10.50", "20.00"]),
    status=st.sampled_from(["SUCCESS", "SUCCESS", "SUCCESS", "PENDING", "FAILED"]),
    account=st.none(),
    currency=st.just("INR"),
    at=st.sampled_from(
        [STARTS, STARTS + timedelta(hours=6), ENDS - timedelta(seconds=1)]
    ),
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


def told(tenant: str, names: Sequence[tuple[int, Any]]) -> set[tuple[Any, ...]]:
    """Return what stands of a tenant, by names that its rows share with others'."""
    name = dict(names)
    with tenant_scope(tenant):
        found = Reconciliation.objects.exclude(state="closed")
        return {
            (r.mismatch_type, name.get(r.internal_id), name.get(r.external_id))
            for r in found
        }


@pytest.fixture(autouse=True, scope="module", params=["by time", "in order"])
def small_ranges(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ROWS_OF_A_RANGE", "ROWS_LOOKED_UP"):
            patch.setattr(ranges, name, 2)
        if request.param == "in order":
            patch.setattr(ranges, "ROWS_IN_ORDER", 1)
            patch.setattr(ranges, "_REACH", 0)
            # Where rows come to lie depends on what other tests left.
            patch.setattr(ranges, "_is_in_order", lambda *_: True)
        yield


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(
    batches=st.lists(st.lists(ROWS, min_size=1, max_size=5), min_size=1, max_size=3),
    rules=st.sampled_from(RULES),
    dice=st.randoms(use_true_random=False),
)
def test_file_by_file_is_as_all_at_once(
    batches: list[list[Row]], rules: list[dict[str, Any]], dice: random.Random
):
    with taken_back():
        for tenant in ("whole", "parts"):
            make_tenant(tenant)
            make_profile(*rules, tenant=tenant)
        # Ids follow each other alike in both: ties are broken by them.
        whole: list[int] = []
        for batch in batches:
            whole += arrive(*batch, tenant="whole")
        drive("whole")
        parts: list[int] = []
        for batch in batches:
            parts += arrive(*batch, tenant="parts")
            drive("parts", dice=dice)
        wanted = told("whole", [(pk, n) for n, pk in enumerate(whole)])
        assert told("parts", [(pk, n) for n, pk in enumerate(parts)]) == wanted
        before = told("whole", [])
        assert drive("whole", dice=dice)["found"] == 0
        assert told("whole", []) == before


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), dice=st.randoms(use_true_random=False))
def test_a_run_in_many_ranges_tells_what_was_planted(seed: int, dice: random.Random):
    grown = generator.garden(seed)
    with taken_back():
        make_tenant("t1")
        make_profile(*map(rule_json, generator.TERMS.rules), fee_percent="2")
        ids = arrive(*map(_row, grown.rows))
        drive(dice=dice, ends=STARTS + timedelta(days=20), now=generator.AS_OF)
        found = {mismatch[:3] for mismatch in standing()}
        place = {pk: number for number, pk in enumerate(ids, start=1)}
        assert {
            (kind, place.get(one or 0), place.get(other or 0))
            for kind, one, other in found
        } == set(grown.planted.mismatches)


def _row(row: Movement) -> Row:
    source = "LEDGER" if row.side is Side.INTERNAL else "UPI"
    return Row(
        source,
        row.reference_id,
        str(row.amount),
        row.status,
        row.account_id,
        row.at,
        row.currency,
    )


def test_a_killed_run_says_what_an_undisturbed_one_says():
    for tenant in ("calm", "killed"):
        make_tenant(tenant)
        make_profile({}, {"key": "account_id", "is_confirmed": False}, tenant=tenant)
        for n in range(40):
            arrive(
                ours(f"R{n}", account=f"A{n}"),
                theirs(f"R{n}" if n % 3 else None, "10.00", account=f"A{n}"),
                theirs(f"R{n}", f"{10 + n % 5}.00"),
                tenant=tenant,
            )
    calm = drive("calm")
    killed = drive("killed", dice=random.Random(7))
    assert {**calm, "run": 0} == {**killed, "run": 0}
    assert len(told("calm", [])) == len(told("killed", [])) > 0
