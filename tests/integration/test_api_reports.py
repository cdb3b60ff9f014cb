"""Reports over HTTP: order one, follow its job, fetch it."""

import re
from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from ingestion.models import DialectProfile
from jobs.models import Job
from reconciliation.models import Report
from tenants.scoping import all_tenants
from tests.arrange import (
    make_file,
    make_job,
    make_tenant,
    make_transaction,
    reread,
    run,
)
from tests.integration.api import (
    REPORT,
    assert_problem,
    client_of,
    places,
)

pytestmark = pytest.mark.django_db(transaction=True)

UNKNOWN_ID = "01a20bcf-c6ee-724b-878c-e659f896227f"
BODY = {
    "tenant_id": "owner",
    "what": "transactions",
    "starts_at": "2026-01-01T00:00:00+05:30",
    "ends_at": "2027-01-01T00:00:00+05:30",
}


@pytest.fixture
def owner(store_url: str) -> APIClient:
    """A client of the tenant `owner`, who has one transaction, on that store."""
    make_tenant("owner")
    make_transaction(make_file("owner", job=make_job("owner")))
    return client_of("owner")


folder_only = pytest.mark.parametrize("store_url", ["folder"], indirect=True)


def ordered(client: APIClient, **changes: Any) -> Job:
    answer = client.post(REPORT, {**BODY, **changes}, format="json")
    assert answer.status_code == 202, answer.content
    assert answer["Location"] == f"/jobs/{answer.json()['id']}"
    return reread(UUID(answer.json()["id"]))


def test_a_report_is_ordered_followed_and_fetched(owner: APIClient):
    job = ordered(owner, filters={"status": "SUCCESS"}, priority="high")
    assert (job.kind, job.get_priority_display()) == ("report", "high")
    path = f"/jobs/{job.pk}/report"
    waiting = assert_problem(owner.get(path), 404, "not_found")
    assert "not written yet" in waiting["detail"]
    run(job)
    assert owner.get(f"/jobs/{job.pk}").json()["links"]["report"] == path
    answer: Any = owner.get(path)
    content = b"".join(answer.streaming_content)
    assert content.count(b"\r\n") == 2
    assert b"50100012345678" not in content
    assert b"UPI00000001" in content
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Length"] == str(len(content))
    named = f'attachment; filename="report-{job.pk}.csv"'
    assert answer["Content-Disposition"] == named
    assert owner.head(path).status_code == 200


@folder_only
def test_the_list_shows_it_from_the_order_on(owner: APIClient):
    job = ordered(owner, what="usage", filters={"meter": "rows"})
    with all_tenants(reason="test"):
        report = Report.objects.get()
    assert (report.job_id, report.what, report.path) == (job.pk, "usage", "")
    assert report.filters["meter"] == "rows"


@folder_only
def test_each_mistake_has_its_place(owner: APIClient):
    body = {
        **BODY,
        "what": "usage",
        "ends_at": "2029-01-01T00:00:00Z",
        "filters": {"status": "FAILED", "meter": "rows"},
    }
    problem = assert_problem(owner.post(REPORT, body, format="json"), 400, "invalid")
    assert places(problem) == {
        "/ends_at": "too_long",
        "/filters/status": "foreign_filter",
    }
    for changes, place in (
        ({"filters": {"profile": "x"}, "what": "mismatches"}, "/filters/profile"),
        ({"filters": {"x": 1}}, "/filters/x"),
        ({"what": None}, "/what"),
        ({"starts_at": "2100-01-01T00:00:00Z", "ends_at": "2100-01-02T00:00:00Z"}, ""),
    ):
        answer = owner.post(REPORT, {**BODY, **changes}, format="json")
        found = places(assert_problem(answer, 400, "invalid"))
        assert list(found) == [place or "/starts_at"]
    with all_tenants(reason="test"):
        assert not Job.objects.filter(kind="report").exists()


@folder_only
def test_a_source_is_one_of_the_tenant_or_of_its_files(owner: APIClient):
    make_tenant("other")
    with all_tenants(reason="test"):
        for tenant, name in (("owner", "OURS"), ("other", "OTHERS")):
            DialectProfile.objects.create(tenant_id=tenant, name=name, definition={})
    make_file("owner", job=make_job("owner"), path="gone.csv", source="GONE")
    for source in ("UPI", "HDFC", "OURS", "GONE"):
        ordered(owner, filters={"source": source})
    for source in ("FOO", "OTHERS"):
        body = {**BODY, "filters": {"source": source}}
        problem = assert_problem(owner.post(REPORT, body, format="json"), 400)
        assert places(problem) == {"/filters/source": "unknown_source"}
        told = problem["errors"][0]["detail"]
        assert told.startswith(f"Unknown source '{source}'; use one of: ")
        assert {"HDFC", "OURS", "UPI"} <= set(re.findall(r"\w+", told))
        assert "OTHERS" not in told.partition(";")[2]


@folder_only
def test_a_later_start_may_report_what_has_not_begun(owner: APIClient):
    period = {"starts_at": "2100-01-01T00:00:00Z", "ends_at": "2100-01-02T00:00:00Z"}
    job = ordered(owner, **period, run_after="2100-01-02T00:00:00Z")
    assert job.state == "scheduled"


@folder_only
def test_only_ones_own_and_only_reports(owner: APIClient):
    job = run(ordered(owner))
    path = f"/jobs/{job.pk}/report"
    make_tenant("stranger")
    stranger = client_of("stranger")
    hidden = assert_problem(stranger.get(path), 404, "not_found")
    absent = assert_problem(stranger.get(f"/jobs/{UNKNOWN_ID}/report"), 404)
    assert hidden["detail"] == absent["detail"]
    assert_problem(APIClient().get(path), 401)
    other = assert_problem(owner.get(f"/jobs/{run(make_job('owner')).pk}/report"), 404)
    assert "'sleep' writes no report" in other["detail"]
    assert_problem(stranger.post(REPORT, BODY, format="json"), 403, "tenant_mismatch")


@folder_only
def test_a_report_that_was_cancelled_says_so(owner: APIClient):
    job = ordered(owner)
    assert owner.post(f"/jobs/{job.pk}/cancel").status_code == 202
    problem = assert_problem(owner.get(f"/jobs/{job.pk}/report"), 404)
    assert "it is cancelled" in problem["detail"]


@folder_only
def test_nobody_uploads_among_the_reports(owner: APIClient):
    body = {"path": "reports/a.csv", "size": 1}
    problem = assert_problem(owner.post("/v1/uploads", body, format="json"), 400)
    assert places(problem) == {"/path": "unsafe_path"}
    assert reread(ordered(owner)).state == "queued"
