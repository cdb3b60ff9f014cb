"""Two small sides in which much that can differ does, for trying the kind out."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, NamedTuple

from ingestion.models import IngestedFile, Transaction
from jobs.handlers import JSONDict
from reconciliation.models import MatchRule, Profile
from tenants.scoping import tenant_scope

_STARTS: Final = datetime(2026, 1, 14, 18, 30, tzinfo=UTC)


class _Row(NamedTuple):
    source: str
    id: str
    reference: str | None
    amount: str
    status: str = "SUCCESS"
    account: str | None = None


_ROWS: Final = (
    _Row("LEDGER", "L1", "600000000001", "10.00"),
    _Row("UPI", "U1", "600000000001", "10.00"),
    _Row("LEDGER", "L2", "600000000002", "20.00"),
    _Row("UPI", "U2", "600000000002", "27.00"),
    _Row("LEDGER", "L3", "600000000003", "30.00"),
    _Row("UPI", "U4", "600000000004", "40.00"),
    # Twice on their side.
    _Row("LEDGER", "L5", "600000000005", "50.00"),
    _Row("UPI", "U5", "600000000005", "50.00"),
    _Row("UPI", "U5B", "600000000005", "50.00"),
    # In two parts.
    _Row("LEDGER", "L6", "600000000006", "60.00"),
    _Row("UPI", "U6A", "600000000006", "20.00"),
    _Row("UPI", "U6B", "600000000006", "40.00"),
    # Known by their account alone.
    _Row("LEDGER", "L7", "600000000007", "70.00", account="A7"),
    _Row("UPI", "U7", None, "70.00", account="A7"),
    _Row("LEDGER", "L8", "600000000008", "80.00"),
    _Row("UPI", "U8", "600000000008", "80.00", "FAILED"),
    _Row("LEDGER", "L9", "600000000009", "90.00", "PENDING"),
    # Rounded.
    _Row("LEDGER", "L10", "600000000010", "99.99"),
    _Row("UPI", "U10", "600000000010", "100.00"),
)


def put(tenant: str) -> JSONDict:
    """Write profile and rows, and return the payload that compares them."""
    with tenant_scope(tenant):
        profile = Profile.objects.create(
            tenant_id=tenant,
            name="Sample",
            internal_sources=["LEDGER"],
            external_sources=["UPI"],
            closes_up_to=Decimal("0.01"),
        )
        for place, (key, shape, is_confirmed) in enumerate(
            (
                (MatchRule.Key.REFERENCE, MatchRule.Shape.ONE_TO_ONE, True),
                (MatchRule.Key.REFERENCE, MatchRule.Shape.ONE_TO_MANY, True),
                (MatchRule.Key.ACCOUNT, MatchRule.Shape.ONE_TO_ONE, False),
            ),
            start=1,
        ):
            MatchRule.objects.create(
                tenant_id=tenant,
                profile=profile,
                place=place,
                key=key,
                shape=shape,
                is_confirmed=is_confirmed,
            )
        for source in ("LEDGER", "UPI"):
            _put_rows(tenant, source)
    return {
        "profile": "Sample",
        "starts_at": _STARTS.isoformat(),
        "ends_at": (_STARTS + timedelta(days=1)).isoformat(),
    }


def _put_rows(tenant: str, source: str) -> None:
    rows = [row for row in _ROWS if row.source == source]
    file = IngestedFile.objects.create(
        tenant_id=tenant,
        source=source,
        path=f"sample/{source.lower()}.csv",
        size=1,
        rows=len(rows),
        inserted=len(rows),
        state=IngestedFile.State.LOADED,
    )
    Transaction.objects.bulk_create(
        Transaction(
            tenant_id=tenant,
            file=file,
            source=source,
            txn_id=f"{source}:{row.id}",
            source_txn_id=row.id,
            reference_id=row.reference,
            account_id=row.account,
            amount=Decimal(row.amount),
            currency="INR",
            direction="C",
            status=row.status,
            txn_timestamp=_STARTS + timedelta(hours=number),
            raw_row={},
            row_hash=b"",
        )
        for number, row in enumerate(rows)
    )
