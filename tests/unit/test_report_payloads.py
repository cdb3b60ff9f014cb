"""What a report may be asked for, and what is said of anything else."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.payloads import PayloadError
from reconciliation.report_payloads import check_report, read_report

NOW = datetime(2026, 4, 10, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "what": "transactions",
    "starts_at": "2026-04-01T00:00:00+05:30",
    "ends_at": "2026-04-02T00:00:00+05:30",
}


def flaws(now: datetime = NOW, **changes: Any) -> dict[str, str]:
    payload = {**GOOD, **changes}
    with pytest.raises(PayloadError) as caught:
        read_report(tenant="t1", payload=payload, now=now)
    return dict(caught.value.flaws())


def test_a_good_one_is_as_its_handler_reads_it():
    filters = {
        **{"source": "UPI", "status": "FAILED", "direction": "D", "currency": "INR"},
        **{"account_id": "50100012345678", "amount_min": "0", "amount_max": "9.99"},
        "file_id": 7,
    }
    found = read_report(tenant="t1", payload={**GOOD, "filters": filters}, now=NOW)
    assert found == {
        "what": "transactions",
        "starts_at": "2026-03-31T18:30:00.000000Z",
        "ends_at": "2026-04-01T18:30:00.000000Z",
        "filters": filters,
    }
    assert check_report("t1", found) == found


def test_filters_may_be_left_out():
    assert check_report("t1", GOOD)["filters"] == {}


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"what": "jobs"}, "what", "Give one of: transactions, mismatches, usage."),
        ({"starts_at": "2026-04-01T00:00:00"}, "starts_at", "Add the offset"),
        ({"starts_at": "yesterday"}, "starts_at", "Give a time like"),
        ({"ends_at": GOOD["starts_at"]}, "ends_at", "It has to be after starts_at."),
        ({"starts_at": "2025-02-01T00:00:00Z"}, "ends_at", "400 days at most"),
        ({"limit": 5}, "limit", "There is no such field."),
        ({"filters": []}, "filters", "The filters must be a JSON object."),
        ({"filters": {"colour": "red"}}, "filters/colour", "There is no such field."),
        (
            {"filters": {"meter": "rows"}},
            "filters/meter",
            "Reports of transactions are filtered by source, status, direction,",
        ),
        ({"filters": {"status": "success"}}, "filters/status", "Give one of: SUCCESS"),
        ({"filters": {"direction": "credit"}}, "filters/direction", "Give one of: C"),
        ({"filters": {"currency": "inr"}}, "filters/currency", "Give three letters"),
        ({"filters": {"amount_min": 5}}, "filters/amount_min", "Give an amount as"),
        ({"filters": {"amount_min": "1e3"}}, "filters/amount_min", "Give an amount"),
        ({"filters": {"amount_min": "1.005"}}, "filters/amount_min", "Give an amount"),
        ({"filters": {"amount_min": "-1"}}, "filters/amount_min", "Give an amount as"),
        (
            {"filters": {"amount_min": "10.00", "amount_max": "9.99"}},
            "filters/amount_max",
            "It is below amount_min",
        ),
        ({"filters": {"file_id": "7"}}, "filters/file_id", "Give a whole number."),
        ({"filters": {"file_id": 0}}, "filters/file_id", "greater than or equal to 1"),
        ({"filters": {"source": ""}}, "filters/source", "may not be blank"),
        ({"filters": {"source": "x" * 201}}, "filters/source", "200 characters"),
    ],
)
def test_whatever_is_wrong_is_named(changes: dict[str, Any], field: str, told: str):
    found = flaws(**changes)
    assert list(found) == [field]
    assert told in found[field]


def test_filters_belong_to_what_is_reported():
    filters = {"status": "FAILED", "currency": "INR"}
    found = flaws(what="mismatches", filters=filters)
    assert list(found) == ["filters/status"]
    assert "profile, mismatch_type, state, currency" in found["filters/status"]


def test_a_period_to_come_is_refused_and_one_that_has_begun_is_not():
    starts = datetime.fromisoformat(GOOD["starts_at"])
    early = starts - timedelta(microseconds=1)
    assert list(flaws(now=early)) == ["starts_at"]
    assert read_report(tenant="t1", payload=GOOD, now=starts)
