"""Estimate what an attempt will cost from what its like have cost.

Idea
    One exponentially weighted moving average of actual costs for each tenant and
    kind: each new cost counts for a fifth, so the last ten make up nine tenths.
    Until there is one, the caller's prior stands. Where the size of jobs is known, in
    bytes, the same averages of cost and of size give a cost for each byte: a job is
    then estimated by its own size, at its tenant's rate, or at that of its kind while
    the tenant has none.

Source
    The estimator of 2DFQ (Mace et al., SIGCOMM 2016), with a mean in place of its
    pessimistic decayed maximum: the scheduler's refresh charge does that part.

Invariants
    1. An estimate is at least FLOOR_US.
    2. A mean lies between the smallest and the largest cost observed.
    3. A job whose size is known is estimated at no less than the smallest cost seen
       at that rate: even an empty file costs something.

Cost
    O(1) for each call; four integers at most for each tenant and kind seen.

Limits
    A job of unknown size gets the mean, whatever its size. Cost is taken to grow in
    proportion to size. A mean rests within 2 microseconds of a constant cost, being
    rounded to a whole number. The scheduler's bound does not depend on it; a good
    estimate only makes the usual lag smaller.

>>> estimator = CostEstimator()
>>> estimator.estimate("acme", "ingest", prior_us=9_000)
9000
>>> estimator.observe("acme", "ingest", actual_us=1_000)
>>> estimator.observe("acme", "ingest", actual_us=2_000, size=4_000)
>>> estimator.estimate("acme", "ingest", prior_us=9_000)
1200
>>> estimator.estimate("bank", "ingest", prior_us=9_000, size=20_000)
10000
"""
# ruff: noqa: S101 - invariants are asserted

from fairshare.scheduler import FLOOR_US

__all__ = ["CostEstimator"]

# One over the weight of a new cost in the mean.
_SMOOTHING = 5


def _smooth(mean: int, actual: int) -> int:
    return ((_SMOOTHING - 1) * mean + actual + _SMOOTHING // 2) // _SMOOTHING


class _Rate:
    """What jobs of known size cost, and how large they were."""

    __slots__ = ("least_us", "mean_bytes", "mean_us")

    def __init__(self, actual_us: int, size: int) -> None:
        self.mean_us = self.least_us = actual_us
        self.mean_bytes = size

    def observe(self, actual_us: int, size: int) -> None:
        self.mean_us = _smooth(self.mean_us, actual_us)
        self.mean_bytes = _smooth(self.mean_bytes, size)
        self.least_us = min(self.least_us, actual_us)

    def cost_us(self, size: int) -> int:
        return max(self.least_us, self.mean_us * size // max(1, self.mean_bytes))


class CostEstimator:
    """The mean cost of each tenant's kinds in microseconds, and their cost by size."""

    def __init__(self) -> None:
        self._means_us: dict[str, dict[str, int]] = {}
        self._rates: dict[str, dict[str, _Rate]] = {}
        self._kind_rates: dict[str, _Rate] = {}

    def estimate(
        self, tenant: str, kind: str, *, prior_us: int, size: int | None = None
    ) -> int:
        """Return the expected cost; the prior if nothing like it was ever observed.

        `size` is what is left of the job, in bytes, if that is known.
        """
        if size is not None:
            rates = self._rates.get(tenant, self._kind_rates)
            rate = rates.get(kind) or self._kind_rates.get(kind)
            if rate is not None:
                return max(FLOOR_US, rate.cost_us(size))
        mean_us = self._means_us.get(tenant, {}).get(kind, prior_us)
        return max(FLOOR_US, mean_us)

    def observe(
        self, tenant: str, kind: str, actual_us: int, *, size: int | None = None
    ) -> None:
        """Take a settled cost into the means, with the bytes it was spent on if known.

        Raises ValueError if either is negative.
        """
        if actual_us < 0 or (size is not None and size < 0):
            raise ValueError(
                f"a cost and a size are not negative, but {actual_us} and {size} "
                "were given"
            )
        means_us = self._means_us.setdefault(tenant, {})
        means_us[kind] = _smooth(means_us.get(kind, actual_us), actual_us)
        if size is not None:
            own = self._rates.setdefault(tenant, {})
            for rates in (own, self._kind_rates):
                rates.setdefault(kind, _Rate(actual_us, size)).observe(actual_us, size)

    def forget(self, tenant: str) -> None:
        """Drop what was learnt about the tenant, if anything."""
        self._means_us.pop(tenant, None)
        self._rates.pop(tenant, None)

    def check_invariants(self) -> None:
        """Assert that every mean is a possible cost, and none is kept for nobody."""
        for means_us in self._means_us.values():
            assert means_us
            assert all(mean_us >= 0 for mean_us in means_us.values())
        rates = [self._kind_rates, *self._rates.values()]
        for rate in (rate for by_kind in rates for rate in by_kind.values()):
            assert 0 <= rate.least_us <= rate.mean_us
            assert rate.mean_bytes >= 0
