"""Estimate what an attempt will cost from what its like have cost.

Idea
    One exponentially weighted moving average of actual costs for each tenant and
    kind: each new cost counts for a fifth, so the last ten make up nine tenths.
    Until there is one, the caller's prior stands (from bytes, for instance).

Source
    The estimator of 2DFQ (Mace et al., SIGCOMM 2016), with a mean in place of its
    pessimistic decayed maximum: the scheduler's refresh charge does that part.

Invariants
    1. An estimate is at least FLOOR_US.
    2. A mean lies between the smallest and the largest cost observed.

Cost
    O(1) for each call; one integer for each tenant and kind seen.

Limits
    The mean ignores the size of a job. It rests within 2 microseconds of a constant
    cost, being rounded to a whole number. The scheduler's bound does not depend on
    it; a good estimate only makes the usual lag smaller.

>>> estimator = CostEstimator()
>>> estimator.estimate("acme", "ingest", prior_us=9_000)
9000
>>> estimator.observe("acme", "ingest", actual_us=1_000)
>>> estimator.observe("acme", "ingest", actual_us=2_000)
>>> estimator.estimate("acme", "ingest", prior_us=9_000)
1200
"""
# ruff: noqa: S101 - invariants are asserted

from fairshare.scheduler import FLOOR_US

__all__ = ["CostEstimator"]

# One over the weight of a new cost in the mean.
_SMOOTHING = 5


class CostEstimator:
    """The mean cost of each tenant's kinds, in microseconds."""

    def __init__(self) -> None:
        self._means_us: dict[str, dict[str, int]] = {}

    def estimate(self, tenant: str, kind: str, *, prior_us: int) -> int:
        """Return the expected cost; the prior if this kind was never observed."""
        mean_us = self._means_us.get(tenant, {}).get(kind, prior_us)
        return max(FLOOR_US, mean_us)

    def observe(self, tenant: str, kind: str, actual_us: int) -> None:
        """Take a settled cost into the mean. Raises ValueError if it is negative."""
        if actual_us < 0:
            raise ValueError(f"a cost is not negative, but {actual_us} was given")
        means_us = self._means_us.setdefault(tenant, {})
        mean_us = means_us.get(kind, actual_us)
        weighted_us = (_SMOOTHING - 1) * mean_us + actual_us
        means_us[kind] = (weighted_us + _SMOOTHING // 2) // _SMOOTHING

    def forget(self, tenant: str) -> None:
        """Drop what was learnt about the tenant, if anything."""
        self._means_us.pop(tenant, None)

    def check_invariants(self) -> None:
        """Assert that every mean is a possible cost, and none is kept for nobody."""
        for means_us in self._means_us.values():
            assert means_us
            assert all(mean_us >= 0 for mean_us in means_us.values())
