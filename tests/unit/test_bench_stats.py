"""The measures of the benchmark, on cases whose answer is known."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.live import stats
from benchmarks.live.history import Begun, History, Sent, Span
from benchmarks.live.stats import Window

positive = st.floats(min_value=0.001, max_value=1000)


def history_of(sent: list[tuple[str, float]], begun: list[tuple[str, float, float]]):
    return History(
        sent=[Sent(tenant, at) for tenant, at in sent],
        begun=[Begun(tenant, called, started) for tenant, called, started in begun],
    )


@pytest.mark.parametrize(
    ("rank", "value"), [(0, 1.0), (50, 3.0), (80, 4.0), (81, 5.0), (99, 5.0)]
)
def test_a_percentile_is_the_nearest_rank(rank: float, value: float):
    assert stats.percentile([1.0, 2.0, 3.0, 4.0, 5.0], rank) == value


def test_nothing_has_no_percentile():
    assert stats.percentile([], 50) is None
    assert stats.median([]) is None


@given(st.lists(positive, min_size=1), st.floats(min_value=0.1, max_value=100))
def test_a_percentile_was_measured_and_covers_its_part(values: list[float], rank):
    found = stats.percentile(sorted(values), rank)
    assert found in values
    covered = sum(value <= found for value in values)
    assert Fraction(covered, len(values)) >= Fraction(rank) / 100


def test_the_median_of_two_is_the_lower_one():
    assert stats.median([4.0, 2.0]) == 2.0


def test_jain_is_one_for_equals_and_one_nth_for_a_winner():
    assert stats.jain([3.0, 3.0, 3.0]) == pytest.approx(1)
    assert stats.jain([0.0, 0.0, 5.0, 0.0]) == pytest.approx(1 / 4)
    assert stats.jain([0.0, 0.0]) is None


@given(st.lists(positive, min_size=1, max_size=20), positive)
def test_jain_is_bounded_and_has_no_unit(values: list[float], factor: float):
    found = stats.jain(values)
    assert found is not None
    assert 1 / len(values) - 1e-9 <= found <= 1 + 1e-9
    assert stats.jain(value * factor for value in values) == pytest.approx(found)


def test_fairness_is_one_where_shares_follow_the_weights():
    had = {"a": 1 / 7, "b": 2 / 7, "c": 4 / 7}
    assert stats.fairness(had, {"a": 1, "b": 2, "c": 4}) == pytest.approx(1)
    assert stats.fairness(had, {"a": 4, "b": 2, "c": 1}) < 0.7


def test_a_share_counts_only_what_lies_in_the_window():
    spans = [
        Span("a", 0, 10, 10),  # 5 s of it in the window
        Span("b", 6, 7, 1),
        Span("b", 9, 13, 4),  # 1 s of it in the window
        Span("c", 5, 10, 5),  # not asked for
    ]
    found = stats.shares(spans, ["a", "b", "d"], Window(5, 10))
    assert found == pytest.approx({"a": 5 / 7, "b": 2 / 7, "d": 0})


def test_nobody_has_a_share_of_nothing():
    assert stats.shares([], ["a", "b"], Window(0, 1)) == {"a": 0, "b": 0}


def test_busy_counts_work_and_not_bookkeeping():
    # Two slots for 10 s; a job of 5 s work held one of them for 10 s.
    spans = [Span("a", 0, 10, 5), Span("b", 8, 12, 4)]
    found = stats.busy(spans, slots=2, window=Window(0, 10))
    assert found == pytest.approx((5 + 2) / 20)
    assert stats.busy(spans, slots=2, window=Window(4, 4)) == 0


def test_backlogged_is_from_the_call_to_the_last_start():
    history = history_of(
        sent=[("a", 1), ("a", 2), ("a", 8), ("b", 0)],
        begun=[("a", 1, 3), ("a", 2, 5)],
    )
    assert stats.backlogged(history, {"a"}) == [
        Window(1, 5),
        Window(8, float("inf")),
    ]
    assert stats.backlogged(history, {"a", "b"}) == [Window(0, float("inf"))]
    assert stats.backlogged(history, {"nobody"}) == []


def test_all_are_backlogged_in_the_longest_common_window():
    history = history_of(
        sent=[("a", 0), ("a", 6), ("b", 2)],
        begun=[("a", 0, 3), ("a", 6, 15), ("b", 2, 12)],
    )
    found = stats.all_backlogged(history, ["a", "b"], Window(0, 20))
    assert found == Window(6, 12)
    assert stats.all_backlogged(history, ["a", "b"], Window(0, 4)) == Window(2, 3)
    assert stats.all_backlogged(history, ["a", "c"], Window(0, 20)).seconds == 0


def test_a_job_that_never_started_has_waited_until_we_stopped_to_look():
    history = history_of(
        sent=[("a", 1.0), ("a", 2.0), ("b", 2.5), ("a", 3.0), ("a", 9.0)],
        begun=[("a", 2.0, 2.5), ("b", 2.5, 2.6)],
    )
    assert history.waits(["a"], lo=0, hi=5, censored_at=10) == [0.5, 7.0, 9.0]
    assert history.unstarted(["a"]) == 3
    assert history.unstarted(["b"]) == 0


def test_a_job_seen_to_start_counts_even_before_its_producer_has_ended():
    history = history_of(sent=[], begun=[("a", 2.0, 2.5)])
    assert history.waits(["a"], lo=0, hi=5, censored_at=10) == [0.5]


def test_a_span_is_counted_where_it_ends():
    spans = [Span("a", 0, 5, 1), Span("a", 4, 6, 1), Span("a", 5, 11, 1)]
    assert stats.finished_in(spans, Window(5, 10)) == 2
