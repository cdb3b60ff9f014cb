"""Two sides of a ledger in the database, with known differences between them."""

from typing import Any, Final

from django.db import connection

from tenants.scoping import all_tenants

TENANT: Final = "bench"
#: Of our rows: what becomes of every so many-th. The rest matches plainly.
_FILL: Final = """
INSERT INTO fintech_transactions (
    tenant_id, source, file_id, txn_id, source_txn_id, reference_id, account_id, amount,
    currency, status, direction, txn_timestamp, raw_row, row_hash)
SELECT %(tenant)s, %(source)s, %(file)s, %(source)s || ':' || n || %(suffix)s,
       %(source)s || n, {reference}, 'A' || n %% 1000, {amount}, 'INR', {status}, 'C',
       TIMESTAMPTZ '2026-01-15 00:00+05:30' + n %% 86000 * interval '1 second',
       jsonb_build_object('txn_id', n, 'remarks', repeat('x', 120), 'payer', 'a@b'),
       decode(md5(n::text), 'hex')
FROM (SELECT (n::bigint * 7919 + 104729) %% %(rows)s AS n
      FROM generate_series(0, %(rows)s - 1) AS n) AS shuffled
WHERE {where}
"""
_REFERENCE: Final = "lpad(n::text, 12, '0')"
_AMOUNT: Final = "(n %% 100000 + 100) / 100.0"


def fill(rows: int, files: tuple[int, int]) -> dict[str, int]:
    """Write so many rows of our side, and theirs; returns how many differ, by kind."""
    ours, theirs = files
    _insert(rows, "LEDGER", ours, where="n %% 100 <> 1")
    _insert(
        rows,
        "UPI",
        theirs,
        where="n %% 100 <> 2",
        # No reference, but account, amount and time agree.
        reference=f"CASE WHEN n %% 100 = 3 THEN NULL ELSE {_REFERENCE} END",
        amount=f"{_AMOUNT} + CASE WHEN n %% 200 = 4 THEN 7 ELSE 0 END",
        status="CASE WHEN n %% 200 = 5 THEN 'FAILED' ELSE 'SUCCESS' END",
    )
    _insert(rows, "UPI", theirs, where="n %% 200 = 6", suffix=":again")
    each = {"missing_internal": 100, "missing_external": 100, "amount": 200}
    each |= {"status": 200, "duplicate": 200}
    return {kind: rows // every for kind, every in each.items()}


def _insert(rows: int, source: str, file: int, *, where: str, **other: str) -> None:
    values: dict[str, Any] = {"tenant": TENANT, "source": source, "file": file}
    values |= {"rows": rows, "suffix": other.pop("suffix", "")}
    pieces = {"reference": _REFERENCE, "amount": _AMOUNT, "status": "'SUCCESS'"}
    with all_tenants(reason="benchmark"), connection.cursor() as cursor:
        cursor.execute(_FILL.format(where=where, **{**pieces, **other}), values)
