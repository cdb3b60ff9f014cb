"""Statements of one account in several files: gaps, repeats and balances that break."""

from typing import Any

import pytest

from ingestion.models import FileFault, IngestedFile
from jobs.audit import audit
from jobs.models import Job
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_tenant
from tests.integration.ingesting import Ingest, counts, file_of
from tests.totals_source import statement

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("totals_sources"),
]


def day(number: int, **values: Any) -> bytes:
    """Return the statement of a day, on which ten are added to ten a day."""
    return statement(
        f"R|row{number}|C|10.00",
        **{
            "number": number,
            "opening": f"{number - 1}0.00",
            "day": f"2026-01-{number:02}",
            **values,
        },
    )


@pytest.fixture
def load(ingest: Ingest) -> Any:
    """A function that loads a file of these statements."""

    def load(*statements: bytes, **options: Any) -> Job:
        job = ingest(b"".join(statements), source="TOTALS", **options)
        assert job.state == "succeeded", job.error
        assert file_of(job).state == "loaded"
        assert audit() == []
        return job

    return load


def faults(job: Job) -> list[tuple[str, str, str]]:
    """Return the faults of a job's file that are not settled."""
    with all_tenants(reason="test"):
        rows = FileFault.objects.filter(file__job=job, settled_at=None)
        return list(rows.order_by("id").values_list("control", "expected", "found"))


def test_statements_that_follow_have_no_fault(load: Any):
    first, second = load(day(1), day(2)), load(day(3))
    assert faults(first) == faults(second) == []
    assert second.result["fault_count"] == 0


def test_a_missing_number_is_noted_and_keeps_nothing_out(load: Any):
    load(day(1))
    job = load(day(4), day(7))
    assert counts(job) == (2, 2, 0, 0, 0)
    assert faults(job) == [("statement_gap", "2", "4"), ("statement_gap", "5", "7")]
    assert job.result["fault_count"] == file_of(job).fault_count == 2
    assert job.result["faults"][0]["control"] == "statement_gap"


def test_a_gap_that_is_filled_later_is_settled(load: Any):
    load(day(1))
    late = load(day(3))
    assert faults(late) == [("statement_gap", "2", "3")]
    assert faults(load(day(2))) == []
    assert faults(late) == []
    with tenant_scope("t1"):
        kept = FileFault.objects.get()
    assert kept.settled_at is not None
    assert file_of(late).fault_count == 1


def test_a_gap_that_is_filled_in_part_is_another_one(load: Any):
    load(day(1))
    late = load(day(5))
    filler = load(day(3))
    assert faults(filler) == [("statement_gap", "2", "3")]
    assert faults(late) == [("statement_gap", "4", "5")]
    assert file_of(late).fault_count == 2


def test_a_balance_that_does_not_go_on_is_noted_where_it_opens(load: Any):
    load(day(1))
    job = load(day(2, opening="11.00"))
    assert faults(job) == [("carried_balance", "10.00", "11.00")]


def test_a_statement_that_comes_late_may_break_the_one_behind_it(load: Any):
    third = load(day(3))
    assert faults(third) == []
    assert faults(load(day(2, opening="15.00"))) == []
    assert faults(third) == [("carried_balance", "25.00", "20.00")]
    assert file_of(third).fault_count == 1


def test_a_fault_that_comes_back_is_counted_once(load: Any, ingest: Ingest):
    load(day(1))
    late, filler = load(day(3)), load(day(2))
    assert faults(late) == []
    with all_tenants(reason="test"):
        IngestedFile.objects.filter(job=filler).update(state="failed")
    ingest(day(1), source="TOTALS", reload=True)
    assert faults(late) == [("statement_gap", "2", "3")]
    assert file_of(late).fault_count == 1


def test_a_number_that_comes_again_with_other_content_is_noted(load: Any):
    load(day(1), day(2))
    job = load(
        statement("R|other|C|11.00", number=2, opening="10.00", day="2026-01-02")
    )
    assert faults(job) == [
        (
            "statement_repeat",
            "10.00 to 20.00 in 1 rows",
            "10.00 to 21.00 in 1 rows",
        )
    ]


def test_the_same_statement_in_another_file_is_no_fault(load: Any):
    load(day(1), day(2))
    assert faults(load(day(2), day(3))) == []


@pytest.mark.parametrize(
    "other", [{"account": "ACC2"}, {"currency": "USD"}], ids=["account", "currency"]
)
def test_only_what_belongs_together_is_compared(load: Any, other: dict[str, Any]):
    load(day(1))
    assert faults(load(day(5, **other))) == []


def test_sources_count_for_themselves(load: Any, ingest: Ingest):
    load(day(1))
    assert faults(ingest(day(5), source="LINES")) == []


def test_without_a_number_only_the_balance_tells(load: Any):
    load(day(1))
    unnumbered: dict[str, Any] = {"number": "", "closing": "10.00"}
    fifth = statement(opening="10.00", day="2026-01-05", **unnumbered)
    assert faults(load(fifth)) == []
    sixth = statement("R|x|C|1.00", opening="9.00", day="2026-01-06", number="")
    assert faults(load(sixth)) == [("carried_balance", "10.00", "9.00")]


def test_other_tenants_statements_do_not_count(load: Any):
    make_tenant("t2")
    load(day(1))
    assert faults(load(day(5), tenant="t2")) == []


def test_files_that_are_not_loaded_do_not_count(load: Any, ingest: Ingest):
    with all_tenants(reason="test"):
        IngestedFile.objects.filter(job=load(day(1))).update(state="failed")
    assert faults(ingest(day(5), source="TOTALS")) == []


def test_a_new_year_begins_a_new_count(load: Any):
    load(day(9))
    following = statement("R|x|C|1", number=1, opening="90.00", day="2027-01-01")
    assert faults(load(following)) == []
