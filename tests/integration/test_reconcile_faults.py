"""What files say of themselves and does not hold is told among the mismatches."""

import random
from datetime import date, timedelta
from typing import Any

import pytest
from django.db.models import F

from ingestion.models import FileFault, IngestedFile, Statement
from ingestion.sources.base import Control
from reconciliation.models import MismatchEvent, Reconciliation
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_tenant
from tests.integration.two_sides import (
    ENDS,
    STARTS,
    arrive,
    drive,
    make_profile,
    theirs,
)

pytestmark = pytest.mark.django_db

GAPS = {Control.STATEMENT_GAP, Control.STATEMENT_REPEAT, Control.PAGE}


@pytest.fixture(autouse=True)
def tenant() -> None:
    make_tenant("t1")


def plant(file: IngestedFile, control: str, *, line: int = 1) -> int:
    """Write a fault of a file; returns its id."""
    with tenant_scope("t1"):
        fault = FileFault.objects.create(
            tenant_id="t1",
            file=file,
            line=line,
            control=control,
            expected="2",
            found="3",
        )
        IngestedFile.objects.filter(pk=file.pk).update(fault_count=F("fault_count") + 1)
    return int(fault.pk)


def file_with(*rows: Any) -> IngestedFile:
    arrive(*rows)
    with all_tenants(reason="test"):
        file: IngestedFile = IngestedFile.objects.latest("pk")
    return file


def told() -> dict[int, tuple[str, str]]:
    """Return type and state of the mismatches of faults, by the fault."""
    with all_tenants(reason="test"):
        rows = Reconciliation.objects.exclude(fault_id=None)
        found = rows.values_list("fault_id", "mismatch_type", "state")
        return {fault: (kind, state) for fault, kind, state in found if fault}


@pytest.mark.parametrize("seed", range(5))
def test_planted_faults_are_told_and_closed_once_they_are_settled(seed: int):
    dice = random.Random(seed)
    make_profile()
    planted: dict[int, str] = {}
    for number in range(4):
        file = file_with(theirs(f"R{number}"))
        for line, control in enumerate(dice.sample(list(Control), 4), start=1):
            kind = "file_gap" if control in GAPS else "statement_balance"
            planted[plant(file, control, line=line)] = kind
    drive()
    assert told() == {fault: (kind, "open") for fault, kind in planted.items()}
    assert drive()["found"] == 0
    settled = set(dice.sample(sorted(planted), 7))
    with all_tenants(reason="test"):
        FileFault.objects.filter(pk__in=settled).update(settled_at=ENDS)
    assert drive()["closed"] == 7
    assert told() == {
        fault: (kind, "closed" if fault in settled else "open")
        for fault, kind in planted.items()
    }
    with all_tenants(reason="test"):
        assert MismatchEvent.objects.filter(action="closed").count() == 7


def test_a_fault_says_what_was_expected_and_where():
    make_profile()
    file = file_with(theirs("R1"))
    plant(file, Control.STATEMENT_GAP, line=7)
    drive()
    with all_tenants(reason="test"):
        mismatch = Reconciliation.objects.get(mismatch_type="file_gap")
    assert mismatch.notes == (
        "The number of the statement does not follow from the account's one before. "
        f"Expected 2, found 3. Line 7 of {file.path}"
    )
    assert mismatch.day == date(2026, 1, 15)


def test_a_statement_without_payments_may_show_a_gap():
    make_profile()
    with tenant_scope("t1"):
        file = IngestedFile.objects.create(
            tenant_id="t1", source="UPI", path="a", size=1, state="loaded"
        )
        Statement.objects.create(
            tenant_id="t1",
            file=file,
            ordinal=1,
            line=1,
            source="UPI",
            account_id="A",
            currency="INR",
            day=date(2026, 1, 15),
            rows=0,
            credits=0,
            debits=0,
        )
    fault = plant(file, Control.STATEMENT_GAP)
    drive()
    assert told() == {fault: ("file_gap", "open")}
    with all_tenants(reason="test"):
        assert Reconciliation.objects.get().day == date(2026, 1, 15)


def test_faults_of_other_sources_and_of_days_before_the_first_run_are_not_told():
    make_profile()
    plant(file_with(theirs("R1", at=STARTS - timedelta(days=9))), Control.PAGE)
    plant(file_with(theirs("R2")._replace(source="NEFT")), Control.PAGE)
    drive()
    assert told() == {}
