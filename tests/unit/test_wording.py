"""How durations, ages and numbers read."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tenants.wording import age, between, duration, plain, table

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.85, "850 ms"),
        (0.9999, "1.0 s"),
        (3.24, "3.2 s"),
        (9.96, "10 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (245, "4 min 5 s"),
        (7800, "2 h 10 min"),
        (86_400 * 3 + 3600 * 4, "3 d 4 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, text: str):
    assert duration(seconds) == text


def test_an_age_looks_both_ways():
    assert age(NOW - timedelta(minutes=4), now=NOW) == "4 min ago"
    assert age(NOW + timedelta(hours=2), now=NOW) == "in 2 h"
    assert age(NOW, now=NOW) == "just now"
    assert age(None, now=NOW) == "never"


def test_nothing_begun_has_no_length():
    assert between(None, NOW) == ""
    assert between(NOW, NOW - timedelta(seconds=5)) == "0 ms"


@pytest.mark.parametrize(
    ("number", "text"), [("2.500", "2.5"), ("10.000", "10"), ("100", "100")]
)
def test_a_number_drops_idle_zeros(number: str, text: str):
    assert plain(Decimal(number)) == text


def test_a_table_has_a_header_and_obeys_nothing():
    rows = [{"id": 1, "why": "a\x1bb", "by": None}, {"id": 1000, "why": "", "by": "me"}]
    assert table(rows).splitlines() == [
        "id    why     by",
        "1     a\\x1bb  –",
        "1000  –       me",
    ]
