"""Writes a chunk of a file's records: one COPY, one INSERT, exact counts.

COPY cannot write to a table behind row-level security, so rows go to a temporary stage
first. Rows are inserted in the order of their ids, so that two files loaded at the same
time lock in the same order and cannot deadlock.
"""

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from operator import itemgetter
from typing import Any, Self

from django.db import connection

from ingestion.copying import COLUMNS, NULL, copy_text
from ingestion.models import KeptOutRow
from ingestion.sources.base import Reject, Row

_STAGE = """
CREATE TEMPORARY TABLE IF NOT EXISTS ingest_stage (
    txn_id text, source_txn_id text, reference_id text, account_id text,
    counterparty_account text, vpa_or_ifsc text, amount numeric, currency text,
    status text, direction text, txn_timestamp timestamptz, row_hash bytea,
    raw_row jsonb
) ON COMMIT DELETE ROWS
"""
_COPY = f"COPY ingest_stage ({', '.join(COLUMNS)}) FROM STDIN (NULL E'{NULL}')"
#: Bytes that are handed over at once: after each piece a thread waits for its turn.
_COPY_BYTES = 1 << 24
_BY_ID = itemgetter(Row._fields.index("txn_id"))

# The stage is read in the order in which it was written, which is that of the ids.
# Returns the ids that were there already.
_INSERT = """
WITH inserted AS (
    INSERT INTO fintech_transactions (
        tenant_id, source, file_id, txn_id, source_txn_id, reference_id, account_id,
        counterparty_account, vpa_or_ifsc, amount, currency, status, direction,
        txn_timestamp, raw_row, row_hash)
    SELECT
        %(tenant)s, %(source)s, %(file)s, txn_id, source_txn_id, reference_id,
        account_id, counterparty_account, vpa_or_ifsc, amount, currency, status,
        direction, txn_timestamp, raw_row, row_hash
    FROM ingest_stage
    ON CONFLICT (tenant_id, txn_id) DO NOTHING
    RETURNING txn_id)
SELECT s.txn_id FROM ingest_stage s
WHERE NOT EXISTS (SELECT FROM inserted i WHERE i.txn_id = s.txn_id)
"""

# A statement of its own: it sees what another load committed in the meantime. OFFSET 0
# keeps the planner on the unique index while a new table has no statistics.
_STORED = """
SELECT wanted.txn_id, (
    SELECT t.row_hash FROM fintech_transactions t
    WHERE t.tenant_id = %(tenant)s AND t.txn_id = wanted.txn_id OFFSET 0)
FROM unnest(%(ids)s::text[]) AS wanted (txn_id)
"""

_KEEP_OUT = """
INSERT INTO ingestion_keptoutrow
    (tenant_id, file_id, line, why, "column", reason, value, raw_row, raw)
SELECT %(tenant)s, %(file)s, line, %(why)s, "column", reason, value, raw_row::jsonb, raw
FROM unnest(%(lines)s::bigint[], %(columns)s::text[], %(reasons)s::text[],
            %(values)s::text[], %(raw_rows)s::text[], %(raws)s::bytea[])
    AS r (line, "column", reason, value, raw_row, raw)
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows of a file became what."""

    rows: int = 0
    inserted: int = 0
    duplicate: int = 0
    conflicting: int = 0
    rejected: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        """Return the sums."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Counts(*(mine + theirs for mine, theirs in pairs))


@dataclass(frozen=True, slots=True)
class Target:
    """Where a chunk's rows belong."""

    tenant: str
    source: str
    file_id: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are written together, made ready for COPY."""

    rows: Sequence[Row]
    #: By their ids; of several rows with one id the first in the file wins.
    firsts: Mapping[str, Row]
    text: bytes

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Self:
        """Make rows ready, in the order of their ids."""
        firsts = {row.txn_id: row for row in reversed(rows)}
        return cls(rows, firsts, copy_text(sorted(firsts.values(), key=_BY_ID)))


def send(batch: Batch) -> None:
    """Send rows to the server inside the open transaction, in which they are loaded."""
    with connection.cursor() as cursor:
        cursor.execute(_STAGE)
        cursor.copy_expert(_COPY, io.BytesIO(batch.text), _COPY_BYTES)


def load(target: Target, batch: Batch, rejects: Sequence[Reject]) -> Counts:
    """Write a chunk whose rows were sent, and return what they became."""
    rows = batch.rows
    inserted, conflicts = _load_rows(target, batch) if rows else (0, [])
    _keep_out_rejects(target, rejects)
    _keep_out_conflicts(target, conflicts)
    return Counts(
        rows=len(rows) + len(rejects),
        inserted=inserted,
        duplicate=len(rows) - inserted - len(conflicts),
        conflicting=len(conflicts),
        rejected=len(rejects),
    )


def _load_rows(target: Target, batch: Batch) -> tuple[int, list[Row]]:
    """Insert what is new; return how many rows that is, and the conflicting ones."""
    rows, firsts = batch.rows, batch.firsts
    known = _insert(target)
    inserted = len(firsts) - len(known)
    if inserted == len(rows):
        return inserted, []
    others = [r for r in rows if r.txn_id in known or r is not firsts[r.txn_id]]
    stored = _stored(target, {row.txn_id for row in others})
    return inserted, [row for row in others if stored[row.txn_id] != row.row_hash]


def _insert(target: Target) -> set[str]:
    """Insert the rows that were sent; return the ids that the tenant had already."""
    values: dict[str, Any] = {
        "tenant": target.tenant,
        "source": target.source,
        "file": target.file_id,
    }
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, values)
        return {txn_id for (txn_id,) in cursor.fetchall()}


def _stored(target: Target, ids: Collection[str]) -> dict[str, bytes]:
    """Return the hash of the row that is stored under each id."""
    values: dict[str, Any] = {"tenant": target.tenant, "ids": list(ids)}
    with connection.cursor() as cursor:
        cursor.execute(_STORED, values)
        return {txn_id: bytes(row_hash) for txn_id, row_hash in cursor.fetchall()}


def _keep_out_rejects(target: Target, rejects: Sequence[Reject]) -> None:
    keep_out(
        target,
        KeptOutRow.Why.REJECTED,
        [
            (r.line, r.column or "", r.reason.value, r.value, None, r.raw)
            for r in rejects
        ],
    )


def _keep_out_conflicts(target: Target, conflicts: Sequence[Row]) -> None:
    keep_out(
        target,
        KeptOutRow.Why.CONFLICTING,
        [
            (row.line, "txn_id", "conflicting", row.txn_id, row.raw_row, None)
            for row in conflicts
        ],
    )


def keep_out(
    target: Target, why: KeptOutRow.Why, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Write rows that need a look: line, column, reason, value, raw row, raw bytes."""
    if not rows:
        return
    lines, columns, reasons, values, raw_rows, raws = (
        list(column) for column in zip(*rows, strict=True)
    )
    parameters: dict[str, Any] = {
        "tenant": target.tenant,
        "file": target.file_id,
        "why": why.value,
        "lines": lines,
        "columns": columns,
        "reasons": reasons,
        "values": values,
        "raw_rows": raw_rows,
        "raws": raws,
    }
    with connection.cursor() as cursor:
        cursor.execute(_KEEP_OUT, parameters)
