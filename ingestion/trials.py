"""What a dialect makes of a sample: its rows, rejects, flags, faults and sums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from ingestion.sources.base import (
    Fault,
    Flag,
    Record,
    Reject,
    Row,
    SourceError,
    Statement,
)
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.headers import Layout
from ingestion.sources.dialect.notes import Told
from ingestion.sources.dialect.opening import open_file
from ingestion.sources.dialect.source import source_of

#: The largest sample, and how much of it is shown.
MAX_BYTES: Final = 1024 * 1024
SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Reading:
    """What of a dialect a file has: nothing says so of a check that finds no column."""

    #: By field or label: what the file calls the column, or what it states.
    columns: Mapping[str, str]
    labels: Mapping[str, str]
    #: Fields and labels that the dialect names and the file lacks.
    missing_columns: Sequence[str]
    missing_labels: Sequence[str]
    #: Columns of the file that the dialect does not name.
    unused: Sequence[str]


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
    reading: Reading | None = None

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


def try_on(dialect: Dialect, sample: bytes) -> Trial:
    """Return what a dialect makes of a sample; nothing is kept.

    Raises DialectError if the dialect is none.
    """
    trial = Trial()
    reading = source_of(dialect).read([sample])
    try:
        layout = open_file(dialect, [sample]).layout
        for record in reading:
            trial.add(record)
    except SourceError as error:
        trial.refusal = error
    else:
        told = reading.position.state.get("told", ())
        trial.reading = _reading(dialect, layout, [Told(*each) for each in told])
    return trial


def _reading(dialect: Dialect, layout: Layout, told: Sequence[Told]) -> Reading:
    columns = {field: layout.names[place] for field, place in layout.at.items()}
    labels: dict[str, str] = {}
    for each in told:
        labels.setdefault(each.label, each.value)
    # A line of totals states the sums of its columns.
    found = {*labels, *(["totals"] if {"debit_sum", "credit_sum"} & {*labels} else [])}
    used = set(columns.values())
    return Reading(
        columns,
        labels,
        [field for field in dialect.columns if field not in columns],
        [label for label in dialect.labels if label not in found],
        [name for name in layout.names if name.strip() and name not in used],
    )
