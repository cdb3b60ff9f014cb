"""The mean cost of each tenant's kinds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairshare.estimator import CostEstimator
from fairshare.scheduler import FLOOR_US

MB = 1_000_000
COSTS = st.integers(min_value=0, max_value=10**12)


def test_prior_stands_until_a_cost_is_observed() -> None:
    estimator = CostEstimator()
    assert estimator.estimate("acme", "ingest", prior_us=7_000) == 7_000
    estimator.observe("acme", "ingest", 3_000)
    assert estimator.estimate("acme", "ingest", prior_us=7_000) == 3_000


def test_a_new_cost_counts_for_a_fifth() -> None:
    estimator = CostEstimator()
    for actual_us in (1_000, 2_000, 200_000):
        estimator.observe("acme", "ingest", actual_us)
    assert estimator.estimate("acme", "ingest", prior_us=1) == 40_960


def test_tenants_and_kinds_are_apart() -> None:
    estimator = CostEstimator()
    estimator.observe("acme", "ingest", 5_000)
    assert estimator.estimate("acme", "export", prior_us=600) == 600
    assert estimator.estimate("bank", "ingest", prior_us=600) == 600


@pytest.mark.parametrize("prior_us", [0, FLOOR_US - 1])
def test_estimate_is_never_below_the_floor(prior_us: int) -> None:
    estimator = CostEstimator()
    assert estimator.estimate("acme", "ingest", prior_us=prior_us) == FLOOR_US
    estimator.observe("acme", "ingest", 0)
    assert estimator.estimate("acme", "ingest", prior_us=10**6) == FLOOR_US


def test_a_tenant_without_history_is_estimated_by_its_files_size() -> None:
    estimator = CostEstimator()
    for megabytes in (1, 4, 2):
        estimator.observe("acme", "ingest", megabytes * 250_000, size=megabytes * MB)
    assert estimator.estimate("bank", "ingest", prior_us=7, size=10 * MB) == 2_500_000
    # Without a size there is nothing to scale, and other kinds have their own rate.
    assert estimator.estimate("bank", "ingest", prior_us=7_000) == 7_000
    assert estimator.estimate("bank", "export", prior_us=7_000, size=MB) == 7_000


def test_history_is_scaled_by_size_at_the_tenants_own_rate() -> None:
    estimator = CostEstimator()
    for _ in range(50):
        estimator.observe("slow", "ingest", 900_000, size=MB)
        estimator.observe("quick", "ingest", 100_000, size=MB)
    assert estimator.estimate("slow", "ingest", prior_us=1, size=3 * MB) == 2_700_000
    assert estimator.estimate("quick", "ingest", prior_us=1, size=3 * MB) == 300_000
    assert estimator.estimate("slow", "ingest", prior_us=1) == 900_000


def test_a_job_whose_size_is_not_known_leaves_the_rate_as_it_was() -> None:
    estimator = CostEstimator()
    estimator.observe("acme", "ingest", 200_000, size=MB)
    estimator.observe("acme", "ingest", 90_000_000)
    assert estimator.estimate("acme", "ingest", prior_us=1, size=MB) == 200_000


def test_an_empty_file_is_estimated_at_the_least_that_any_cost() -> None:
    estimator = CostEstimator()
    estimator.observe("acme", "ingest", 3_000, size=0)
    estimator.observe("acme", "ingest", 400_000, size=2 * MB)
    assert estimator.estimate("acme", "ingest", prior_us=1, size=0) == 3_000
    assert estimator.estimate("acme", "ingest", prior_us=1, size=10) == 3_000


@given(st.lists(st.tuples(COSTS, COSTS), min_size=1), COSTS)
def test_a_larger_job_is_never_estimated_at_less(
    observed: list[tuple[int, int]], size: int
) -> None:
    estimator = CostEstimator()
    for actual_us, bytes_ in observed:
        estimator.observe("acme", "ingest", actual_us, size=bytes_)
        estimator.check_invariants()
    small, large = (
        estimator.estimate("acme", "ingest", prior_us=0, size=each)
        for each in (size, 2 * size + 1)
    )
    assert FLOOR_US <= small <= large


def test_forget_returns_to_the_prior() -> None:
    estimator = CostEstimator()
    estimator.observe("acme", "ingest", 5_000)
    estimator.observe("bank", "ingest", 100 * MB, size=MB)
    estimator.observe("acme", "ingest", 1 * MB, size=MB)
    assert estimator.estimate("acme", "ingest", prior_us=600, size=MB) == MB
    estimator.forget("acme")
    estimator.forget("never seen")
    assert estimator.estimate("acme", "ingest", prior_us=600) == 600
    # Only the rate of its kind is left.
    assert estimator.estimate("acme", "ingest", prior_us=600, size=MB) > MB


def test_negative_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        CostEstimator().observe("acme", "ingest", -1)
    with pytest.raises(ValueError, match="-2"):
        CostEstimator().observe("acme", "ingest", 1, size=-2)


@given(st.lists(COSTS, min_size=1))
def test_mean_stays_between_smallest_and_largest(costs: list[int]) -> None:
    estimator = CostEstimator()
    for actual_us in costs:
        estimator.observe("acme", "ingest", actual_us)
        estimator.check_invariants()
    estimate_us = estimator.estimate("acme", "ingest", prior_us=0)
    assert max(FLOOR_US, min(costs)) <= estimate_us <= max(FLOOR_US, *costs)


@given(COSTS, COSTS)
def test_mean_settles_near_a_constant_cost(first_us: int, constant_us: int) -> None:
    estimator = CostEstimator()
    estimator.observe("acme", "ingest", first_us)
    for _ in range(200):
        estimator.observe("acme", "ingest", constant_us)
    estimate_us = estimator.estimate("acme", "ingest", prior_us=0)
    assert abs(estimate_us - max(FLOOR_US, constant_us)) <= 2
