"""What reading a file has brought to light so far, for its checkpoints. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, Self

from ingestion.reading import Chunk
from ingestion.sources.base import Control, Fault, Row

#: Faults that are kept of one reading; the others are counted.
MOST_FAULTS: Final = 100

CONTROLS: Final[Mapping[str, Control]] = {control.value: control for control in Control}

#: Bytes of rejected rows that are kept to be sent again; whose file has more of them
#: will not correct it by hand.
MOST_RAW_BYTES: Final = 64 * 1024 * 1024

#: From the first to the last moment.
Span = tuple[datetime, datetime]
#: The span of rows of which it was not noted.
EVER: Final[Span] = (
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
)
#: By currency, status and direction: how many rows, and their sum.
Totals = Mapping[tuple[str, str, str], tuple[int, Decimal]]


@dataclass(frozen=True, slots=True)
class Findings:
    """The counts, the totals and the first faults of a file, as far as it was read."""

    rows: int = 0
    rejected: int = 0
    raw_bytes: int = 0
    statements: int = 0
    fault_count: int = 0
    faults: tuple[Fault, ...] = ()
    totals: Totals = field(default_factory=dict)
    #: When the accepted rows moved money; None: there are none.
    span: Span | None = None

    def plus(self, chunk: Chunk) -> Self:
        """Return the findings once a chunk more was read."""
        kept = (*self.faults, *chunk.faults)[:MOST_FAULTS]
        return type(self)(
            rows=self.rows + chunk.row_count,
            rejected=self.rejected + len(chunk.rejects),
            raw_bytes=self.raw_bytes + sum(len(r.raw or b"") for r in chunk.rejects),
            statements=self.statements + len(chunk.statements),
            fault_count=self.fault_count + len(chunk.faults),
            faults=kept,
            totals=_added(self.totals, chunk.rows),
            span=_spanned(self.span, chunk.rows),
        )

    def known_span(self) -> Span | None:
        """Return when its rows moved money; None if there are none, or nobody knows."""
        return None if self.span == EVER else self.span

    def totals_as_json(self) -> list[list[Any]]:
        """Return the totals in order, each amount with all its digits as text."""
        return [
            [*key, rows, format(amount, "f")]
            for key, (rows, amount) in sorted(self.totals.items())
        ]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return what `to_json` wrote."""
        return cls(
            rows=data["rows"],
            rejected=data["rejected"],
            raw_bytes=data["raw_bytes"],
            statements=data["statements"],
            fault_count=data["fault_count"],
            faults=tuple(
                Fault(line, CONTROLS[control], expected, found)
                for line, control, expected, found in data["faults"]
            ),
            totals={
                (currency, status, direction): (rows, Decimal(amount))
                for currency, status, direction, rows, amount in data["totals"]
            },
            span=_span_of(data),
        )

    def to_json(self) -> dict[str, Any]:
        """Return it for a checkpoint."""
        return {
            "rows": self.rows,
            "rejected": self.rejected,
            "raw_bytes": self.raw_bytes,
            "statements": self.statements,
            "fault_count": self.fault_count,
            "faults": [[f.line, f.control.value, *f[2:]] for f in self.faults],
            "totals": self.totals_as_json(),
            "span": self.span and [moment.isoformat() for moment in self.span],
        }


def _added(totals: Totals, rows: Iterable[Row]) -> Totals:
    amounts: dict[tuple[Any, ...], list[Decimal]] = defaultdict(list)
    for row in rows:  # every row of a file: its fields by name would take twice as long
        amounts[row[8:11]].append(row[7])
    sums = dict(totals)
    for (currency, status, direction), found in amounts.items():
        key = (currency, status, direction)
        rows_before, before = totals.get(key, (0, Decimal(0)))
        sums[key] = (rows_before + len(found), sum(found, before))
    return sums


def _spanned(span: Span | None, rows: Iterable[Row]) -> Span | None:
    moments = [*(span or ()), *(row.txn_timestamp for row in rows)]
    return (min(moments), max(moments)) if moments else None


def _span_of(data: dict[str, Any]) -> Span | None:
    """Return the span in a checkpoint; older ones had none."""
    if "span" not in data:
        return EVER if data["totals"] else None
    if data["span"] is None:
        return None
    first, last = map(datetime.fromisoformat, data["span"])
    return first, last
