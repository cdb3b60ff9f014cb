"""The policies that a simulated pool can run under: ours, and what others do.

Each one is the rule alone, so that the same workload tells them apart:

- `FairShare`: this project's scheduler.
- `Fifo`: the oldest job first, as a plain queue does.
- `CountFair`: a stride over dispatches by weight, stamped when a job is enqueued, as
  fairness keys do in Temporal's task queues.
- `RandomPick`: a random key, by weight, then its oldest job.
- `Capped`: the oldest job of those whose key has fewer than so many in flight.

All but ours go by the key that a producer puts on its jobs; ours goes by the tenant,
which comes from the API key that the job was sent with.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from fairshare.branch import WEIGHT_ONE
from fairshare.estimator import CostEstimator
from fairshare.ranking import Ranked, Ranking
from fairshare.scheduler import DELTA_US, FairScheduler
from fairshare.simulation import TenantConfig, TierConfig
from fairshare.trace import Job

__all__ = [
    "ESTIMATES",
    "Capped",
    "CountFair",
    "Estimates",
    "FairShare",
    "Fifo",
    "RandomPick",
]

#: What is held for the first job of a kind.
_PRIOR_US = 100_000


class Estimates:
    """What a job is expected to cost.

    The mode `ewma` learns as in production. `longest_us` is the most that any job
    may cost, which `max` and `adversarial` go by: the latter expects nothing of the
    longest job and the most of the shortest.
    """

    def __init__(self, mode: str = "ewma", *, longest_us: int = 0) -> None:
        #: The largest estimate for each tenant so far.
        self.largest_us: dict[str, int] = {}
        self.mode = mode
        self.longest_us = longest_us
        self._estimator = CostEstimator()
        self._estimate = ESTIMATES[mode]

    def __call__(self, tenant: str, job: Job) -> int:
        """Return the estimate in microseconds, and remember the tenant's largest."""
        estimate_us = self._estimate(self, job)
        if estimate_us > self.largest_us.get(tenant, 0):
            self.largest_us[tenant] = estimate_us
        return estimate_us

    def observe(self, job: Job, actual_us: int) -> None:
        """Learn from a settled attempt."""
        self._estimator.observe(job.tenant, job.kind, actual_us)

    def mean_us(self, job: Job) -> int:
        """Return the mean of the tenant's jobs of this kind so far."""
        return self._estimator.estimate(job.tenant, job.kind, prior_us=_PRIOR_US)


#: The ways to estimate a job.
ESTIMATES: Mapping[str, Callable[[Estimates, Job], int]] = {
    "ewma": Estimates.mean_us,
    "zero": lambda _, __: 0,
    "one": lambda _, __: 1,
    "max": lambda estimates, _: estimates.longest_us,
    "oracle": lambda _, job: job.cost_us - job.done_us,
    "adversarial": lambda estimates, job: max(0, estimates.longest_us - job.cost_us),
}


class FairShare:
    """Our scheduler, with its estimates."""

    def __init__(
        self,
        estimates: Estimates | None = None,
        *,
        delta_us: int = DELTA_US,
        refreshes: bool = True,
    ) -> None:
        self.estimates = Estimates() if estimates is None else estimates
        self.scheduler: FairScheduler[Job] = FairScheduler(delta_us=delta_us)
        self._refreshes = refreshes

    def set_tier(self, config: TierConfig) -> None:
        self.scheduler.set_tier(config.tier, weight=config.weight, cap=config.cap)

    def set_tenant(self, config: TenantConfig) -> None:
        self.scheduler.set_tenant(
            config.tenant,
            weight=config.weight,
            tier=config.tier,
            cap=config.cap,
            elastic_cap=config.elastic_cap,
            rate=config.rate,
            paused=config.paused,
        )

    def offer(self, job: Job) -> None:
        self.scheduler.offer(job.tenant, job, order=job.order, priority=job.priority)

    def pick(self, now_us: int) -> Job | None:
        dispatch = self.scheduler.pick(self.estimates, now_us=now_us)
        return None if dispatch is None else dispatch.job

    def refresh(self, job: Job, elapsed_us: int) -> None:
        if self._refreshes:
            self.scheduler.refresh(job, elapsed_us)

    def settle(self, job: Job, actual_us: int) -> None:
        self.scheduler.settle(job, actual_us)
        self.estimates.observe(job, actual_us)

    def next_opening_us(self) -> int | None:
        return self.scheduler.next_opening_us()


class _Key(Ranked):
    """The jobs that producers put under one key."""

    __slots__ = ("in_flight", "jobs", "name", "passed", "tenant")

    def __init__(self, name: str, tenant: str) -> None:
        super().__init__()
        self.name = name
        self.tenant = tenant
        self.jobs: Ranking[_Entry] = Ranking()
        self.in_flight = 0
        self.passed = 0


class _Entry(Ranked):
    """A waiting job."""

    __slots__ = ("job",)

    def __init__(self, job: Job) -> None:
        super().__init__()
        self.job = job


class _ByKey:
    """What the other policies share: jobs by key, and the settings of tenants."""

    def __init__(self) -> None:
        self._configs: dict[str, TenantConfig] = {}
        self._keys: dict[str, _Key] = {}
        self._in_flight: dict[str, int] = {}
        self._ready: Ranking[_Key] = Ranking()

    def set_tier(self, config: TierConfig) -> None:
        """These policies know no tiers."""

    def set_tenant(self, config: TenantConfig) -> None:
        self._configs[config.tenant] = config
        self._in_flight.setdefault(config.tenant, 0)
        self._place_all(config.tenant)

    def offer(self, job: Job) -> None:
        key = self._keys.get(job.key)
        if key is None:
            key = self._keys[job.key] = _Key(job.key, job.tenant)
        key.jobs.put((*self._stamp(key, job), _Entry(job)))
        self._place(key)

    def pick(self, now_us: int) -> Job | None:
        key = self._next()
        entry = None if key is None else key.jobs.first()
        if key is None or entry is None:
            return None
        self._picked(entry)
        key.jobs.discard(entry)
        key.in_flight += 1
        self._move(key, 1)
        return entry.job

    def refresh(self, job: Job, elapsed_us: int) -> None:
        """These policies do not look at running attempts."""

    def settle(self, job: Job, actual_us: int) -> None:
        key = self._keys[job.key]
        key.in_flight -= 1
        self._move(key, -1)

    def next_opening_us(self) -> int | None:
        return None

    # What tells them apart

    def _stamp(self, key: _Key, job: Job) -> tuple[Any, ...]:
        """Return the place of a job among those of its key, given when it comes."""
        return (job.order,)

    def _next(self) -> _Key | None:
        return self._ready.first()

    def _picked(self, entry: _Entry) -> None:
        """Note that this job goes next."""

    def _may_start(self, key: _Key) -> bool:
        config = self._configs[key.tenant]
        cap = config.cap
        return not config.paused and (cap is None or self._in_flight[key.tenant] < cap)

    # Keeping order

    def _move(self, key: _Key, change: int) -> None:
        tenant = key.tenant
        self._in_flight[tenant] += change
        if self._configs[tenant].cap is None:
            self._place(key)
        else:
            self._place_all(tenant)

    def _place_all(self, tenant: str) -> None:
        for key in self._keys.values():
            if key.tenant == tenant:
                self._place(key)

    def _place(self, key: _Key) -> None:
        first = key.jobs.first()
        if first is None or not self._may_start(key):
            self._ready.discard(key)
        elif first.entry is not None:
            self._ready.put((*first.entry[:-1], key))


class Fifo(_ByKey):
    """The oldest job first."""


class CountFair(_ByKey):
    """Equal numbers of dispatches for equal weights, whatever they cost."""

    #: How far a dispatch at weight 1 moves a key.
    _STRIDE = 1000 * WEIGHT_ONE

    def __init__(self) -> None:
        super().__init__()
        self._level = 0

    def _stamp(self, key: _Key, job: Job) -> tuple[Any, ...]:
        stride = max(1, self._STRIDE // self._configs[key.tenant].weight)
        key.passed = max(self._level, key.passed + stride)
        return (key.passed, job.order)

    def _picked(self, entry: _Entry) -> None:
        assert entry.entry is not None  # noqa: S101 - it stands in a ranking
        self._level = max(self._level, entry.entry[0])


class RandomPick(_ByKey):
    """A key at random, by weight."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random

    def _next(self) -> _Key | None:
        keys = sorted(self._ready, key=lambda key: key.name)
        if not keys:
            return None
        weights = [self._configs[key.tenant].weight for key in keys]
        return self._random.choices(keys, weights)[0]


class Capped(_ByKey):
    """The oldest job whose key holds fewer slots than the cap."""

    def __init__(self, cap: int) -> None:
        super().__init__()
        self._cap = cap

    def _may_start(self, key: _Key) -> bool:
        return key.in_flight < self._cap and super()._may_start(key)
