"""What a reconciliation has to find, in plain Python: no SQL, nothing of the engine.

It is written from docs/reconciliation.md, row by row and without a thought of speed, so
that the engine, which works set by set in PostgreSQL, can be compared with something.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from reconciliation.matching import MOST_OF_A_KEY, Key, Rule, Shape, Side, Terms


class Movement(NamedTuple):
    """A transaction as one side tells it."""

    id: int
    side: Side
    reference_id: str | None
    source_txn_id: str | None
    account_id: str | None
    amount: Decimal
    currency: str
    direction: str
    status: str
    at: datetime


class Match(NamedTuple):
    """Rows that belong together, by the rule with this number, from 1."""

    rule: int
    internal: tuple[int, ...]
    external: tuple[int, ...]


class Mismatch(NamedTuple):
    """Rows that do not, and why."""

    type: str
    internal: int | None
    external: int | None


@dataclass(slots=True)
class Outcome:
    """All that is found."""

    matches: set[Match] = field(default_factory=set)
    mismatches: set[Mismatch] = field(default_factory=set)


def reconcile(rows: Iterable[Movement], terms: Terms, *, as_of: datetime) -> Outcome:
    """Return the matches and mismatches of these rows."""
    return _Oracle(list(rows), terms, as_of).run()


class _Oracle:
    def __init__(self, rows: list[Movement], terms: Terms, as_of: datetime) -> None:
        self.rows = rows
        self.terms = terms
        self.as_of = as_of
        self.match_of: dict[int, Match] = {}
        self.by_id = {row.id: row for row in rows}
        self.found = Outcome()

    def run(self) -> Outcome:
        for number, rule in enumerate(self.terms.rules, start=1):
            for group in self._groups(rule.key):
                self._apply(number, rule, group)
        for group in self._primary_groups():
            self._tell(group)
        return self.found

    # --- Rules ------------------------------------------------------------------------

    def _apply(self, number: int, rule: Rule, group: list[Movement]) -> None:
        internal, external = _sides(self._free(group))
        if max(len(internal), len(external)) > MOST_OF_A_KEY:
            return
        if rule.shape is Shape.ONE_TO_ONE:
            self._pair(number, rule, internal, external)
        elif rule.shape is Shape.ONE_TO_MANY:
            if len(internal) == 1 and len(external) > 1:
                self._sum(number, rule, internal, external)
        elif len(external) == 1 and len(internal) > 1:
            self._sum(number, rule, internal, external)

    def _pair(
        self,
        number: int,
        rule: Rule,
        internal: list[Movement],
        external: list[Movement],
    ) -> None:
        allowed = [
            (self._gap(rule, one, other), abs(one.at - other.at), one.id, other.id)
            for one in internal
            for other in external
            if self._may_pair(rule, one, other)
        ]
        for *_, one, other in sorted(allowed):
            if one not in self.match_of and other not in self.match_of:
                self._keep(Match(number, (one,), (other,)))

    def _may_pair(self, rule: Rule, one: Movement, other: Movement) -> bool:
        return (
            one.currency == other.currency
            and one.status == other.status != "PENDING"
            and self._gap(rule, one, other) <= rule.tolerance(one.amount)
            and self._days(rule, one, other) <= rule.days
        )

    def _sum(
        self,
        number: int,
        rule: Rule,
        internal: list[Movement],
        external: list[Movement],
    ) -> None:
        every = [*internal, *external]
        if len({(row.currency, row.status) for row in every}) > 1:
            return
        if every[0].status == "PENDING":
            return
        ours, theirs = abs(_signed(internal)), abs(_signed(external))
        if abs(self._due(rule, ours) - theirs) > rule.tolerance(ours):
            return
        if any(
            self._days(rule, one, other) > rule.days
            for one in internal
            for other in external
        ):
            return
        self._keep(Match(number, _ids(internal), _ids(external)))

    def _gap(self, rule: Rule, one: Movement, other: Movement) -> Decimal:
        return abs(self._due(rule, one.amount) - other.amount)

    def _due(self, rule: Rule, amount: Decimal) -> Decimal:
        if rule.is_less_fee and self.terms.fee is not None:
            return amount - self.terms.fee.of(amount)
        return amount

    def _days(self, rule: Rule, one: Movement, other: Movement) -> int:
        return rule.days_between(self.terms.day(one.at), self.terms.day(other.at))

    def _keep(self, match: Match) -> None:
        self.found.matches.add(match)
        for row in (*match.internal, *match.external):
            self.match_of[row] = match

    # --- What no rule matched ---------------------------------------------------------

    def _tell(self, group: list[Movement]) -> None:
        internal, external = _sides(self._free(group))
        if max(len(internal), len(external)) > MOST_OF_A_KEY:
            self._mismatch("ambiguous", internal, external)
        elif len(internal) == 1 and len(external) == 1:
            if kind := self._difference(internal[0], external[0]):
                self._mismatch(kind, internal, external)
        elif internal and external:
            self._mismatch("ambiguous", internal, external)
        else:
            for row in (*internal, *external):
                self._tell_alone(row, group)

    def _difference(self, one: Movement, other: Movement) -> str | None:
        if one.currency != other.currency:
            return "currency"
        rule = self.terms.rules[0] if self.terms.rules else Rule()
        if abs(one.amount - other.amount) > rule.tolerance(one.amount):
            fee = self.terms.fee
            is_fee = fee is not None and one.amount - fee.of(one.amount) == other.amount
            return "fee" if is_fee else "amount"
        waits = [row for row in (one, other) if row.status == "PENDING"]
        if any(map(self._is_stale, waits)):
            return "stale_pending"
        if one.status != other.status:
            return None if waits else "status"
        if self._days(rule, one, other) > rule.days:
            return "date"
        return None if waits else "ambiguous"

    def _tell_alone(self, row: Movement, group: list[Movement]) -> None:
        twin = self._twin(row, group)
        if twin is not None:
            kind = _kind_beside(row.status, twin.status)
            if kind is not None:
                self._beside(kind, row, self._partner(twin))
        elif row.status == "PENDING":
            if self._is_stale(row):
                self._beside("stale_pending", row, None)
        elif row.status != "FAILED":
            is_ours = row.side is Side.INTERNAL
            kind = "missing_external" if is_ours else "missing_internal"
            self._beside(kind, row, None)

    def _beside(self, kind: str, row: Movement, partner: int | None) -> None:
        both = (row.id, partner) if row.side is Side.INTERNAL else (partner, row.id)
        self.found.mismatches.add(Mismatch(kind, *both))

    def _twin(self, row: Movement, group: list[Movement]) -> Movement | None:
        """Return the first matched row of the same side and money."""
        same = [
            other
            for other in group
            if other.id in self.match_of
            and (other.side, other.currency, other.amount)
            == (row.side, row.currency, row.amount)
        ]
        return min(same, default=None, key=lambda other: other.id)

    def _partner(self, twin: Movement) -> int:
        match = self.match_of[twin.id]
        return min(match.external if twin.side is Side.INTERNAL else match.internal)

    def _mismatch(
        self, kind: str, internal: Sequence[Movement], external: Sequence[Movement]
    ) -> None:
        first = [min(_ids(rows), default=None) for rows in (internal, external)]
        self.found.mismatches.add(Mismatch(kind, *first))

    # --- Rows -------------------------------------------------------------------------

    def _is_stale(self, row: Movement) -> bool:
        return row.at + self.terms.stale_after <= self.as_of

    def _free(self, rows: Iterable[Movement]) -> list[Movement]:
        return [row for row in rows if row.id not in self.match_of]

    def _groups(self, key: Key) -> list[list[Movement]]:
        groups: dict[str, list[Movement]] = defaultdict(list)
        for row in self.rows:
            if (value := getattr(row, key)) is not None:
                groups[value].append(row)
        return list(groups.values())

    def _primary_groups(self) -> list[list[Movement]]:
        primary = self.terms.primary
        alone = [[row] for row in self.rows if getattr(row, primary) is None]
        return [*self._groups(primary), *alone]


def _sides(rows: Iterable[Movement]) -> tuple[list[Movement], list[Movement]]:
    every = list(rows)
    internal = [row for row in every if row.side is Side.INTERNAL]
    return internal, [row for row in every if row.side is Side.EXTERNAL]


def _ids(rows: Iterable[Movement]) -> tuple[int, ...]:
    return tuple(sorted(row.id for row in rows))


def _signed(rows: Iterable[Movement]) -> Decimal:
    return sum(
        (r.amount if r.direction == "C" else -r.amount for r in rows), Decimal(0)
    )


def _kind_beside(status: str, matched: str) -> str | None:
    """Return what a row left over is, beside a matched one of the same money."""
    if status == matched:
        return "duplicate"
    if matched == "SUCCESS" and status == "REVERSED":
        return "status"
    return None
