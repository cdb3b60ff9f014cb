"""Writes what a file says beside its rows, in the step that has read it.

The step's checkpoint is committed with it, so a step that is done again finds nothing
of its own; the unique keys would refuse to write anything twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from operator import attrgetter
from typing import Any, Final

from django.db import connection
from django.db.models import Count

from ingestion.findings import MOST_FAULTS, Findings
from ingestion.loader import Target, keep_out
from ingestion.models import KeptOutRow, Statement
from ingestion.reading import Chunk
from ingestion.sources import base
from ingestion.sources.base import Fault

_FAULTS: Final = """
INSERT INTO ingestion_filefault (tenant_id, file_id, line, control, expected, found)
SELECT %(tenant)s, %(file)s, line, control, expected, found
FROM unnest(%(lines)s::bigint[], %(controls)s::text[], %(expected)s::text[],
            %(found)s::text[]) AS f (line, control, expected, found)
ON CONFLICT (file_id, line, control, expected, found) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """By how much the counts of a file grow."""

    flagged: int
    faults: int


def record(
    target: Target, before: Findings, chunk: Chunk, *, is_checked: bool
) -> Recorded:
    """Write what a chunk says beside its rows.

    Of a file that was checked before, the faults are known.
    """
    _write_statements(target, chunk.statements, before=before.statements)
    room = MOST_FAULTS - len(before.faults)
    written = write_faults(target, chunk.faults[:room])
    return Recorded(
        flagged=_write_flags(target, chunk),
        faults=written if is_checked else len(chunk.faults),
    )


def _write_flags(target: Target, chunk: Chunk) -> int:
    """Write the doubts about rows; returns how many rows have one."""
    rows = [row for row in chunk.rows if row.flags]
    flags: dict[tuple[Any, ...], str] = {}
    for row in sorted(rows, key=attrgetter("line")):
        for column, reason, value in row.flags:
            flags.setdefault((row.line, column, reason.value), value)
    entries = [(*key, value, None, None) for key, value in flags.items()]
    keep_out(target, KeptOutRow.Why.FLAGGED, entries)
    return len({row.line for row in rows})


def _write_statements(
    target: Target, statements: Iterable[base.Statement], *, before: int
) -> None:
    Statement.objects.bulk_create(
        Statement(
            tenant_id=target.tenant,
            file_id=target.file_id,
            ordinal=ordinal,
            source=target.source,
            day=statement.closing_date or statement.opening_date or date.min,
            **statement._asdict(),
        )
        for ordinal, statement in enumerate(statements, before + 1)
    )


def write_faults(target: Target, faults: Sequence[Fault]) -> int:
    """Write faults that are not known yet; returns how many those were."""
    if not faults:
        return 0
    lines, controls, expected, found = (
        list(column) for column in zip(*faults, strict=True)
    )
    values: dict[str, Any] = {
        "tenant": target.tenant,
        "file": target.file_id,
        "lines": lines,
        "controls": [control.value for control in controls],
        "expected": [base.visible(text) for text in expected],
        "found": [base.visible(text) for text in found],
    }
    with connection.cursor() as cursor:
        cursor.execute(_FAULTS, values)
        return int(cursor.rowcount)


def count_reasons(file_id: int) -> list[list[Any]]:
    """Return of a file's rows that need a look why, the reason, and how many."""
    rows = KeptOutRow.objects.filter(file_id=file_id)
    counted = rows.values_list("why", "reason").annotate(rows=Count("id"))
    return [list(entry) for entry in counted.order_by("why", "reason")]
