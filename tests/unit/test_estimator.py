"""The mean cost of each tenant's kinds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairshare.estimator import CostEstimator
from fairshare.scheduler import FLOOR_US

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


def test_forget_returns_to_the_prior() -> None:
    estimator = CostEstimator()
    estimator.observe("acme", "ingest", 5_000)
    estimator.forget("acme")
    estimator.forget("never seen")
    assert estimator.estimate("acme", "ingest", prior_us=600) == 600


def test_negative_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        CostEstimator().observe("acme", "ingest", -1)


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
