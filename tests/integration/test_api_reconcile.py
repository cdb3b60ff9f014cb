"""Producers order reconciliations over HTTP."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from reconciliation.matching import Rule
from reconciliation.terms import rule_json
from tests.arrange import make_tenant, reread, run
from tests.integration.api import assert_problem, client_of, places
from tests.integration.two_sides import (
    ENDS,
    STARTS,
    arrive,
    make_profile,
    ours,
    theirs,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROOT = Path(__file__).parents[2]
RECONCILE = "/enqueue/reconcile"
PERIOD = {"starts_at": STARTS.isoformat(), "ends_at": ENDS.isoformat()}
BODY: dict[str, Any] = {"tenant_id": "t1", "profile": "upi", **PERIOD}


def test_a_reconciliation_is_ordered_and_run():
    make_tenant("t1")
    make_profile()
    arrive(ours("R1"))
    response = client_of("t1").post(RECONCILE, BODY, format="json")
    assert response.status_code == 202, response.content
    job = run(reread(response.json()["id"]))
    assert (job.state, job.result["mismatches"]) == (
        "succeeded",
        {"missing_external": 1},
    )


def test_rules_to_try_may_leave_out_what_is_usual():
    make_tenant("t1")
    make_profile()
    arrive(ours("R1", "10.00"), theirs("R1", "10.40"))
    body = {**BODY, "rules": [{"amount": "0.50"}]}
    response = client_of("t1").post(RECONCILE, body, format="json")
    assert response.status_code == 202, response.content
    job = run(reread(response.json()["id"]))
    assert job.payload["rules"] == [rule_json(Rule(amount=Decimal("0.50")))]
    assert (job.result["plain"], job.result["mismatches"]) == (1, {})


def test_the_description_of_a_rule_has_all_its_parts_and_what_is_usual():
    written = json.loads((ROOT / "docs" / "openapi.json").read_text())
    body = written["components"]["schemas"]["ReconcileInput"]
    parts = body["properties"]["rules"]["items"]["properties"]
    assert {name: part["default"] for name, part in parts.items()} == rule_json(Rule())


def soon() -> str:
    return (timezone.now() + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        ({"profile": "other"}, "/profile", "unknown_profile"),
        ({"profile": None}, "/profile", "null"),
        ({"starts_at": "2026-01-15T00:00:00"}, "/starts_at", "offset_required"),
        ({"ends_at": PERIOD["starts_at"]}, "/ends_at", "ends_early"),
        ({"rules": [{}, {"key": "colour"}]}, "/rules/1/key", "unknown_rule"),
        ({"rules": [{"colour": 1}]}, "/rules/0/colour", "unknown_rule"),
        ({"rules": ["reference_id"]}, "/rules/0", "unknown_rule"),
        ({"rules": []}, "/rules", "empty"),
        ({"until": "now"}, "/until", "unknown_field"),
    ],
)
def test_what_cannot_be_run_is_refused(changes: Any, place: str, code: str):
    make_tenant("t1")
    make_profile()
    response = client_of("t1").post(RECONCILE, {**BODY, **changes}, format="json")
    found = places(assert_problem(response, 400))
    assert found == {place: code}


def test_a_period_to_come_is_refused():
    make_tenant("t1")
    make_profile()
    later = (timezone.now() + timedelta(days=2)).isoformat()
    body = {**BODY, "starts_at": soon(), "ends_at": later}
    response = client_of("t1").post(RECONCILE, body, format="json")
    assert places(assert_problem(response, 400)) == {"/starts_at": "in_future"}


def test_a_profile_of_another_tenant_is_none():
    for tenant in ("t1", "t2"):
        make_tenant(tenant)
    make_profile(tenant="t2")
    response = client_of("t1").post(RECONCILE, BODY, format="json")
    problem = assert_problem(response, 400)
    assert places(problem) == {"/profile": "unknown_profile"}
    assert problem["errors"][0]["detail"] == (
        "There is no profile 'upi', nor any other: make one in the admin."
    )


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (2, "there are: p00, p01."),
        (12, "there are: p00, p01, p02, p03, p04, p05, p06, p07, p08, p09 and 2 more."),
    ],
)
def test_which_profiles_there_are_is_told(count: int, told: str):
    make_tenant("t1")
    for number in reversed(range(count)):
        make_profile(name=f"p{number:02}")
    response = client_of("t1").post(RECONCILE, BODY, format="json")
    (flaw,) = assert_problem(response, 400)["errors"]
    assert flaw["detail"] == f"There is no profile 'upi'; {told}"
