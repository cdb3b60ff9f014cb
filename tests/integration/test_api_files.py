"""Files over HTTP: lists of them, one with what it says, and what its load left."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from ingestion import services
from ingestion.models import IngestedFile
from jobs.models import Job
from tenants.acting import acting
from tenants.scoping import all_tenants
from tests.arrange import (
    make_fault,
    make_file,
    make_job,
    make_statement,
    make_tenant,
    run,
)
from tests.integration.api import assert_problem, client_of, places
from tests.integration.ingesting import Ingest, file_of, row, text
from tests.integration.test_totals import BAD, GOOD

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("totals_sources"),
]

KEYS = {
    *("id", "tenant_id", "state", "source", "path", "size", "content_digest", "job_id"),
    *("same_as", "counts", "statement_count", "fault_count", "received_at"),
    *("loaded_at", "decision", "decided_at", "links"),
}
MORE_KEYS = {"totals", "reasons", "faults", "statements"}


@pytest.fixture
def owner(objects: Any) -> APIClient:
    """A client of the tenant t1."""
    return client_of("t1")


def shown(client: APIClient, file: IngestedFile) -> Any:
    response = client.get(f"/v1/files/{file.pk}")
    assert response.status_code == 200, response.content
    return response.json()


# --- One file -------------------------------------------------------------------------


def test_a_loaded_file(owner: APIClient, ingest: Ingest):
    content = text(row(1), row(1), row(2, amount="x"), row(1, amount="2.00"))
    job = ingest(content)
    file = file_of(job)
    found = shown(owner, file)
    assert set(found) == KEYS | MORE_KEYS
    assert found["state"] == "loaded"
    assert (found["path"], found["source"], found["size"]) == (
        *("a.csv", "UPI"),
        len(content),
    )
    assert found["counts"] == {
        **{"rows": 4, "inserted": 1, "duplicate": 1, "conflicting": 1},
        **{"rejected": 1, "flagged": 0},
    }
    assert found["job_id"] == str(job.pk)
    assert found["received_at"].endswith("Z")
    assert found["totals"][0] == {
        **{"currency": "INR", "status": "SUCCESS", "direction": "D"},
        **{"rows": 3, "amount": "22.00"},
    }
    assert found["reasons"] == [
        {"why": "conflicting", "reason": "conflicting", "rows": 1},
        {"why": "rejected", "reason": "invalid_amount", "rows": 1},
    ]
    own = f"/v1/files/{file.pk}"
    names = ("rejects", "conflicts", "corrections", "summary")
    assert found["links"] == {
        "self": own,
        "downloads": f"{own}/links",
        "original": f"{own}/original",
        "job": f"/jobs/{job.pk}",
        **{name: f"{own}/{name}" for name in names},
    }
    for name in names:
        answer: Any = owner.get(found["links"][name])
        assert answer.status_code == 200
        from_job: Any = owner.get(f"/jobs/{job.pk}/{name}")
        content = b"".join(answer.streaming_content)
        assert content == b"".join(from_job.streaming_content)
        assert answer["Content-Type"] == from_job["Content-Type"]
        assert f'filename="{name}-{file.pk}.' in answer["Content-Disposition"]


def test_statements_and_faults_with_every_digit(owner: APIClient, ingest: Ingest):
    found = shown(owner, file_of(ingest(GOOD, source="LINES")))
    first, second = found["statements"]
    assert first == {
        **{"line": 4, "account_id": "ACC1", "statement_id": "ACC1/1", "number": 1},
        **{"currency": "INR", "opening": "0", "closing": "7.50", "rows": 2},
        **{"opening_date": "2026-01-15", "closing_date": "2026-01-15"},
        **{"credits": "10.00", "debits": "2.50"},
    }
    assert (second["opening"], second["closing"]) == ("0.005", "1.005")
    assert found["faults"] == []


def test_a_file_in_quarantine_and_what_was_decided(owner: APIClient, ingest: Ingest):
    job = ingest(BAD, source="TOTALS")
    file = file_of(job)
    found = shown(owner, file)
    assert (found["state"], found["fault_count"]) == ("quarantined", 2)
    assert found["faults"][0] == {
        **{"line": 10, "control": "closing_balance", "expected": "9"},
        **{"found": "8.50", "settled_at": None},
    }
    assert found["statements"] == []
    assert found["decided_at"] is None
    with acting(who="staff asha", why="a secret"), all_tenants(reason="test"):
        services.file_release(file_id=file.pk, now=timezone.now())
    answer = shown(owner, file)
    assert (answer["state"], answer["decision"]) == ("received", "released")
    assert answer["decided_at"].endswith("Z")
    assert "secret" not in str(answer)
    assert "asha" not in str(answer)


def test_a_tenant_decides_about_none(owner: APIClient, ingest: Ingest):
    file = file_of(ingest(BAD, source="TOTALS"))
    for name in ("release", "refuse"):
        response = owner.post(f"/v1/files/{file.pk}/{name}", {"reason": "x"})
        assert response.status_code == 405
    assert shown(owner, file)["state"] == "quarantined"


def test_a_file_that_was_known_leads_to_the_first(owner: APIClient, ingest: Ingest):
    first, again = file_of(ingest(text(row(1)))), file_of(ingest(text(row(1))))
    found = shown(owner, again)
    assert found["same_as"] == first.pk
    assert found["links"]["same_as"] == f"/v1/files/{first.pk}"
    assert found["content_digest"] == shown(owner, first)["content_digest"]


def test_a_file_outlives_its_job(owner: APIClient, ingest: Ingest):
    file = file_of(ingest(text(row(1, amount="x"))))
    with all_tenants(reason="test"):
        IngestedFile.objects.update(job=None)
    found = shown(owner, file)
    assert found["job_id"] is None
    assert "job" not in found["links"]
    assert owner.get(found["links"]["rejects"]).status_code == 200


def test_so_many_faults_and_statements_are_shown(owner: APIClient):
    file = make_file("t1", job=make_job("t1"))
    for number in range(101):
        make_fault(file, line=number)
        make_statement(file, number=number)
    found = shown(owner, file)
    assert (len(found["faults"]), len(found["statements"])) == (100, 100)
    assert (found["fault_count"], found["statement_count"]) == (101, 101)


@pytest.mark.parametrize(
    "path", ["999999", "0", "x", "1.0", "-1", "9" * 30, "%00", "1/", "1/other"]
)
def test_no_such_file(owner: APIClient, path: str):
    assert_problem(owner.get(f"/v1/files/{path}"), 404, "not_found")


def test_a_stranger_finds_nothing(owner: APIClient, ingest: Ingest):
    file = file_of(ingest(text(row(1, amount="x"))))
    make_tenant("stranger")
    stranger = client_of("stranger")
    for path in (f"/v1/files/{file.pk}", f"/v1/files/{file.pk}/rejects"):
        assert owner.get(path).status_code == 200
        hidden = assert_problem(stranger.get(path), 404, "not_found")
        absent = assert_problem(stranger.get("/v1/files/999999"), 404)
        assert hidden["detail"] == absent["detail"]
        assert_problem(APIClient().get(path), 401)
    assert stranger.get("/v1/files").json()["results"] == []


def test_a_load_that_left_nothing(owner: APIClient, ingest: Ingest):
    file = file_of(ingest(text(row(1))))
    assert_problem(owner.get(f"/v1/files/{file.pk}/rejects"), 404, "not_found")


# --- Lists ----------------------------------------------------------------------------


@pytest.fixture
def files(owner: APIClient) -> list[IngestedFile]:
    """Five files, the oldest first."""
    states = ("loaded", "failed", "loaded", "loading", "loaded")
    return [make_file("t1", job=make_job("t1"), state=state) for state in states]


def listed(client: APIClient, path: str) -> list[list[int]]:
    """Return the ids of all pages."""
    pages = []
    while path:
        body = client.get(path).json()
        pages.append([each["id"] for each in body["results"]])
        path = body["next"]
    return pages


def test_the_newest_come_first_in_pages(owner: APIClient, files: list[IngestedFile]):
    ids = [file.pk for file in files][::-1]
    assert listed(owner, "/v1/files") == [ids]
    assert listed(owner, "/v1/files?limit=2") == [ids[:2], ids[2:4], ids[4:]]
    body = owner.get("/v1/files").json()
    assert set(body["results"][0]) == KEYS


def test_files_that_come_meanwhile_neither_repeat_nor_hide_any(
    owner: APIClient, files: list[IngestedFile]
):
    first = owner.get("/v1/files?limit=2").json()
    make_file("t1", job=make_job("t1"))
    rest = [pk for page in listed(owner, first["next"]) for pk in page]
    assert [each["id"] for each in first["results"]] + rest == [
        file.pk for file in files[::-1]
    ]


def test_they_are_filtered(owner: APIClient, files: list[IngestedFile]):
    assert listed(owner, "/v1/files?state=failed") == [[files[1].pk]]
    assert listed(owner, "/v1/files?source=OTHER") == [[]]
    pages = listed(owner, "/v1/files?state=loaded&source=UPI&limit=2")
    assert [len(page) for page in pages] == [2, 1]


@pytest.mark.parametrize(
    ("query", "place", "code"),
    [
        ("state=nonsense", "state", "invalid_choice"),
        ("limit=0", "limit", "min_value"),
        ("limit=501", "limit", "max_value"),
        ("limit=1.0", "limit", "invalid"),
        ("cursor=x", "cursor", "invalid"),
        ("cursor=__________8", "cursor", "invalid"),
        ("source=", "source", "blank"),
        ("other=1", "other", "unknown_field"),
    ],
)
def test_a_query_that_cannot_be_followed(
    owner: APIClient, query: str, place: str, code: str
):
    problem = assert_problem(owner.get(f"/v1/files?{query}"), 400, "invalid")
    assert places(problem) == {place: code}


def test_a_page_takes_as_many_queries_whatever_its_length(
    owner: APIClient, files: list[IngestedFile]
):
    taken = []
    for limit in (1, 5):
        owner.get("/v1/files")
        with CaptureQueriesContext(connection) as queries:
            owner.get(f"/v1/files?limit={limit}")
        taken.append(len(queries))
    assert taken[0] == taken[1]


def test_a_released_file_leads_to_the_job_that_loads_it(
    owner: APIClient, ingest: Ingest
):
    file = file_of(ingest(BAD, source="TOTALS"))
    with acting(why="x"), all_tenants(reason="test"):
        job: Job = services.file_release(file_id=file.pk, now=timezone.now())
    assert shown(owner, file)["job_id"] == str(job.pk)
    run(job)
    assert shown(owner, file)["state"] == "loaded"
