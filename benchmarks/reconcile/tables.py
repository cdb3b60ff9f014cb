"""Two sides of a ledger in the database, with known differences between them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any, Final

from django.db import connection

from ingestion.models import IngestedFile
from jobs.models import Job
from reconciliation.models import MatchRule, Profile
from reconciliation.orders import run_order
from tenants.scoping import all_tenants, tenant_scope

TENANT: Final = "bench"
STARTS: Final = datetime(2026, 1, 14, 18, 30, tzinfo=UTC)
ENDS: Final = STARTS + timedelta(days=1)
_files: Final = count(1)
_OF_AN_ACCOUNT: Final = 20

#: Of our rows: what becomes of every so many-th. The rest matches plainly.
_FILL: Final = """
INSERT INTO fintech_transactions (
    tenant_id, source, file_id, txn_id, source_txn_id, reference_id, account_id, amount,
    currency, status, direction, txn_timestamp, raw_row, row_hash)
SELECT %(tenant)s, %(source)s, %(file)s,
       %(source)s || ':' || n || %(suffix)s, %(source)s || n, {reference},
       'A' || n %% %(accounts)s, {amount}, 'INR', {status}, 'C',
       TIMESTAMPTZ '2026-01-15 00:00+05:30' + n %% 86000 * interval '1 second',
       jsonb_build_object('txn_id', n, 'remarks', repeat('x', 120), 'payer', 'a@b'),
       decode(md5(n::text), 'hex')
FROM (SELECT {order} AS n FROM generate_series(0, %(rows)s - 1) AS n) AS ordered
WHERE {where}
"""
#: As files come whose references are numbers of a series, and as they come otherwise.
_IN_ORDER: Final = "n::bigint"
_SHUFFLED: Final = "(n::bigint * 7919 + 104729) %% %(rows)s"
#: What the loader adds up and notes of a file.
_ADD_UP: Final = """
UPDATE ingestion_ingestedfile f
SET inserted = t.rows, rows = t.rows, first_at = t.first, last_at = t.last,
    totals = t.totals
FROM (
    SELECT sum(rows) AS rows, min(first) AS first, max(last) AS last,
           jsonb_agg(jsonb_build_array(currency, status, direction, rows, amount::text))
               AS totals
    FROM (
        SELECT currency, status, direction, count(*) AS rows, sum(amount) AS amount,
               min(txn_timestamp) AS first, max(txn_timestamp) AS last
        FROM fintech_transactions WHERE file_id = %(file)s GROUP BY 1, 2, 3
    ) AS t
) AS t WHERE f.id = %(file)s
"""
_REFERENCE: Final = "lpad(n::text, 12, '0')"
_AMOUNT: Final = "(n %% 100000 + 100) / 100.0"


def fill(rows: int, *, is_shuffled: bool = False) -> dict[str, int]:
    """Write so many rows of our side, and theirs; returns how many differ, by kind."""
    order = _SHUFFLED if is_shuffled else _IN_ORDER
    _insert(rows, "LEDGER", where="n %% 100 <> 1", order=order)
    _insert(
        rows,
        "UPI",
        where="n %% 100 <> 2",
        order=order,
        # No reference, but account, amount and time agree.
        reference=f"CASE WHEN n %% 100 = 3 THEN NULL ELSE {_REFERENCE} END",
        amount=f"{_AMOUNT} + CASE WHEN n %% 200 = 4 THEN 7 ELSE 0 END",
        status="CASE WHEN n %% 200 = 5 THEN 'FAILED' ELSE 'SUCCESS' END",
    )
    _insert(rows, "UPI", where="n %% 200 = 6", suffix=":again", order=order)
    each = {"missing_internal": 100, "missing_external": 100, "amount": 200}
    each |= {"status": 200, "duplicate": 200}
    return {kind: rows // every for kind, every in each.items()}


def add(rows: int) -> None:
    """Write new files of so many rows of each side, all of which match."""
    for source in ("LEDGER", "UPI"):
        reference = "'N' || lpad(n::text, 12, '0')"
        _insert(rows, source, where="true", suffix=":new", reference=reference)


def profile() -> Any:
    """Return the profile that compares the two sides, made if it is not there."""
    found, is_new = Profile.objects.get_or_create(
        tenant_id=TENANT,
        name="bench",
        defaults={"internal_sources": ["LEDGER"], "external_sources": ["UPI"]},
    )
    if is_new:
        rules: tuple[dict[str, Any], ...] = (
            {"key": "reference_id"},
            {
                "key": "account_id",
                "amount": Decimal("0.50"),
                "days": 0,
                "is_confirmed": False,
            },
        )
        for place, rule in enumerate(rules, start=1):
            MatchRule.objects.create(
                tenant_id=TENANT, profile=found, place=place, **rule
            )
    return found


def order() -> Job:
    """Enqueue a run over the day of the rows, and return its job."""
    with tenant_scope(TENANT):
        return run_order(
            profile=profile(), starts_at=STARTS, ends_at=ENDS, now=datetime.now(UTC)
        )


def forget_runs() -> None:
    """Forget what was found before."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE reconciliations, reconciliation_mismatchevent,"
            " reconciliation_openrow, reconciliation_finding, reconciliation_match,"
            " reconciliation_matchrow, reconciliation_fileday, reconciliation_run"
        )


def _insert(rows: int, source: str, *, where: str, **other: str) -> None:
    with tenant_scope(TENANT):
        file = IngestedFile.objects.create(
            tenant_id=TENANT,
            source=source,
            path=f"{source}/{next(_files)}",
            size=1,
            state=IngestedFile.State.LOADED,
        )
    values: dict[str, Any] = {"tenant": TENANT, "source": source, "file": file.pk}
    values |= {"rows": rows, "suffix": other.pop("suffix", "")}
    # Of one account there are about as many, however many rows.
    values["accounts"] = max(1, rows // _OF_AN_ACCOUNT)
    pieces = {"order": _IN_ORDER, "reference": _REFERENCE, "amount": _AMOUNT}
    pieces |= {"status": "'SUCCESS'", **other}
    with all_tenants(reason="benchmark"), connection.cursor() as cursor:
        cursor.execute(_FILL.format(where=where, **pieces), values)
        cursor.execute(_ADD_UP, values)
