"""How PostgreSQL goes about a pass over references: nothing grows with their square."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from reconciliation import ranges
from tests.arrange import make_tenant
from tests.integration.two_sides import arrive, drive, make_profile, ours, theirs

pytestmark = pytest.mark.django_db

Node = dict[str, Any]


@pytest.fixture(params=[True, False], ids=["in order", "by time"])
def plans(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[Node]]:
    """The plan of each pass, as it was carried out."""
    monkeypatch.setattr(ranges, "ROWS_IN_ORDER", 2)
    monkeypatch.setattr(ranges, "_is_in_order", lambda *_: request.param)
    found: list[Node] = []

    def explaining(
        execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any
    ) -> Any:
        if sql.lstrip().startswith("WITH grouped"):
            cursor = context["cursor"].cursor
            cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params)
            found.append(cursor.fetchone()[0][0]["Plan"])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explaining):
        yield found


def nodes(plan: Node) -> Iterator[Node]:
    """Yield a plan's nodes from its top down."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


def test_references_that_are_kept_are_joined_set_by_set(plans: list[Node]):
    make_tenant("t1")
    make_profile()
    arrive(*(side(f"R{n}") for side in (ours, theirs) for n in range(9)))
    drive()
    assert plans
    for plan in plans:
        found = list(nodes(plan))
        joined = {node["Node Type"] for node in found if "Join Type" in node}
        assert joined
        assert joined <= {"Hash Join", "Merge Join"}
        # One that is asked anew for every reference.
        assert "SubPlan" not in {node.get("Parent Relationship") for node in found}
