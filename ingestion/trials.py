"""What a dialect makes of a sample: its rows, rejects, flags, faults and sums."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from ingestion.sources.base import (
    Fault,
    Flag,
    Record,
    Reject,
    Row,
    Source,
    SourceError,
    Statement,
)

#: The largest sample, and how much of it is shown.
MAX_BYTES: Final = 1024 * 1024
SHOWN: Final = 50


@dataclass(slots=True)
class Trial:
    """What was found; of rows and rejects the first `SHOWN`."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    flags: list[tuple[int, Flag]] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    row_count: int = 0
    reject_count: int = 0
    flag_count: int = 0
    credits: dict[str, Decimal] = field(default_factory=dict)
    debits: dict[str, Decimal] = field(default_factory=dict)
    #: Why the whole sample is of no use.
    refusal: SourceError | None = None

    def add(self, record: Record) -> None:
        """Count a record, and keep it while there is room."""
        if isinstance(record, Row):
            self._add_row(record)
        elif isinstance(record, Reject):
            self.reject_count += 1
            if self.reject_count <= SHOWN:
                self.rejects.append(record)
        elif isinstance(record, Fault):
            self.faults.append(record)
        else:
            self.statements.append(record)

    def _add_row(self, row: Row) -> None:
        self.row_count += 1
        if self.row_count <= SHOWN:
            self.rows.append(row)
        self.flag_count += len(row.flags)
        self.flags += [(row.line, flag) for flag in row.flags][
            : max(0, SHOWN - len(self.flags))
        ]
        sums = self.credits if row.direction == "C" else self.debits
        sums[row.currency] = sums.get(row.currency, Decimal(0)) + row.amount


def try_on(source: Source, sample: bytes) -> Trial:
    """Return what a source makes of a sample; nothing is kept."""
    trial = Trial()
    try:
        for record in source.read([sample]):
            trial.add(record)
    except SourceError as error:
        trial.refusal = error
    return trial
