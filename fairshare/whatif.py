"""Replay recorded jobs under other settings, and say what would have changed.

Idea
    The recorded arrivals and costs go through the real scheduler in a simulated pool
    twice, under the settings before and after a change. What differs between the two
    runs is what the change does.

Source
    Trace-driven simulation, as in `fairshare.simulation`.

Limits
    Costs are taken as recorded: a change that makes workers faster or slower is not
    foreseen. The replay starts with no debts and an empty pool, and estimates learn
    from the first job on. A producer that would have sent other jobs is not imagined.
    If there are more jobs than `most_jobs`, only the latest are replayed, which
    `WhatIf.note` says: a thinned-out sample would have shorter queues than the truth.

    Where jobs are long, they are refreshed twice each on average, not every second.

Cost
    O(j log n) for j jobs and n tenants, twice: some 40 microseconds for each job and
    replay on one core where it was measured, so 100,000 jobs take about 8 seconds and
    twice as many twice as long. `most_jobs` bounds it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from math import inf
from typing import NamedTuple

from fairshare.branch import WEIGHT_ONE
from fairshare.explain import in_words
from fairshare.measures import percentile
from fairshare.policies import FairShare
from fairshare.scheduler import DELTA_US, Priority, Rate
from fairshare.simulation import (
    Arrival,
    Setup,
    Simulation,
    Stream,
    TenantConfig,
    TierConfig,
)
from fairshare.trace import Job

__all__ = [
    "MOST_JOBS",
    "Outcome",
    "Plan",
    "RecordedJob",
    "TenantChange",
    "WhatIf",
    "moment",
    "what_if",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_US = 1_000_000
#: A shorter wait is none in words.
_AT_ONCE_US = 50_000

MOST_JOBS = 100_000
"""How many jobs are replayed at most, if the caller does not say otherwise."""


class RecordedJob(NamedTuple):
    """A job as it came; times are microseconds since 1970 in UTC."""

    tenant: str
    arrival_us: int
    cost_us: int
    kind: str = "job"
    priority: int = Priority.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The settings that a replay goes by.

    `slots` gives each pool's slots. `pool_of` gives the pool of each tenant that is
    not in the pool `default`.
    """

    slots: Mapping[str, int]
    tenants: Sequence[TenantConfig]
    tiers: Sequence[TierConfig] = ()
    pool_of: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one tenant gets in one replay.

    Waits are until the first start. `backlog_ends_us` is when its last job ended;
    `share` its part of its pool's worker time from its first arrival until then. None
    stands for never: some job did not start, or did not end.
    """

    jobs: int
    wait_p50_us: int | None
    wait_p99_us: int | None
    share: float | None
    backlog_ends_us: int | None


@dataclass(frozen=True, slots=True)
class TenantChange:
    """One tenant before and after."""

    tenant: str
    before: Outcome
    after: Outcome
    sentence: str


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The answer; `note` says what was left out, empty if nothing was."""

    tenants: list[TenantChange]
    jobs: int
    note: str


def what_if(
    jobs: Iterable[RecordedJob],
    before: Plan,
    after: Plan,
    *,
    most_jobs: int = MOST_JOBS,
    zone: tzinfo = UTC,
) -> WhatIf:
    """Replay the jobs under both plans and compare, tenant by tenant.

    The words give moments in the zone.
    Raises ValueError if a job's tenant, or a tenant's pool, is missing from a plan.
    """
    recorded = sorted(jobs, key=lambda job: job.arrival_us)
    kept = recorded[-most_jobs:] if most_jobs else []
    old, new = _replay(kept, before), _replay(kept, after)
    return WhatIf(
        tenants=[
            TenantChange(name, old[name], new[name], _sentence(name, *plans, zone))
            for name in sorted(old)
            for plans in [((before, old[name]), (after, new[name]))]
        ],
        jobs=len(kept),
        note=_note(recorded, kept, zone),
    )


def _note(
    recorded: Sequence[RecordedJob], kept: Sequence[RecordedJob], zone: tzinfo
) -> str:
    if len(kept) == len(recorded):
        return ""
    since = f", from {_said(moment(kept[0].arrival_us, zone))} on" if kept else ""
    return (
        f"Only the last {len(kept)} of {len(recorded)} jobs were replayed{since}; "
        "what waited before that is left out, so waits may be longer than shown."
    )


# The replay

#: No replay lasts so long; it ends when nothing more can happen.
_FOREVER_US = 1 << 62


def _replay(jobs: Sequence[RecordedJob], plan: Plan) -> dict[str, Outcome]:
    """Run the jobs of every pool; return what each tenant that sent any got."""
    pools: dict[str, list[RecordedJob]] = {name: [] for name in plan.slots}
    known = {config.tenant for config in plan.tenants}
    for job in jobs:
        pool = plan.pool_of.get(job.tenant, "default")
        if job.tenant not in known or pool not in pools:
            raise ValueError(f"{job.tenant} or its pool {pool} is not in the plan")
        pools[pool].append(job)
    outcomes: dict[str, Outcome] = {}
    for pool, pool_jobs in pools.items():
        outcomes.update(_replay_pool(pool_jobs, plan, plan.slots[pool]))
    return outcomes


def _replay_pool(
    jobs: Sequence[RecordedJob], plan: Plan, slots: int
) -> dict[str, Outcome]:
    arrivals: dict[str, list[Arrival]] = {}
    for tenant, arrival_us, cost_us, kind, priority in jobs:
        arrival = Arrival(arrival_us, cost_us, kind, priority)
        arrivals.setdefault(tenant, []).append(arrival)
    delta_us = max(DELTA_US, sum(job.cost_us for job in jobs) // (2 * len(jobs) or 1))
    setup = Setup(
        slots=slots,
        until_us=_FOREVER_US,
        delta_us=delta_us,
        tiers=plan.tiers,
        tenants=[config for config in plan.tenants if config.tenant in arrivals],
        loads=[Stream(tenant, stream) for tenant, stream in arrivals.items()],
    )
    trace = Simulation(setup, FairShare(delta_us=delta_us)).run()
    replayed: dict[str, list[Job]] = {tenant: [] for tenant in arrivals}
    for job in trace.jobs:
        replayed[job.tenant].append(job)
    return {tenant: _outcome(ran, slots) for tenant, ran in replayed.items()}


def _outcome(jobs: Sequence[Job], slots: int) -> Outcome:
    """Sum up one tenant's jobs, which are in the order of arrival."""
    waits = [_or_never(job.wait_us) for job in jobs]
    ends = max(_or_never(job.finished_us) for job in jobs)
    spent_us = sum(job.cost_us for job in jobs)
    pool_us = slots * (ends - jobs[0].arrival_us)
    return Outcome(
        jobs=len(jobs),
        wait_p50_us=_or_none(percentile(waits, 50)),
        wait_p99_us=_or_none(percentile(waits, 99)),
        share=spent_us / pool_us if 0 < pool_us < inf else None,
        backlog_ends_us=_or_none(ends),
    )


def _or_never(time_us: int | None) -> float:
    return inf if time_us is None else time_us


def _or_none(time_us: float) -> int | None:
    return None if time_us == inf else int(time_us)


# In words


def moment(time_us: int, zone: tzinfo) -> datetime:
    """Return the moment so many microseconds after 1970 began in UTC, in the zone."""
    return (_EPOCH + timedelta(microseconds=time_us)).astimezone(zone)


def _sentence(
    tenant: str,
    before: tuple[Plan, Outcome],
    after: tuple[Plan, Outcome],
    zone: tzinfo,
) -> str:
    (old_plan, old), (new_plan, new) = before, after
    changes = _changes(_config(old_plan, tenant), _config(new_plan, tenant))
    pools = [plan.pool_of.get(tenant, "default") for plan in (old_plan, new_plan)]
    if pools[0] != pools[1]:
        changes.append(f"in pool {pools[1]}")
    start = f"{', '.join(changes)}, tenant" if changes else "tenant"
    start = start[0].upper() + start[1:]
    return f"{start} {tenant}'s {_ends(old, new, zone)}; {_wait(old, new)}."


def _config(plan: Plan, tenant: str) -> TenantConfig:
    return next(config for config in plan.tenants if config.tenant == tenant)


def _changes(old: TenantConfig, new: TenantConfig) -> list[str]:
    """Return how the new settings differ, in words."""
    changes = []
    if new.paused != old.paused:
        changes.append("paused" if new.paused else "resumed")
    if new.weight != old.weight:
        changes.append(f"at weight {new.weight / WEIGHT_ONE:.9g}")
    if new.tier != old.tier:
        changes.append(f"in tier {new.tier}")
    for name, was, now in (
        ("cap", old.cap, new.cap),
        ("elastic cap", old.elastic_cap, new.elastic_cap),
    ):
        if now != was:
            changes.append(f"without {name}" if now is None else f"at {name} {now}")
    if new.rate != old.rate:
        changes.append("without rate" if new.rate is None else _rate(new.rate))
    return changes


def _rate(rate: Rate) -> str:
    return f"at {rate.per_thousand_seconds / 1000:g} jobs a second"


def _ends(old: Outcome, new: Outcome, zone: tzinfo) -> str:
    was_us, now_us = old.backlog_ends_us, new.backlog_ends_us
    if now_us is None:
        return "backlog never ends" + (" either way" if was_us is None else "")
    now = moment(now_us, zone)
    if was_us is None:
        return f"backlog ends {_said(now)} instead of never"
    # Moments of one zone are compared by their hands: wrong while clocks are set back.
    apart_us = abs(now_us - was_us)
    if apart_us < _SECOND_US:
        return f"backlog ends {now:%H:%M %Z} as before"
    said_now, said_was = _told_apart(now, moment(was_us, zone), apart_us)
    return f"backlog ends {said_now} instead of {said_was}"


def _wait(old: Outcome, new: Outcome) -> str:
    was, now = (
        "for ever" if wait is None else in_words(wait)
        for wait in (old.wait_p50_us, new.wait_p50_us)
    )
    if new.wait_p50_us is None:
        return "half of its jobs never start" + (
            "" if now == was else f" instead of waiting up to {was}"
        )
    if new.wait_p50_us < _AT_ONCE_US:
        return "half of its jobs start at once" + (
            "" if now == was else f" instead of {_late(old.wait_p50_us)}"
        )
    return f"half of its jobs wait up to {now}" + (
        "" if now == was else f" instead of {was}"
    )


def _late(wait_us: int | None) -> str:
    return "never" if wait_us is None else f"waiting up to {in_words(wait_us)}"


def _told_apart(now: datetime, was: datetime, apart_us: int) -> tuple[str, str]:
    """Return the moments in the shortest form that tells how far they are apart."""
    if now.utcoffset() != was.utcoffset():
        return _said(now), _said(was)
    date = "" if now.date() == was.date() else "%Y-%m-%d "
    seconds = ":%S" if apart_us < 180 * _SECOND_US else ""
    form = f"{date}%H:%M{seconds}"
    return f"{now:{form}}", f"{was:{form} %Z}"


def _said(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M %Z}"
