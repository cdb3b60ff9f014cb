"""What reading a file has brought to light, from one checkpoint to the next."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from ingestion.findings import Findings

FIRST = datetime(2026, 1, 15, tzinfo=UTC)
LAST = FIRST + timedelta(hours=3)
FOUND = Findings(
    rows=2, totals={("INR", "SUCCESS", "C"): (2, Decimal("7.50"))}, span=(FIRST, LAST)
)


def test_a_checkpoint_keeps_all_of_it():
    assert Findings.from_json(FOUND.to_json()) == FOUND
    assert FOUND.known_span() == (FIRST, LAST)
    nothing = Findings()
    assert Findings.from_json(nothing.to_json()) == nothing
    assert nothing.known_span() is None


def test_a_span_that_was_not_noted_is_not_known():
    older = FOUND.to_json()
    del older["span"]
    assert Findings.from_json(older).known_span() is None
    assert Findings.from_json(older).span != Findings().span
    nothing = Findings().to_json()
    del nothing["span"]
    assert Findings.from_json(nothing) == Findings()
