"""Producers order reconciliations over HTTP."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tests.arrange import make_tenant, reread, run
from tests.integration.api import assert_problem, client_of, places
from tests.integration.two_sides import ENDS, STARTS, arrive, make_profile, ours

pytestmark = pytest.mark.django_db(transaction=True)

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


def soon() -> str:
    return (timezone.now() + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        ({"profile": "other"}, "/profile", "unknown_profile"),
        ({"profile": None}, "/profile", "null"),
        ({"starts_at": "2026-01-15T00:00:00"}, "/starts_at", "offset_required"),
        ({"ends_at": PERIOD["starts_at"]}, "/ends_at", "ends_early"),
        ({"rules": [{"key": "colour"}]}, "/rules", "unknown_rule"),
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
    assert places(assert_problem(response, 400)) == {"/profile": "unknown_profile"}
