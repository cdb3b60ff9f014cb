"""What other settings would have done: recorded jobs replayed under both.

`settings` reads what is in force, the caller changes a copy, `preview` compares.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from fairshare import simulation, whatif
from fairshare.scheduler import Rate
from fairshare.whatif import MOST_JOBS, Plan, TenantChange
from jobs import backlog
from jobs.backlog import TenantConfig
from jobs.dispatcher import WORKER_FRESH_SECONDS
from jobs.recorded import Recording, recorded

#: Tenants whose settings are read at once.
SLICE_TENANTS: Final = 1000

Settings = Mapping[str, TenantConfig]


class NothingToReplayError(LookupError):
    """No recorded job says anything about the change."""


class NoWorkersError(LookupError):
    """A pool that the replay needs has no worker, so its slots are not known."""

    def __init__(self, pool: str) -> None:
        self.pool = pool
        super().__init__(
            f"No worker serves the pool {pool!r}, so its slots are not known: start "
            f"one with `manage.py worker --pool {pool}`."
        )


@dataclass(frozen=True, slots=True)
class Preview:
    """The answer; `tenants` are those whose pools are touched, changed ones first.

    `notes` say what the replay left out or had to assume; jobs of the window were left
    out if `is_cut`.
    """

    tenants: list[TenantChange]
    changed: frozenset[str]
    slots: dict[str, int]
    jobs: int
    notes: list[str]
    is_cut: bool

    @property
    def sentences(self) -> list[str]:
        """Return what happens to the tenants that are changed, in words."""
        seen = {each.tenant for each in self.tenants}
        return [
            *(each.sentence for each in self.tenants if each.tenant in self.changed),
            *(f"{t} sent no job in that time." for t in sorted(self.changed - seen)),
        ]


def settings() -> dict[str, TenantConfig]:
    """Return the settings in force of every tenant."""
    found: dict[str, TenantConfig] = {}
    after = ""
    while True:
        slice_ = backlog.tenant_configs(after=after, limit=SLICE_TENANTS)
        found.update((config.slug, config) for config in slice_)
        if len(slice_) < SLICE_TENANTS:
            return found
        after = slice_[-1].slug


def live_slots() -> dict[str, int]:
    """Return how many slots each pool's live workers have."""
    return backlog.slots(fresh_seconds=WORKER_FRESH_SECONDS)


def preview(
    *,
    before: Settings,
    after: Settings,
    slots: Mapping[str, int],
    now: datetime,
    window: timedelta,
    most_jobs: int = MOST_JOBS,
) -> Preview:
    """Replay the newest jobs of the window under both settings.

    Only the pools that a changed tenant is in, before or after, are replayed.
    Raises NoWorkersError for one of them without slots, and NothingToReplayError.
    """
    changed = frozenset(slug for slug in after if after[slug] != before[slug])
    pools = {each[slug].pool for each in (before, after) for slug in changed}
    for pool in sorted(pools):
        if not slots.get(pool):
            raise NoWorkersError(pool)
    recording = recorded(since=now - window, most_jobs=most_jobs)
    jobs = [
        job
        for job in recording.jobs
        if job.tenant in before and before[job.tenant].pool in pools
    ]
    if not jobs:
        raise NothingToReplayError(
            f"No job of the pool {' or '.join(sorted(pools))} is among the newest "
            f"{most_jobs:,} that arrived in the time asked for."
        )
    taken = {pool: slots[pool] for pool in sorted(pools)}
    seen = {job.tenant for job in jobs}
    plans = [_plan(each, seen, taken) for each in (before, after)]
    zone = timezone.get_current_timezone()
    answer = whatif.what_if(jobs, *plans, most_jobs=most_jobs, zone=zone)
    return Preview(
        tenants=sorted(answer.tenants, key=lambda each: _rank(each, changed)),
        changed=changed,
        slots=taken,
        jobs=answer.jobs,
        notes=[
            *_notes(recording, seen, most_jobs),
            *_paused(sorted(changed), before, after),
            *_alone(sorted(changed & seen), seen, before, after),
        ],
        is_cut=recording.is_cut,
    )


def moment(time_us: int) -> datetime:
    """Return a moment of a replay in the zone of the admin and the commands."""
    return whatif.moment(time_us, timezone.get_current_timezone())


def _rank(change: TenantChange, changed: frozenset[str]) -> tuple[bool, int, str]:
    return (change.tenant not in changed, -change.before.jobs, change.tenant)


def _notes(recording: Recording, seen: set[str], most_jobs: int) -> list[str]:
    notes = []
    unfinished = sum(recording.unfinished.get(tenant, 0) for tenant in seen)
    if recording.is_cut:
        oldest = moment(recording.jobs[0].arrival_us)
        notes.append(
            f"Only the newest {most_jobs:,} jobs of that time were replayed, from "
            f"{oldest:%Y-%m-%d %H:%M %Z} on; what waited before is left out, so waits "
            "may be longer than shown."
        )
    if unfinished:
        notes.append(
            f"{unfinished:,} of the jobs replayed had not ended; they count "
            "with what jobs of their kind usually cost."
        )
    return notes


def _paused(slugs: Sequence[str], before: Settings, after: Settings) -> list[str]:
    return [
        f"{slug} is paused now and is replayed as paused all along; resume it as well "
        "to see what would change."
        for slug in slugs
        if before[slug].is_paused and after[slug].is_paused
    ]


def _alone(
    slugs: Iterable[str], seen: set[str], before: Settings, after: Settings
) -> list[str]:
    """Say whose weight counts against nobody."""
    crowds = Counter((after[slug].pool, after[slug].tier) for slug in seen)
    return [
        f"{slug} is the only tenant of the tier {after[slug].tier} here, so its weight "
        "counts against nobody: tiers share first, then the tenants in each."
        for slug in slugs
        if after[slug].weight != before[slug].weight
        and crowds[after[slug].pool, after[slug].tier] == 1
    ]


def _plan(settings: Settings, seen: set[str], slots: Mapping[str, int]) -> Plan:
    """Return the settings of the tenants that sent jobs, as the replay wants them."""
    configs = [settings[slug] for slug in sorted(seen)]
    tiers = {c.tier: (c.tier_weight, c.tier_cap) for c in configs}
    return Plan(
        slots=slots,
        tenants=[_tenant(config) for config in configs],
        tiers=[
            simulation.TierConfig(tier=name, weight=weight, cap=cap)
            for name, (weight, cap) in tiers.items()
        ],
        pool_of={config.slug: config.pool for config in configs},
    )


def _tenant(config: TenantConfig) -> simulation.TenantConfig:
    return simulation.TenantConfig(
        tenant=config.slug,
        weight=config.weight,
        tier=config.tier,
        cap=config.cap,
        elastic_cap=config.elastic_cap,
        rate=None if config.rate is None else Rate(config.rate, config.burst or 1),
        paused=config.is_paused,
    )
