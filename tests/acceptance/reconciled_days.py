"""Days of a tenant's ledger and of UPI, in which some of each day differs.

A few payments of every day differ, each in the next of `DIFFERENCES`; the rest plainly
match.
"""

import csv
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

from tests.acceptance.product import Product

PROFILE: Final = "UPI daily"
INDIA: Final = ZoneInfo("Asia/Kolkata")
UPI: Final = (
    *("txn_id", "rrn", "payer_vpa", "payee_vpa", "amount", "currency", "status"),
    *("txn_timestamp", "remarks"),
)
LEDGER: Final = (
    *("Entry ID", "Reference", "Account", "VPA", "Debit", "Credit", "Currency"),
    *("Status", "Posted At"),
)
Row = dict[str, str]
#: What the ledger says otherwise; None: it says nothing.
DIFFERENCES: Final[tuple[Row | None, ...]] = (
    {"Debit": "+90.00"},
    None,
    {"Reference": "lost"},
    {"Debit": "+2.36"},
    {"Status": "FAILED"},
    {"Status": "PENDING"},
)


def load(product: Product, tenant: str, days: Mapping[date, int], folder: Path) -> str:
    """Load both sides of days, each with so many that differ; returns the tenant's key.

    Then the tenant has a profile and a schedule as the demonstration makes them.
    """
    key = product.create_tenant(tenant)
    files: dict[str, list[Path]] = {"UPI": [], "LEDGER": []}
    for day, different in days.items():
        for source, rows in zip(files, _sides(day, different), strict=True):
            path = folder / f"{source.lower()}_{day}.csv"
            _write(path, rows)
            files[source].append(path)
    for source, paths in files.items():
        to = ("--tenant", tenant, "--source", source)
        product.manage("upload", *to, "--wait", *paths)
    product.manage(
        *("shell", "-c"),
        "from django.utils import timezone\n"
        "from taskqueue_site.demo_reconciliation import prepare\n"
        f"prepare({tenant!r}, now=timezone.now())",
    )
    return key


def compare(product: Product, key: str, tenant: str, day: date) -> Any:
    """Run the profile over a day; returns the job's result."""
    starts = datetime.combine(day, time(), INDIA)
    body = {
        "tenant_id": tenant,
        "profile": PROFILE,
        "starts_at": starts.isoformat(),
        "ends_at": (starts + timedelta(days=1)).isoformat(),
    }
    status, job = product.call(key, "/enqueue/reconcile", body)
    assert status == 202, job
    ended = product.wait_for_end(key, job["id"])
    assert ended["state"] == "succeeded", ended["error"]
    return ended["result"]


def _sides(day: date, different: int, payments: int = 120) -> tuple[list[Row], ...]:
    rng = Random(day.toordinal())
    theirs: list[Row] = []
    ours: list[Row] = []
    for number in range(1, payments + 1):
        payment = _payment(rng, day, number)
        theirs.append(payment)
        ours += _booked(payment, number - 1 if number <= different else None)
    return theirs, ours


def _payment(rng: Random, day: date, number: int) -> Row:
    payer = rng.choice(("asha", "ravi.k", "meena", "gurpreet", "fatima"))
    return {
        "txn_id": f"ICI{day:%Y%m%d}{number:04}",
        "rrn": f"{rng.randrange(10**11, 10**12)}",
        "payer_vpa": f"{payer}{number}@okicici",
        "payee_vpa": f"{rng.choice(('bookshop', 'pharmacy', 'kirana'))}@ybl",
        "amount": f"{10 ** rng.uniform(2, 4.5):.2f}",
        "currency": "INR",
        "status": "SUCCESS",
        "txn_timestamp": f"{day} {9 + number // 12:02}:{number % 60:02}:00",
        "remarks": "",
    }


def _booked(payment: Row, different: int | None) -> Iterator[Row]:
    entry = {
        "Entry ID": f"L{payment['txn_id'][3:]}",
        "Reference": payment["rrn"],
        "Account": "50100098765432",
        "VPA": payment["payee_vpa"],
        "Debit": payment["amount"],
        "Credit": "",
        "Currency": "INR",
        "Status": "POSTED",
        "Posted At": payment["txn_timestamp"],
    }
    if different is None:
        yield entry
        return
    change = DIFFERENCES[different % len(DIFFERENCES)]
    if change is None:
        return
    if "Debit" in change:
        amount = Decimal(entry["Debit"]) + Decimal(change["Debit"])
        yield entry | {"Debit": f"{amount}"}
    elif "Reference" in change:
        # Nobody knows it: missing on both sides.
        yield entry | {"Reference": f"9{entry['Reference'][:-1]}"}
    else:
        yield entry | change


def _write(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, UPI if "txn_id" in rows[0] else LEDGER)
        writer.writeheader()
        writer.writerows(rows)
