"""Ranges of references that lie in the table in order, and what is beside them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from reconciliation import handlers, opening, ranges
from reconciliation.models import Reconciliation
from reconciliation.scope import Range
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.two_sides import (
    ENDS,
    STARTS,
    Row,
    arrive,
    drive,
    make_profile,
    ours,
    runs,
    theirs,
)

pytestmark = pytest.mark.django_db

Opened = list[Range]
BEFORE = STARTS - timedelta(days=9)


@pytest.fixture(autouse=True)
def profile() -> None:
    make_tenant("t1")
    make_profile()


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "ROWS_IN_ORDER", 2)
    monkeypatch.setattr(ranges, "_REACH", 0)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The ranges of references that were read."""
    found: Opened = []

    def noting(scope: Any, terms: Any, keys: Range) -> opening.Counted:
        found.append(keys)
        return opening.open_range(scope, terms, keys)

    monkeypatch.setattr(handlers, "open_range", noting)
    return found


@pytest.fixture
def lies_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever pages other tests have left free."""
    monkeypatch.setattr(ranges, "_is_in_order", lambda *_: True)


@pytest.fixture
def narrow(lies_in_order: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples that miss the first third of the references, and the last."""
    cut = ranges._cuts

    def cut_narrowly(*values: Any) -> tuple[int, list[str]]:
        count, found = cut(*values)
        third = len(found) // 3
        least, most = found[third], found[-third]
        return count, [min(max(key, least), most) for key in found]

    monkeypatch.setattr(ranges, "_cuts", cut_narrowly)


def pairs(numbers: range, **values: Any) -> list[Row]:
    """Return a row of each side for each number."""
    sides: tuple[Callable[..., Row], ...] = (ours, theirs)
    return [side(f"R{n:02}", **values) for side in sides for n in numbers]


def found() -> list[tuple[str, str | None]]:
    """Return the type and the reference of each mismatch."""
    with all_tenants(reason="test"):
        told = Reconciliation.objects.values_list("mismatch_type", "key")
        return sorted(told, key=str)


@pytest.mark.usefixtures("lies_in_order")
def test_ranges_beside_are_not_read_once_all_rows_are_seen(opened: Opened):
    arrive(*pairs(range(20, 29), at=BEFORE), *pairs(range(70, 79), at=BEFORE))
    arrive(*pairs(range(40, 49)), ours("R50"), ours(None), theirs("R30"))
    drive()
    assert [keys.is_in_order for keys in opened] == [True] * len(opened)
    assert len(opened) > 2
    assert found() == [
        ("missing_external", "R50"),
        ("missing_external", None),
        ("missing_internal", "R30"),
    ]
    assert runs()[0].counts["plain"] == 9


@pytest.mark.usefixtures("narrow")
def test_rows_that_no_sample_showed_are_found_beside(opened: Opened):
    arrive(*pairs(range(10, 40)), ours("R01"), theirs("R99"), ours(None))
    drive()
    assert {keys.is_in_order for keys in opened} == {True, False}
    assert found() == [
        ("missing_external", "R01"),
        ("missing_external", None),
        ("missing_internal", "R99"),
    ]
    assert runs()[0].counts["plain"] == 30


@pytest.mark.usefixtures("narrow")
def test_late_rows_without_a_reference_do_not_stand_for_rows_unseen():
    arrive(*pairs(range(10, 40), at=BEFORE))
    drive(starts=BEFORE, ends=BEFORE + timedelta(days=1))
    # As many as there are rows of the day that no sample shows.
    late = [ours(None, at=BEFORE + timedelta(hours=1)) for _ in range(37)]
    arrive(*late, *pairs(range(41, 71)), ours("R40"))
    drive()
    assert ("missing_external", "R40") in found()


@pytest.mark.usefixtures("lies_in_order")
def test_an_answer_of_the_day_before_is_no_row_of_the_period(opened: Opened):
    arrive(
        *pairs(range(10, 20)),
        ours("R30"),
        theirs("R30", at=STARTS - timedelta(hours=1)),
    )
    drive()
    assert {keys.is_in_order for keys in opened} == {True}
    assert runs()[0].counts["rows"] == 21


def test_references_that_start_again_every_day_are_read_by_time(opened: Opened):
    for days in range(1, 4):
        arrive(*pairs(range(10, 20), at=STARTS - timedelta(days=days)))
    arrive(*pairs(range(10, 20)))
    drive()
    assert {keys.is_in_order for keys in opened} == {False}


@pytest.mark.parametrize("is_in_order", [True, False], ids=["in order", "by time"])
def test_each_moment_is_of_one_period(
    is_in_order: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ranges, "_is_in_order", lambda *_: is_in_order)
    moment = timedelta(microseconds=1)
    moments = {
        "before": STARTS - moment,
        "first": STARTS,
        "last": ENDS - moment,
        "behind": ENDS,
    }
    arrive(*pairs(range(10, 20)))
    for reference, at in moments.items():
        arrive(ours(reference, at=at), ours(None, at=at))
    drive()
    assert [key for _, key in found()] == ["first", "last", None, None]
    assert runs()[0].counts["rows"] == 24
    drive(starts=ENDS, ends=ENDS + timedelta(days=1))
    assert [key for _, key in found()] == ["behind", "first", "last", *[None] * 3]
    assert runs()[1].counts["rows"] == 2
