"""Moving mismatches: states, four eyes, races, many at once, and their history."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from reconciliation import mismatches
from reconciliation.lifecycle import ACTIVE, Reason
from reconciliation.mismatches import DeedError, Moved
from reconciliation.models import MismatchEvent, Profile, Reconciliation
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_tenant
from tests.integration.reconciling import (
    again,
    history,
    make_mismatch,
    make_mismatches,
    make_person,
    make_profile,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def profile() -> Profile:
    make_tenant("t1")
    return make_profile(needs_approval=True)


@pytest.fixture
def asha() -> User:
    return make_person("asha")


def do(name: str, rows: Any, *, by: str = "asha", **values: Any) -> Moved:
    """Call one of the services as platform staff."""
    service = getattr(mismatches, f"mismatches_{name}")
    with all_tenants(reason="test"):
        moved: Moved = service(rows=rows, by=by, now=timezone.now(), **values)
    return moved


def resolve(rows: Any, **values: Any) -> Moved:
    return do("resolve", rows, **{"reason": "rounding", **values})


# --- The way of one mismatch ----------------------------------------------------------


def test_a_mismatch_is_assigned_resolved_approved_and_reopened(
    profile: Profile, asha: User
):
    row = make_mismatch(profile)
    assert do("assign", row, assignee=asha, by="boss") == Moved(1, {})
    assert (again(row).state, again(row).assignee_id) == ("assigned", asha.pk)
    assert resolve(row, note="two paise") == Moved(1, {})
    found = again(row)
    assert (found.state, found.reason_code, found.resolved_by, found.assignee_id) == (
        *("resolved", "rounding", "asha"),
        asha.pk,
    )
    assert found.resolved_at is not None
    assert do("approve", row, by="ravi") == Moved(1, {})
    assert (again(row).state, again(row).approved_by) == ("approved", "ravi")
    assert do("reopen", row, why="the bank says no") == Moved(1, {})
    found = again(row)
    assert (found.state, found.reason_code, found.resolved_by, found.resolved_at) == (
        *("open", "", ""),
        None,
    )
    assert (found.approved_by, found.approved_at, found.assignee_id) == ("", None, None)
    assert history(row) == [
        ("run 1", "found", ""),
        ("boss", "assigned", "To asha."),
        ("asha", "resolved", "Rounding. two paise"),
        ("ravi", "approved", ""),
        ("asha", "reopened", "the bank says no"),
    ]


def test_an_assigned_one_goes_to_somebody_else_or_to_nobody(
    profile: Profile, asha: User
):
    row, ravi = make_mismatch(profile), make_person("ravi")
    do("assign", row, assignee=asha)
    assert do("assign", row, assignee=asha).left == {"theirs already": 1}
    assert do("assign", row, assignee=ravi).count == 1
    assert do("unassign", row).count == 1
    assert (again(row).state, again(row).assignee_id) == ("open", None)
    assert do("unassign", row) == Moved(0, {"open": 1})


@pytest.mark.parametrize("state", ["open", "closed", "approved"])
def test_a_note_leaves_the_state_as_it_is(profile: Profile, state: str):
    row = make_mismatch(profile, state=state, approved_by="ravi")
    assert do("note", row, note="asked the bank").count == 1
    assert again(row).state == state
    assert history(row)[-1] == ("asha", "noted", "asked the bank")


# --- What is refused ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"reason": ""}, "Choose a reason"),
        ({"reason": "whatever"}, "Choose a reason"),
        ({"reason": "matched"}, "matched by hand"),
        ({"reason": "other", "note": "  "}, "a note has to say why"),
        ({"reason": "written_off"}, "a note has to say why"),
        ({"note": "x" * 1_000}, "at most 1,000"),
        ({"by": ""}, "Somebody"),
    ],
)
def test_a_resolution_without_its_reason_is_refused(
    profile: Profile, values: dict[str, str], said: str
):
    row = make_mismatch(profile)
    with pytest.raises(DeedError, match=said):
        resolve(row, **values)
    assert again(row).state == "open"


@pytest.mark.parametrize("reason", [r for r in Reason if r is not Reason.MATCHED])
def test_every_other_reason_resolves(profile: Profile, reason: Reason):
    row = make_mismatch(profile)
    assert resolve(row, reason=reason.value, note="because").count == 1


@pytest.mark.parametrize("name", ["reopen", "note"])
def test_a_text_that_has_to_be_given(profile: Profile, name: str):
    row = make_mismatch(profile, state="resolved", resolved_by="ravi")
    with pytest.raises(DeedError, match="Say"):
        do(name, row, **{"why" if name == "reopen" else "note": " "})
    assert again(row).state == "resolved"


def test_nobody_approves_what_they_resolved(profile: Profile):
    row = make_mismatch(profile)
    resolve(row)
    assert do("approve", row).left == {"resolved by yourself": 1}
    assert again(row).state == "resolved"
    with all_tenants(reason="test"):
        rows = Reconciliation.objects.filter(pk=row.pk)
        refused = pytest.raises(IntegrityError, match="four_eyes")
        with refused, transaction.atomic():
            rows.update(state="approved", approved_by="asha")


def test_only_what_a_person_resolved_for_such_a_profile_is_approved(profile: Profile):
    by_rule = make_mismatch(profile, state="resolved")
    other = make_profile(name="free")
    free = make_mismatch(other, state="resolved", resolved_by="ravi")
    still_open = make_mismatch(profile, fault_id=7)
    rows = [by_rule.pk, free.pk, still_open.pk]
    assert do("approve", rows) == Moved(
        0,
        {"resolved by a rule": 1, "of a profile that needs no approval": 1, "open": 1},
    )


def test_what_a_run_closed_is_left_to_runs(profile: Profile, asha: User):
    row = make_mismatch(profile, state="closed")
    for moved in (
        resolve(row),
        do("assign", row, assignee=asha),
        do("approve", row),
        do("reopen", row, why="x"),
    ):
        assert moved == Moved(0, {"closed by a run": 1})
    assert len(history(row)) == 1


# --- Who was quicker ------------------------------------------------------------------


def test_what_changed_since_it_was_seen_is_left(profile: Profile, asha: User):
    row, other = make_mismatch(profile), make_mismatch(profile, fault_id=1)
    with all_tenants(reason="test"):
        seen = mismatches.last_line()
    do("assign", row, assignee=asha)
    moved = do("assign", [row.pk, other.pk], assignee=make_person("ravi"), seen=seen)
    assert moved == Moved(1, {"changed meanwhile": 1})
    assert again(row).assignee_id == asha.pk
    assert moved.told("assigned") == (
        "1 assigned. Left as they were: 1 changed meanwhile."
    )


@contextmanager
def beside(work: Any) -> Iterator[threading.Thread]:
    """Do something in a connection of its own, which waits for ours."""

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    with all_tenants(reason="test"):
        yield thread
        thread.start()
        _wait_for_a_lock()
    thread.join()


def _wait_for_a_lock() -> None:
    for _ in range(2_000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.005)")
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
    pytest.fail("nobody waits")


@pytest.mark.parametrize("seen", [None, 10**12])
def test_of_two_who_resolve_at_once_the_first_wins(profile: Profile, seen: int | None):
    row = make_mismatch(profile)
    told: list[Moved] = []
    with beside(lambda: told.append(resolve(row, by="ravi", seen=seen))):
        mismatches.mismatches_resolve(
            rows=row, reason="fee", by="asha", now=timezone.now()
        )
    assert told == [Moved(0, {"resolved already": 1})]
    assert (again(row).reason_code, again(row).resolved_by) == ("fee", "asha")
    assert [actor for actor, _, _ in history(row)] == ["run 1", "asha"]


def test_of_two_who_assign_at_once_the_second_finds_it_changed(
    profile: Profile, asha: User
):
    row, ravi = make_mismatch(profile), make_person("ravi")
    with all_tenants(reason="test"):
        seen = mismatches.last_line()
    told: list[Moved] = []
    with beside(lambda: told.append(do("assign", row, assignee=ravi, seen=seen))):
        mismatches.mismatches_assign(
            rows=row, assignee=asha, by="asha", now=timezone.now()
        )
    assert told == [Moved(0, {"changed meanwhile": 1})]
    assert again(row).assignee_id == asha.pk


def test_one_that_left_the_filter_while_it_was_locked_is_left_alone(profile: Profile):
    row = make_mismatch(profile)
    told: list[Moved] = []

    def approve_open_ones() -> None:
        with all_tenants(reason="test"):
            rows = Reconciliation.objects.filter(state__in=ACTIVE)
        told.append(resolve(rows, by="ravi"))

    with beside(approve_open_ones):
        mismatches.mismatches_resolve(
            rows=row, reason="fee", by="asha", now=timezone.now()
        )
    assert told[0].count == 0
    assert again(row).resolved_by == "asha"


# --- Many -----------------------------------------------------------------------------


def test_ten_thousand_take_as_many_statements_as_one(profile: Profile):
    def statements(rows: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert resolve(rows).count == len(rows)
        return len(captured)

    one = statements(make_mismatches(profile, 1))
    ids = make_mismatches(profile, 10_000)
    assert statements(ids) == one
    with all_tenants(reason="test"):
        lines = MismatchEvent.objects.filter(action="resolved", actor="asha")
        assert lines.count() == 10_001
        assert lines.values("mismatch").distinct().count() == 10_001
        assert Reconciliation.objects.filter(state="resolved").count() == 10_001


def test_a_list_that_is_sorted_joined_and_filtered_is_taken_as_it_is(profile: Profile):
    make_mismatches(profile, 3)
    make_mismatches(profile, 2, mismatch_type="duplicate")
    with all_tenants(reason="test"):
        rows = Reconciliation.objects.select_related("profile", "assignee")
        rows = rows.filter(mismatch_type="duplicate").order_by("profile__name", "-pk")
    assert resolve(rows).count == 2


def test_a_tenant_moves_its_own_only(profile: Profile):
    make_tenant("t2")
    own = make_mismatch(profile)
    foreign = make_mismatch(make_profile("t2"), tenant_id="t2")
    foreign_id = foreign.pk
    with tenant_scope("t1"):
        moved = mismatches.mismatches_resolve(
            rows=[own.pk, foreign_id], reason="fee", by="asha", now=timezone.now()
        )
    assert moved == Moved(1, {})
    assert again(foreign).state == "open"
