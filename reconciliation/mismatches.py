"""Moves mismatches as people want them moved, one or ten thousand, and keeps history.

A call locks the mismatches in the order of their ids, leaves alone those whose state
does not allow it (any more), and moves the others in one statement that writes a line
of history for each. It returns how many it moved, and how many it left and why.
Callers open the scope.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from reconciliation.deeds import (
    CHANGED_MEANWHILE,
    Deed,
    DeedError,
    Standing,
    resolution,
    why_not,
    with_text,
)
from reconciliation.lifecycle import Action
from reconciliation.models import MismatchEvent, Profile, Reconciliation

__all__ = ["DeedError"]

#: What a call takes: mismatches, or the ids of some.
Rows = QuerySet[Any] | Iterable[int] | Reconciliation

_SETS: Final = MappingProxyType(
    {
        Action.ASSIGNED: "state = %(target)s, assignee_id = %(assignee)s",
        Action.UNASSIGNED: "state = %(target)s, assignee_id = NULL",
        Action.NOTED: "state = state",
        Action.RESOLVED: "state = %(target)s, reason_code = %(reason)s,"
        " resolved_by = %(by)s, resolved_at = %(now)s",
        Action.APPROVED: "state = %(target)s, approved_by = %(by)s,"
        " approved_at = %(now)s",
        # What it was before, its history keeps.
        Action.REOPENED: "state = %(target)s, assignee_id = NULL, reason_code = '',"
        " resolved_by = '', resolved_at = NULL, approved_by = '', approved_at = NULL",
    }
)
_MOVE: Final = """
WITH moved AS (
    UPDATE reconciliations SET {sets}
    WHERE id = ANY(%(ids)s) AND state = ANY(%(sources)s)
    RETURNING id, tenant_id
)
INSERT INTO reconciliation_mismatchevent
    (tenant_id, mismatch_id, at, actor, action, text)
SELECT tenant_id, id, %(now)s, %(by)s, %(action)s, %(text)s FROM moved
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """How many mismatches were moved, and how many were left, by what they are."""

    count: int
    left: Mapping[str, int]

    def told(self, done: str) -> str:
        """Return it in words: `12 resolved. Left as they were: 3 closed by a run.`"""
        words = f"{self.count:,} {done}."
        if self.left:
            words += f" Left as they were: {in_words(self.left)}."
        return words


def mismatches_assign(
    *,
    rows: Rows,
    assignee: AbstractBaseUser,
    by: str,
    now: datetime,
    seen: int | None = None,
) -> Moved:
    """Give mismatches to somebody, whoever has them now."""
    deed = Deed(
        action=Action.ASSIGNED,
        by=by,
        text=f"To {assignee.get_username()}.",
        assignee_id=assignee.pk,
        seen=seen,
    )
    return deed_do(rows=rows, deed=deed, now=now)


def mismatches_unassign(
    *, rows: Rows, by: str, now: datetime, seen: int | None = None
) -> Moved:
    """Take mismatches from whoever has them: they are open again."""
    deed = Deed(action=Action.UNASSIGNED, by=by, seen=seen)
    return deed_do(rows=rows, deed=deed, now=now)


def mismatches_note(*, rows: Rows, note: str, by: str, now: datetime) -> Moved:
    """Add a note to the history of mismatches, however they stand. Raises DeedError."""
    text = with_text(note, "something")
    return deed_do(rows=rows, deed=Deed(action=Action.NOTED, by=by, text=text), now=now)


def mismatches_resolve(
    *,
    rows: Rows,
    reason: str,
    note: str = "",
    by: str,
    now: datetime,
    seen: int | None = None,
) -> Moved:
    """Say why mismatches are no trouble. Raises DeedError without a reason for it."""
    deed = resolution(by=by, reason=reason, note=note, seen=seen)
    return deed_do(rows=rows, deed=deed, now=now)


def mismatches_approve(
    *, rows: Rows, by: str, now: datetime, note: str = "", seen: int | None = None
) -> Moved:
    """Agree with what others resolved, where the profile wants that."""
    deed = Deed(action=Action.APPROVED, by=by, text=note.strip(), seen=seen)
    return deed_do(rows=rows, deed=deed, now=now)


def mismatches_reopen(
    *, rows: Rows, why: str, by: str, now: datetime, seen: int | None = None
) -> Moved:
    """Put resolved or approved mismatches back to work. Raises DeedError without why.

    What a match resolved is reopened by undoing the match.
    """
    text = with_text(why, "why")
    deed = Deed(action=Action.REOPENED, by=by, text=text, seen=seen)
    return deed_do(rows=rows, deed=deed, now=now)


@transaction.atomic
def deed_do(*, rows: Rows, deed: Deed, now: datetime) -> Moved:
    """Do to mismatches what a person wants, as far as they allow it."""
    standings = _locked(rows)
    changed = set() if deed.seen is None else _changed(list(standings), deed.seen)
    ids, left = [], Counter[str]()
    for pk, standing in standings.items():
        why = CHANGED_MEANWHILE if pk in changed else why_not(deed, standing)
        if why:
            left[why] += 1
        else:
            ids.append(pk)
    return Moved(_move(ids, deed, now), left)


def standings_of(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return mismatches with whether their profile needs approval."""
    asking = Profile.objects.filter(pk=OuterRef("profile_id"), needs_approval=True)
    annotated: QuerySet[Any] = rows.annotate(needs_approval=Exists(asking))
    return annotated


def in_words(left: Mapping[str, int]) -> str:
    """Return what was left as a list, most first."""
    ordered = sorted(left.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count:,} {what}" for what, count in ordered)


def last_line() -> int:
    """Return the id of the latest line of any history: what was seen by now."""
    newest = MismatchEvent.objects.order_by("-pk").values_list("pk", flat=True)
    return int(newest.first() or 0)


def _locked(rows: Rows) -> dict[int, Standing]:
    """Lock mismatches, always in the same order, and return how they stand."""
    if isinstance(rows, Reconciliation):
        rows = [rows.pk]
    # A list may join and sort, which does not go with a lock.
    ids = rows.order_by().values("pk") if isinstance(rows, QuerySet) else list(rows)
    chosen = standings_of(Reconciliation.objects.filter(pk__in=ids))
    found = chosen.order_by("pk").select_for_update(no_key=True)
    columns = found.values_list("pk", *Standing._fields)
    return {pk: Standing(*values) for pk, *values in columns}


def _changed(ids: list[int], seen: int) -> set[int]:
    """Return which have a later line; read after the lock, so that none is missed."""
    later = MismatchEvent.objects.filter(pk__gt=seen, mismatch_id__in=ids)
    return set(later.values_list("mismatch_id", flat=True))


def _move(ids: list[int], deed: Deed, now: datetime) -> int:
    if not ids:
        return 0
    values: dict[str, Any] = {
        "ids": ids,
        "sources": [state.value for state in deed.sources],
        "target": None if deed.target is None else deed.target.value,
        "assignee": deed.assignee_id,
        "reason": deed.reason_code,
        "by": deed.by,
        "now": now,
        "action": deed.action.value,
        "text": deed.text,
    }
    with connection.cursor() as cursor:
        cursor.execute(_MOVE.format(sets=_SETS[deed.action]), values)
        return int(cursor.rowcount)
