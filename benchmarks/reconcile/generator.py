"""Two sides with differences that are known, since they were planted: from a seed.

Each plant is a few rows with one reference, and what has to be found of them: by which
rule they match, or as what they are told. So engine and oracle can both be compared
with something that neither of them has counted. Plain Python, and nothing of either.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from benchmarks.reconcile.oracle import Match, Mismatch, Movement, Outcome
from reconciliation.matching import MOST_OF_A_KEY, Fee, Key, Rule, Shape, Side, Terms

OURS: Final = Side.INTERNAL
THEIRS: Final = Side.EXTERNAL
#: The day in the middle of which the rows are, and when somebody looks at them.
NOON: Final = datetime(2026, 1, 15, 6, 30, tzinfo=UTC)
AS_OF: Final = NOON + timedelta(days=5)
FEE: Final = Fee(percent=Decimal(2))
TERMS: Final = Terms(
    internal=["LEDGER"],
    external=["UPI"],
    rules=[
        Rule(days=1),
        Rule(shape=Shape.ONE_TO_MANY, days=1),
        # A settlement of a day comes in one sum, less the fee.
        Rule(shape=Shape.MANY_TO_ONE, days=2, is_less_fee=True),
        Rule(key=Key.ACCOUNT, days=1),
    ],
    zone=ZoneInfo("Asia/Kolkata"),
    fee=FEE,
)
_HOUR: Final = timedelta(hours=1)


class Found(NamedTuple):
    """What has to be found of a plant's rows, by their places in it.

    `what` is the number of a rule, or a type of mismatch, which names the first row of
    each side: the one with the least id.
    """

    what: int | str
    ours: Sequence[int]
    theirs: Sequence[int]


@dataclass(slots=True)
class Plant:
    """Rows that meet, but for their ids, and what they are."""

    rows: list[Movement] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)


@dataclass(slots=True)
class Garden:
    """All rows of a seed, shuffled; their ids are their places from 1."""

    rows: list[Movement]
    planted: Outcome


def garden(seed: int, *, plants: int = 12) -> Garden:
    """Return rows with so many plants, each of a kind by chance."""
    dice = random.Random(seed)
    beds = [dice.choice(KINDS)(_Maker(dice, number)) for number in range(plants)]
    rows = [
        (bed, place) for bed, one in enumerate(beds) for place in range(len(one.rows))
    ]
    dice.shuffle(rows)
    ids = {where: number for number, where in enumerate(rows, start=1)}
    planted = Outcome()
    for bed, one in enumerate(beds):
        for found in one.found:
            _label(planted, found, [ids[bed, place] for place in range(len(one.rows))])
    return Garden(
        [beds[bed].rows[place]._replace(id=ids[bed, place]) for bed, place in rows],
        planted,
    )


def _label(planted: Outcome, found: Found, ids: Sequence[int]) -> None:
    ours, theirs = (
        sorted(ids[place] for place in places) for places in (found.ours, found.theirs)
    )
    if isinstance(found.what, int):
        planted.matches.add(Match(found.what, tuple(ours), tuple(theirs)))
        return
    first = (min(side, default=None) for side in (ours, theirs))
    planted.mismatches.add(Mismatch(found.what, *first))


class _Maker:
    """Makes the rows of one plant."""

    def __init__(self, dice: random.Random, number: int) -> None:
        self.dice = dice
        self.number = number
        self.amount = Decimal(dice.randrange(100, 10_000_000)) / 100
        self.at = NOON + timedelta(seconds=dice.randrange(-3600, 3600))

    def row(self, side: Side, **values: Any) -> Movement:
        usual = {
            "reference_id": f"R{self.number}",
            "source_txn_id": f"{side}{self.number}",
            "account_id": None,
            "amount": self.amount,
            "currency": "INR",
            "direction": "C",
            "status": "SUCCESS",
            "at": self.at,
        }
        return Movement(id=0, side=side, **{**usual, **values})

    def pair(self, what: int | str | None, **theirs: Any) -> Plant:
        """Return a row of each side, and what their difference is."""
        found = [] if what is None else [Found(what, [0], [1])]
        return Plant([self.row(OURS), self.row(THEIRS, **theirs)], found)

    def alone(self, what: str | None, side: Side, **values: Any) -> Plant:
        """Return one row."""
        places: tuple[list[int], list[int]] = ([0], []) if side is OURS else ([], [0])
        found = [] if what is None else [Found(what, *places)]
        return Plant([self.row(side, **values)], found)

    def beside(self, what: str | None, matched: str, status: str) -> Plant:
        """Return a pair that matches with a status, and one more of a side."""
        side = self.dice.choice(list(Side))
        both = [self.row(each, status=matched) for each in Side]
        # The pair is nearer to each other.
        more = self.row(side, at=self.at + 2 * _HOUR, status=status)
        found = [Found(1, [0], [1])]
        if what is not None:
            found.append(Found(what, *([2], [1]) if side is OURS else ([0], [2])))
        return Plant([*both, more], found)

    def parts(self) -> list[Decimal]:
        """Return amounts of several rows."""
        count = self.dice.randrange(2, 6)
        return [Decimal(self.dice.randrange(100, 100_000)) / 100 for _ in range(count)]

    def coin(self) -> bool:
        return self.dice.random() < 0.5


# --- What matches ---------------------------------------------------------------------


def _plain(make: _Maker) -> Plant:
    return make.pair(1, at=make.at + make.dice.randrange(20) * _HOUR)


def _one_to_many(make: _Maker) -> Plant:
    parts = make.parts()
    theirs = [make.row(THEIRS, amount=part) for part in parts]
    rows = [make.row(OURS, amount=sum(parts, Decimal(0))), *theirs]
    return Plant(rows, [Found(2, [0], range(1, len(rows)))])


def _many_to_one(make: _Maker) -> Plant:
    parts = make.parts()
    whole = sum(parts, Decimal(0))
    ours = [make.row(OURS, amount=part) for part in parts]
    last = make.row(THEIRS, amount=whole - FEE.of(whole), at=make.at + 24 * _HOUR)
    return Plant([*ours, last], [Found(3, range(len(ours)), [len(ours)])])


def _by_account(make: _Maker) -> Plant:
    account = f"A{make.number}"
    reference = None if make.coin() else f"Q{make.number}"
    theirs = make.row(THEIRS, account_id=account, reference_id=reference)
    return Plant([make.row(OURS, account_id=account), theirs], [Found(4, [0], [1])])


# --- What does not --------------------------------------------------------------------


def _missing_external(make: _Maker) -> Plant:
    reference = None if make.coin() else f"R{make.number}"
    return make.alone("missing_external", OURS, reference_id=reference)


def _missing_internal(make: _Maker) -> Plant:
    status = make.dice.choice(["SUCCESS", "REVERSED"])
    return make.alone("missing_internal", THEIRS, status=status)


def _amount(make: _Maker) -> Plant:
    more = Decimal(make.dice.randrange(1, 1000)) / 100
    return make.pair("amount", amount=make.amount + more)


def _fee(make: _Maker) -> Plant:
    return make.pair("fee", amount=make.amount - FEE.of(make.amount))


def _currency(make: _Maker) -> Plant:
    return make.pair("currency", currency="USD", amount=make.amount + 1)


def _status(make: _Maker) -> Plant:
    if make.coin():
        return make.beside("status", "SUCCESS", "REVERSED")
    return make.pair("status", status=make.dice.choice(["FAILED", "REVERSED"]))


def _date(make: _Maker) -> Plant:
    return make.pair("date", at=make.at + make.dice.randrange(4, 9) * 24 * _HOUR)


def _duplicate(make: _Maker) -> Plant:
    return make.beside("duplicate", "SUCCESS", "SUCCESS")


def _ambiguous(make: _Maker) -> Plant:
    """Return rows of which none can be told, or too many of one side."""
    if make.dice.random() < 0.1:
        count = MOST_OF_A_KEY + 1
        rows = [make.row(OURS), *[make.row(THEIRS)] * count]
        return Plant(rows, [Found("ambiguous", [0], range(1, count + 1))])
    ours = [make.row(OURS, amount=make.amount + n) for n in range(2)]
    theirs = [make.row(THEIRS, amount=make.amount + 10 + n) for n in range(3)]
    return Plant([*ours, *theirs], [Found("ambiguous", [0, 1], [2, 3, 4])])


def _stale_pending(make: _Maker) -> Plant:
    if make.coin():
        return make.pair("stale_pending", status="PENDING")
    side = make.dice.choice(list(Side))
    return make.alone("stale_pending", side, status="PENDING")


# --- What is no mismatch --------------------------------------------------------------


def _moved_nothing(make: _Maker) -> Plant:
    return make.alone(None, make.dice.choice(list(Side)), status="FAILED")


def _may_still_come(make: _Maker) -> Plant:
    at = AS_OF - _HOUR
    if make.coin():
        return make.alone(None, make.dice.choice(list(Side)), status="PENDING", at=at)
    return make.pair(None, status="PENDING", at=at)


def _taken_back(make: _Maker) -> Plant:
    return make.beside(None, "REVERSED", "SUCCESS")


KINDS: Final[tuple[Callable[[_Maker], Plant], ...]] = (
    _plain,
    _one_to_many,
    _many_to_one,
    _by_account,
    _missing_external,
    _missing_internal,
    _amount,
    _fee,
    _currency,
    _status,
    _date,
    _duplicate,
    _ambiguous,
    _stale_pending,
    _moved_nothing,
    _may_still_come,
    _taken_back,
)
