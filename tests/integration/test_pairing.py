"""Matches by hand: made, accepted, refused, taken apart, and never twice of one row."""

import threading
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from ingestion.models import Transaction
from reconciliation import mismatches, pairing
from reconciliation.deeds import DeedError
from reconciliation.models import Match, MatchRow, Profile
from reconciliation.pairing import (
    MatchedAlreadyError,
    PairingError,
    SumsDifferError,
)
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_tenant
from tests.integration.reconciling import (
    OURS,
    THEIRS,
    again,
    history,
    make_match,
    make_mismatch,
    make_pair,
    make_profile,
    make_row,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def profile() -> Profile:
    make_tenant("t1")
    return make_profile()


def by_hand(profile: Profile, *rows: Transaction, **values: Any) -> Match:
    given = {"by": "asha", "now": timezone.now(), **values}
    with all_tenants(reason="test"):
        return pairing.match_by_hand(
            profile=profile, transaction_ids=[row.pk for row in rows], **given
        )


def call(name: str, match: Match, **values: Any) -> Any:
    given = {"by": "ravi", "now": timezone.now(), **values}
    with all_tenants(reason="test"):
        return getattr(pairing, f"match_{name}")(match=match, **given)


def rows_of(match: Match) -> list[tuple[int, str, str | None, bool]]:
    with all_tenants(reason="test"):
        rows = MatchRow.objects.filter(match=match).order_by("transaction_id")
        return list(rows.values_list("transaction_id", "side", "key", "is_live"))


def reread(match: Match) -> Match:
    with all_tenants(reason="test"):
        found: Match = Match.objects.get(pk=match.pk)
    return found


# --- By hand --------------------------------------------------------------------------


def test_a_match_by_hand_keeps_its_rows_and_resolves_what_was_told(profile: Profile):
    ours, theirs = make_row(profile, OURS), make_row(profile, THEIRS)
    told = [make_mismatch(profile, ours), make_mismatch(profile, None, theirs)]
    bystander = make_mismatch(profile, make_row(profile, OURS))
    match = by_hand(profile, theirs, ours, note="one payment, two references")
    assert (match.state, match.decided_by, match.run_id, match.rule) == (
        *("confirmed", "asha"),
        *(None, None),
    )
    assert rows_of(match) == [
        (ours.pk, "I", ours.reference_id, True),
        (theirs.pk, "E", theirs.reference_id, True),
    ]
    for row in map(again, told):
        assert (row.state, row.reason_code, row.resolved_by) == (
            *("resolved", "matched"),
            "asha",
        )
    text = f"Match {match.pk}. one payment, two references"
    assert history(told[0])[-1] == ("asha", "resolved", text)
    assert again(bystander).state == "open"


def test_a_pair_is_found_by_either_of_its_rows(profile: Profile):
    """Also by theirs alone, whose mismatch begins with ours."""
    ours, theirs = make_pair(profile, theirs={"amount": Decimal(99)})
    told, other = make_mismatch(profile, ours, theirs), make_row(profile, OURS)
    by_hand(profile, other, theirs, may_differ=True)
    assert again(told).reason_code == "matched"


def test_several_rows_are_one_match_if_their_sums_agree(profile: Profile):
    parts = [make_row(profile, OURS, amount=Decimal(n)) for n in (60, 50)]
    back = make_row(profile, OURS, amount=Decimal(10), direction="C")
    match = by_hand(profile, *parts, back, make_row(profile, THEIRS))
    assert len(rows_of(match)) == 4


def test_sums_that_differ_need_a_word(profile: Profile):
    ours, theirs = make_pair(profile, theirs={"amount": Decimal("98.50")})
    told = make_mismatch(profile, ours, theirs)
    with pytest.raises(
        SumsDifferError, match=r"100\.00 and theirs to 98\.50 INR, 1\.50"
    ):
        by_hand(profile, ours, theirs)
    assert again(told).state == "open"
    by_hand(profile, ours, theirs, may_differ=True)
    assert again(told).state == "resolved"


def test_rows_that_cannot_be_matched_are_refused(profile: Profile):
    make_tenant("t2")
    ours, theirs = make_pair(profile)
    foreign = make_row(make_profile("t2"), THEIRS)
    other_source = make_row(profile, "IMPS", txn_id="HDFC:50100012345678:1")
    dollars = make_row(profile, THEIRS, currency="USD")
    for rows, said in (
        ((ours,), "one row of ours and one of theirs"),
        ((ours, make_row(profile, OURS)), "one row of ours and one of theirs"),
        ((), "one row of ours and one of theirs"),
        ((ours, foreign), f"t1 has no transaction {foreign.pk}"),
        ((ours, theirs, other_source), "HDFC:••••5678:1 is of IMPS"),
        ((ours, dollars), "of INR and USD"),
    ):
        with pytest.raises(PairingError, match=said):
            by_hand(profile, *rows, may_differ=True)
    with all_tenants(reason="test"):
        assert not Match.objects.exists()


def test_a_row_is_in_one_live_match(profile: Profile):
    ours, theirs = make_pair(profile)
    match, other = by_hand(profile, ours, theirs), make_row(profile, OURS)
    said = f"{theirs.txn_id} is in match {match.pk}: undo that first"
    with pytest.raises(MatchedAlreadyError, match=said):
        by_hand(profile, other, theirs)
    # Another profile may see it otherwise.
    assert by_hand(make_profile(name="other"), other, theirs).state == "confirmed"


def test_of_two_who_match_one_row_at_once_the_second_is_told(profile: Profile):
    ours, theirs = make_pair(profile)
    other = make_row(profile, OURS)
    told: list[str] = []

    def second() -> None:
        try:
            by_hand(profile, other, theirs, by="ravi")
        except MatchedAlreadyError as error:
            told.append(str(error))
        finally:
            connection.close()

    thread = threading.Thread(target=second)
    with all_tenants(reason="test"):
        match = pairing.match_by_hand(
            profile=profile,
            transaction_ids=[ours.pk, theirs.pk],
            by="asha",
            now=timezone.now(),
        )
        thread.start()
        wait_for_a_lock()
    thread.join()
    assert told == [f"{theirs.txn_id} is in match {match.pk}: undo that first."]
    with all_tenants(reason="test"):
        assert Match.objects.count() == 1


def wait_for_a_lock() -> None:
    for _ in range(2_000):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.005)")
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
    pytest.fail("nobody waits")


def test_a_tenant_matches_its_own_rows_only(profile: Profile):
    make_tenant("t2")
    ours, _ = make_pair(profile)
    foreign = make_row(make_profile("t2"), THEIRS)
    with tenant_scope("t1"), pytest.raises(PairingError, match="no transaction"):
        pairing.match_by_hand(
            profile=profile,
            transaction_ids=[ours.pk, foreign.pk],
            by="asha",
            now=timezone.now(),
        )


# --- Undone ---------------------------------------------------------------------------


def test_an_undone_match_frees_its_rows_and_reopens_what_it_resolved(profile: Profile):
    ours, theirs = make_row(profile, OURS), make_row(profile, THEIRS)
    told = make_mismatch(profile, ours)
    before = make_mismatch(
        *(profile, None, theirs), state="resolved", resolved_by="x", reason_code="fee"
    )
    match = by_hand(profile, ours, theirs)
    moved = call("undo", match, why="another payment")
    assert (moved.count, moved.left) == (1, {})
    assert (reread(match).state, reread(match).decided_by, reread(match).note) == (
        *("undone", "ravi"),
        "another payment",
    )
    assert [row[3] for row in rows_of(match)] == [False, False]
    assert (again(told).state, again(told).reason_code) == ("open", "")
    said = f"Match {match.pk}. undone: another payment"
    assert history(told)[-1] == ("ravi", "reopened", said)
    assert again(before).state == "resolved"
    with pytest.raises(PairingError, match="is undone, and not confirmed"):
        call("undo", match, why="again")
    assert by_hand(profile, ours, theirs).state == "confirmed"


def test_what_another_match_resolved_stays_resolved(profile: Profile):
    """Of a pair whose rows are in two matches, the first one resolved it."""
    ours, theirs = make_pair(profile)
    told = make_mismatch(profile, ours, theirs)
    first = by_hand(profile, ours, make_row(profile, THEIRS))
    second = by_hand(profile, make_row(profile, OURS), theirs)
    call("undo", second, why="no")
    assert again(told).state == "resolved"
    call("undo", first, why="no")
    assert again(told).state == "open"


def test_what_a_match_resolved_is_reopened_by_undoing_it_only(profile: Profile):
    ours, theirs = make_pair(profile)
    told = make_mismatch(profile, ours, theirs)
    by_hand(profile, ours, theirs)
    with all_tenants(reason="test"):
        moved = mismatches.mismatches_reopen(
            rows=told, why="x", by="ravi", now=timezone.now()
        )
    assert moved.left == {"resolved by a match, which can be undone": 1}


@pytest.mark.parametrize("name", ["undo", "refuse"])
def test_taking_apart_needs_a_why(profile: Profile, name: str):
    match = by_hand(profile, *make_pair(profile))
    with pytest.raises(DeedError, match="Say why"):
        call(name, match, why=" ")
    assert reread(match).state == "confirmed"


def test_rows_that_plainly_match_are_held_by_an_undone_match(profile: Profile):
    ours, theirs = make_pair(profile)

    def apart(*rows: Transaction) -> Match:
        with all_tenants(reason="test"):
            return pairing.unmatch_plain(
                profile=profile,
                transaction_ids=[row.pk for row in rows],
                why="not the same payment",
                by="asha",
                now=timezone.now(),
            )

    with pytest.raises(PairingError, match="have one key"):
        apart(ours, make_row(profile, THEIRS))
    with pytest.raises(PairingError, match="have one key"):
        apart(*make_pair(profile, reference_id=None))
    match = apart(ours, theirs)
    assert (match.state, match.note) == ("undone", "not the same payment")
    assert [row[3] for row in rows_of(match)] == [False, False]
    by_hand(profile, ours, theirs)
    with pytest.raises(MatchedAlreadyError):
        apart(ours, theirs)


# --- Suggested ------------------------------------------------------------------------


def test_a_suggestion_that_is_accepted_is_live(profile: Profile):
    ours, theirs = make_row(profile, OURS), make_row(profile, THEIRS)
    told, match = make_mismatch(profile, ours), make_match(profile, ours, theirs)
    call("accept", match, note="yes")
    found = reread(match)
    assert (found.state, found.decided_by, found.note) == ("confirmed", "ravi", "yes")
    assert [row[3] for row in rows_of(match)] == [True, True]
    assert again(told).reason_code == "matched"
    with pytest.raises(PairingError, match=r"is confirmed already\.|is in match"):
        call("accept", match)
    call("undo", match, why="no")
    assert again(told).state == "open"


def test_a_suggestion_whose_row_is_taken_is_not_accepted(profile: Profile):
    ours, theirs = make_row(profile, OURS), make_row(profile, THEIRS)
    match = make_match(profile, ours, theirs)
    taken = by_hand(profile, make_row(profile, OURS), theirs)
    with pytest.raises(MatchedAlreadyError, match=f"is in match {taken.pk}"):
        call("accept", match)
    assert reread(match).state == "suggested"


def test_a_refused_suggestion_is_undone(profile: Profile):
    match = make_match(profile, make_row(profile, OURS), make_row(profile, THEIRS))
    call("refuse", match, why="chance")
    assert (reread(match).state, reread(match).note) == ("undone", "chance")
    with pytest.raises(PairingError, match="is undone, and not suggested"):
        call("refuse", match, why="chance")
    with pytest.raises(PairingError, match="undone already"):
        call("accept", match)


def test_of_many_suggestions_those_with_free_rows_are_accepted(profile: Profile):
    good = [make_match(profile, *make_pair(profile)) for _ in range(3)]
    ours, theirs = make_pair(profile)
    first, second = make_match(profile, ours, theirs), make_match(profile, ours, theirs)
    over = by_hand(profile, *make_pair(profile))
    ids = [match.pk for match in (*good, first, second, over)]
    with all_tenants(reason="test"):
        moved = pairing.matches_accept(
            matches=Match.objects.filter(pk__in=ids).order_by("-pk"),
            by="asha",
            now=timezone.now(),
        )
    assert moved.count == 4
    assert moved.left == {
        "confirmed already": 1,
        "with a row that is in another match": 1,
    }
    assert (reread(first).state, reread(second).state) == ("confirmed", "suggested")
