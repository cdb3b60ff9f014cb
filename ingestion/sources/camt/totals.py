"""What a statement says about itself, against what its entries add up to."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ingestion.sources.base import Control, Fault, visible
from ingestion.sources.camt import values
from ingestion.sources.camt.entries import DIRECTIONS, Tally

ZERO: Final = values.ZERO


class Sums(NamedTuple):
    """What entries add up to: those of one currency, or all that are pending."""

    #: Rows that they became, refused ones included.
    rows: int = 0
    credit_count: int = 0
    credits: Decimal = ZERO
    debit_count: int = 0
    debits: Decimal = ZERO

    def plus(self, rows: int, tally: Tally) -> "Sums":
        """Return the sums with one more entry, as far as it can be read."""
        before, credit_count, credits_, debit_count, debits = self
        if tally.amount is None or not tally.direction:
            return self._replace(rows=before + rows)
        if tally.direction == "C":
            credits_ = values.plus(credits_, tally.amount)
            credit_count += 1
        else:
            debits = values.plus(debits, tally.amount)
            debit_count += 1
        return Sums(before + rows, credit_count, credits_, debit_count, debits)

    def __add__(self, other: object) -> "Sums":
        """Return the sums of both."""
        if not isinstance(other, Sums):
            return NotImplemented
        return Sums(
            self.rows + other.rows,
            self.credit_count + other.credit_count,
            values.plus(self.credits, other.credits),
            self.debit_count + other.debit_count,
            values.plus(self.debits, other.debits),
        )

    def to_json(self) -> list[Any]:
        """Return it for a position."""
        return [str(each) if isinstance(each, Decimal) else each for each in self]

    @classmethod
    def from_json(cls, data: list[Any]) -> "Sums":
        """Return what `to_json` wrote."""
        rows, credit_count, credits_, debit_count, debits = data
        return cls(rows, credit_count, Decimal(credits_), debit_count, Decimal(debits))


#: Which control a total is. They go over all currencies. `_found` keeps their order.
_TOTALS: Final = {
    "TtlNtries/NbOfNtries": Control.ROW_COUNT,
    "TtlNtries/Sum": Control.TOTAL_SUM,
    "TtlNtries/TtlNetNtry/Amt": Control.TOTAL_SUM,
    "TtlNtries/TtlNetNtryAmt": Control.TOTAL_SUM,
    "TtlCdtNtries/NbOfNtries": Control.ROW_COUNT,
    "TtlCdtNtries/Sum": Control.CREDIT_SUM,
    "TtlDbtNtries/NbOfNtries": Control.ROW_COUNT,
    "TtlDbtNtries/Sum": Control.DEBIT_SUM,
}
_NET_DIRECTIONS: Final = ("TtlNtries/TtlNetNtry/CdtDbtInd", "TtlNtries/CdtDbtInd")
#: What of a `TxsSummry` is kept until the statement ends.
DECLARED: Final = (*_TOTALS, *_NET_DIRECTIONS)


def total_faults(
    declared: Mapping[str, str], line: int, entries: int, booked: Sums, pending: Sums
) -> Iterator[Fault]:
    """Yield a fault for each declared total that does not hold.

    Banks disagree on whether pending entries count, so either is right.
    """
    every = _found(booked + pending, entries)
    settled = _found(booked, booked.credit_count + booked.debit_count)
    for key, control in _TOTALS.items():
        text = declared.get(key)
        if text is None:
            continue
        number = values.number(text)
        if number is None:
            yield Fault(line, Control.UNREADABLE, visible(text), "no number")
            continue
        number = _signed(key, number, declared)
        if number not in {every[key], settled[key]}:
            yield Fault(line, control, _plain(key, number), _plain(key, every[key]))


def _found(sums: Sums, entries: int) -> dict[str, Decimal]:
    net = values.minus(sums.credits, sums.debits)
    found = (
        Decimal(entries),
        values.plus(sums.credits, sums.debits),
        net,
        net,
        Decimal(sums.credit_count),
        sums.credits,
        Decimal(sums.debit_count),
        sums.debits,
    )
    return dict(zip(_TOTALS, found, strict=True))


def _plain(key: str, number: Decimal) -> str:
    return f"{number:.0f}" if key.endswith("NbOfNtries") else f"{number:f}"


def _signed(key: str, number: Decimal, declared: Mapping[str, str]) -> Decimal:
    if "TtlNet" not in key:
        return number
    way = values.first(declared, _NET_DIRECTIONS)
    return values.minus(ZERO, number) if DIRECTIONS.get(way) == "D" else number
