"""Bad files on their whole way: store, ingest job, database, and what a person sees."""

from pathlib import Path
from typing import Any, Final

import pytest

from ingestion.models import FileFault, IngestedFile, KeptOutRow
from jobs.models import Job
from tenants.scoping import tenant_scope
from tests.corpus_cases import Case, cases, masked
from tests.corpus_cases import read as read_alone
from tests.integration.ingesting import Ingest, file_of, stored

pytestmark = pytest.mark.django_db(transaction=True)

CASES: Final = cases(whole_way=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_file_goes_its_whole_way(case: Case, ingest: Ingest, objects: Path):
    job = ingest(b"".join(case.blocks()), path="a.csv", source=case.source)
    if case.wanted.error:
        assert (job.state, job.error["code"]) == ("dead", case.wanted.error)
        assert case.told.get("says", "") in job.error["message"]
        assert stored() == []
        assert file_of(job).state == IngestedFile.State.FAILED
        return
    assert job.state == "succeeded", job.error
    assert kept_out(job, KeptOutRow.Why.REJECTED) == rejects_wanted(case)
    if case.wanted.faults:
        assert file_of(job).state == IngestedFile.State.QUARANTINED
        assert faults(job) == case.wanted.faults
        assert stored() == []
        return
    assert file_of(job).state == IngestedFile.State.LOADED
    _, rows, _ = read_alone(case)
    assert {row.txn_id for row in stored()} == {row.txn_id for row in rows}
    told = case.told.get("result", {})
    assert {name: job.result[name] for name in told} == told


def rejects_wanted(case: Case) -> list[list[Any]]:
    """Nothing of a file in quarantine is kept, not even what is wrong with its rows."""
    return [] if case.wanted.faults else case.wanted.rejects


def kept_out(job: Job, why: KeptOutRow.Why) -> list[list[Any]]:
    with tenant_scope("t1"):
        rows = KeptOutRow.objects.filter(file=file_of(job), why=why).order_by("line")
        return [
            [row.line, row.column, row.reason, masked(row.column, row.value)]
            for row in rows
        ]


def faults(job: Job) -> list[list[Any]]:
    with tenant_scope("t1"):
        found = FileFault.objects.filter(file=file_of(job)).order_by("line", "id")
        return [[f.line, f.control, f.expected, f.found] for f in found]


def test_every_sort_of_verdict_goes_the_whole_way():
    assert len(CASES) >= 15
    for has in ("error", "rejects", "faults", "result"):
        assert any(case.told.get(has) for case in CASES), has
