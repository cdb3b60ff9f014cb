"""Matches that people make, accept, refuse and take apart.

A row is in one live match of a profile at most: the database says so
(`transaction_matched_once`), so of two people who match one row at once the second is
told. What a match resolved is reopened when it is undone, and its rows are held then:
no rule touches them until a person matches them again. Callers open the scope.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from ingestion.masking import mask_id
from ingestion.models import Transaction
from reconciliation import deeds
from reconciliation.lifecycle import ACTIVE, Action, Reason
from reconciliation.matching import Side
from reconciliation.mismatch_rows import (
    primary_key,
    side_of,
    signed,
    touching,
)
from reconciliation.mismatches import Moved, deed_do
from reconciliation.models import Match, MatchRow, MismatchEvent, Profile

#: Rows of a match that a person makes.
MOST_ROWS: Final = 1_000
_NAMED: Final = 3


class PairingError(ValueError):
    """These rows cannot be matched so, or not any more; the message says why."""


class MatchedAlreadyError(PairingError):
    """A row is in another live match."""


class SumsDifferError(PairingError):
    """The two sides do not come to the same: a person has to say that it is meant."""


@transaction.atomic
def match_by_hand(
    *,
    profile: Profile,
    transaction_ids: Collection[int],
    by: str,
    now: datetime,
    note: str = "",
    may_differ: bool = False,
) -> Match:
    """Make a confirmed match of rows of both sides, and resolve what was told of them.

    Raises MatchedAlreadyError; SumsDifferError unless it `may_differ`; PairingError.
    """
    rows = _rows(profile, transaction_ids)
    _check_free(profile, rows)
    _check_currency(rows)
    if not may_differ:
        _check_sums(profile, rows)
    match = _new_match(profile, Match.State.CONFIRMED, by=by, note=note, now=now)
    _keep(match, profile, rows, is_live=True)
    _resolve([match], by=by, note=note, now=now)
    return match


@transaction.atomic
def unmatch_plain(
    *,
    profile: Profile,
    transaction_ids: Collection[int],
    why: str,
    by: str,
    now: datetime,
) -> Match:
    """Hold rows of one key that plainly match, which is kept as an undone match.

    The next run tells what they are then. Raises PairingError; DeedError without why.
    """
    why = deeds.with_text(why, "why")
    rows = _rows(profile, transaction_ids)
    key = primary_key(profile)
    if len({getattr(row, key) for row in rows}) > 1 or getattr(rows[0], key) is None:
        raise PairingError("Rows that plainly match have one key, and these do not.")
    _check_free(profile, rows)
    match = _new_match(profile, Match.State.UNDONE, by=by, note=why, now=now)
    _keep(match, profile, rows, is_live=False)
    return match


@transaction.atomic
def match_undo(*, match: Match, why: str, by: str, now: datetime) -> Moved:
    """Take a confirmed match apart; returns what mismatches that reopened.

    Raises PairingError if it is not confirmed any more; DeedError without why.
    """
    why = deeds.with_text(why, "why")
    _decide(match, Match.State.CONFIRMED, by=by, note=why, now=now)
    MatchRow.objects.filter(match=match).update(is_live=False)
    deed = deeds.of_match(
        action=Action.REOPENED, by=by, match_id=match.pk, note=f"undone: {why}"
    )
    return deed_do(rows=_resolved_by(match), deed=deed, now=now)


@transaction.atomic
def match_refuse(*, match: Match, why: str, by: str, now: datetime) -> None:
    """Say no to a suggested match: its rows are held.

    Raises PairingError if it is not suggested any more; DeedError without why.
    """
    why = deeds.with_text(why, "why")
    _decide(match, Match.State.SUGGESTED, by=by, note=why, now=now)


def match_accept(*, match: Match, by: str, now: datetime, note: str = "") -> None:
    """Confirm a suggested match, and resolve what was told of its rows.

    Raises MatchedAlreadyError; PairingError if it is not suggested any more.
    """
    moved = matches_accept(matches=[match.pk], by=by, now=now, note=note)
    if moved.count:
        return
    ids = MatchRow.objects.filter(match=match).values_list("transaction_id", flat=True)
    _raise_for_live(match.profile_id, list(ids))
    raise PairingError(f"Match {match.pk} is {', '.join(moved.left) or 'gone'}.")


@transaction.atomic
def matches_accept(
    *,
    matches: QuerySet[Any] | Iterable[int],
    by: str,
    now: datetime,
    note: str = "",
) -> Moved:
    """Confirm those of the matches that are suggested and whose rows are free.

    Of two that share a row, the older is confirmed. Raises MatchedAlreadyError when
    somebody matched one of their rows in this very moment.
    """
    found = _locked(matches)
    left = Counter(f"{m.state} already" for m in found if m.state != "suggested")
    free, taken = _free([m for m in found if m.state == "suggested"])
    if taken:
        left["with a row that is in another match"] = taken
    ids = [match.pk for match in free]
    Match.objects.filter(pk__in=ids, state=Match.State.SUGGESTED).update(
        state=Match.State.CONFIRMED, decided_by=by, decided_at=now, note=note
    )
    try:
        with transaction.atomic():
            MatchRow.objects.filter(match__in=ids).update(is_live=True)
    except IntegrityError:
        raise MatchedAlreadyError(
            "Somebody matched one of these rows in this very moment: look again."
        ) from None
    _resolve(free, by=by, note=note, now=now)
    return Moved(len(ids), left)


def _locked(matches: QuerySet[Any] | Iterable[int]) -> list[Match]:
    if isinstance(matches, QuerySet):
        matches = matches.order_by().values("pk")
    chosen = Match.objects.filter(pk__in=matches).order_by("pk")
    return list(chosen.select_for_update(no_key=True))


def _free(matches: list[Match]) -> tuple[list[Match], int]:
    """Return the matches whose rows are in no live one, and how many others are."""
    rows: dict[int, set[tuple[int, int]]] = {match.pk: set() for match in matches}
    kept = MatchRow.objects.filter(match__in=list(rows))
    for match_id, *row in kept.values_list("match_id", "profile_id", "transaction_id"):
        rows[match_id].add((row[0], row[1]))
    taken = _live_among({row for each in rows.values() for row in each})
    free = []
    for match in matches:
        if taken.isdisjoint(rows[match.pk]):
            taken |= rows[match.pk]
            free.append(match)
    return free, len(matches) - len(free)


def _live_among(rows: set[tuple[int, int]]) -> set[tuple[int, int]]:
    profiles, ids = {profile for profile, _ in rows}, {row for _, row in rows}
    live = MatchRow.objects.filter(
        is_live=True, profile_id__in=profiles, transaction_id__in=ids
    )
    return set(live.values_list("profile_id", "transaction_id"))


# --- Rows -----------------------------------------------------------------------------


def _rows(profile: Profile, ids: Collection[int]) -> list[Transaction]:
    """Return the transactions, of both sides of the profile. Raises PairingError."""
    wanted = set(ids)
    if len(wanted) > MOST_ROWS:
        raise PairingError(f"A match by hand has at most {MOST_ROWS:,} rows.")
    of_tenant = Transaction.objects.filter(tenant_id=profile.tenant_id)
    rows = list(of_tenant.filter(pk__in=wanted).defer("raw_row").order_by("pk"))
    if len(rows) < len(wanted):
        missing = min(wanted - {row.pk for row in rows})
        raise PairingError(f"{profile.tenant_id} has no transaction {missing}.")
    for row in rows:
        if side_of(profile, row) is None:
            raise PairingError(
                f"{mask_id(row.txn_id)} is of {row.source}, which the profile "
                f"{profile.name} does not compare."
            )
    if {side_of(profile, row) for row in rows} != set(Side):
        raise PairingError("Choose at least one row of ours and one of theirs.")
    return rows


def _check_currency(rows: Sequence[Transaction]) -> None:
    currencies = sorted({row.currency for row in rows})
    if len(currencies) > 1:
        raise PairingError(f"The rows are of {' and '.join(currencies)}.")


def _check_sums(profile: Profile, rows: Sequence[Transaction]) -> None:
    ours, theirs = (
        abs(sum((signed(r) for r in rows if side_of(profile, r) is side), Decimal(0)))
        for side in Side
    )
    if ours != theirs:
        raise SumsDifferError(
            f"Ours come to {ours:,.2f} and theirs to {theirs:,.2f} {rows[0].currency}, "
            f"{abs(ours - theirs):,.2f} apart: say that this is meant, or choose other "
            "rows."
        )


def _check_free(profile: Profile, rows: Sequence[Transaction]) -> None:
    _raise_for_live(profile.pk, [row.pk for row in rows])


def _raise_for_live(profile_id: int, ids: list[int]) -> None:
    live = MatchRow.objects.filter(
        profile_id=profile_id, transaction_id__in=ids, is_live=True
    )
    named = [
        f"{mask_id(row.txn_id)} is in match {row.match_id}"
        for row in live.order_by("transaction_id")[:_NAMED]
    ]
    if named:
        raise MatchedAlreadyError(f"{', '.join(named)}: undo that first.")


def _new_match(
    profile: Profile, state: Match.State, *, by: str, note: str, now: datetime
) -> Match:
    made: Match = Match.objects.create(
        tenant_id=profile.tenant_id,
        profile=profile,
        state=state,
        decided_by=by,
        decided_at=now,
        note=note,
    )
    return made


def _keep(
    match: Match, profile: Profile, rows: Sequence[Transaction], *, is_live: bool
) -> None:
    """Write the rows of a match, in the order of their ids so that nobody deadlocks."""
    key = primary_key(profile)
    kept = [
        MatchRow(
            tenant_id=profile.tenant_id,
            match=match,
            profile_id=profile.pk,
            transaction_id=row.pk,
            txn_id=row.txn_id,
            side=str(side_of(profile, row)),
            key=getattr(row, key),
            is_live=is_live,
        )
        for row in rows
    ]
    try:
        with transaction.atomic():
            MatchRow.objects.bulk_create(kept)
    except IntegrityError:
        # Somebody was quicker, and has ended by now.
        _check_free(profile, rows)
        raise


# --- What becomes of matches and mismatches -------------------------------------------


def _decide(
    match: Match, state: Match.State, *, by: str, note: str, now: datetime
) -> None:
    """End a match that is in this state. Raises PairingError if it is in another."""
    same = Match.objects.filter(pk=match.pk)
    moved = same.filter(state=state).update(
        state=Match.State.UNDONE, decided_by=by, decided_at=now, note=note
    )
    if not moved:
        now_is = same.values_list("state", flat=True).first() or "gone"
        raise PairingError(f"Match {match.pk} is {now_is}, and not {state.value}.")


def _resolve(matches: Sequence[Match], *, by: str, note: str, now: datetime) -> None:
    """Resolve the active mismatches of the rows of matches."""
    ordered = sorted(matches, key=lambda match: match.profile_id)
    for profile_id, group in groupby(ordered, key=lambda match: match.profile_id):
        rows = list(MatchRow.objects.filter(match__in=[match.pk for match in group]))
        match_of = {row.transaction_id: row.match_id for row in rows}
        told = touching(profile_id, rows).filter(state__in=ACTIVE)
        ids: dict[int, list[int]] = {}
        for pk, *sides in told.values_list("pk", "internal_id", "external_id"):
            match_id = next(match_of[side] for side in sides if side in match_of)
            ids.setdefault(match_id, []).append(pk)
        for match_id, mismatches in ids.items():
            deed = deeds.of_match(
                action=Action.RESOLVED, by=by, match_id=match_id, note=note
            )
            deed_do(rows=mismatches, deed=deed, now=now)


def _resolved_by(match: Match) -> QuerySet[Any]:
    """Return the mismatches that a match resolved, as their history tells."""
    lines = MismatchEvent.objects.filter(
        action=Action.RESOLVED, text__startswith=f"{deeds.match_mark(match.pk)}."
    )
    rows = list(MatchRow.objects.filter(match=match))
    told = touching(match.profile_id, rows).filter(reason_code=Reason.MATCHED)
    ids = list(told.values_list("pk", flat=True))
    return told.filter(
        pk__in=list(
            lines.filter(mismatch_id__in=ids).values_list("mismatch_id", flat=True)
        )
    )
