"""Why a waiting job waits: the scheduler's standing and the ledger's line put together.

`fairshare.explain` says it; here is what it is told. The dispatcher tells how the
tenant stands (jobs/standings.py); the ledger tells what is ahead of the job and what
its like have cost (jobs/ahead.py). Where no dispatcher tells anything, the answer says
so and gives what the ledger knows.

The bound counts worker time. It takes what was seen lately as the longest, what a kind
is assumed to cost where nothing was seen, and a margin for the machinery.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from fairshare.explain import (
    Competitor,
    Explanation,
    Level,
    Situation,
    WaitsFor,
    ahead_in_words,
    explain,
)
from fairshare.gates import Gate
from fairshare.terms import TenantShare
from jobs import ahead, handlers, switches
from jobs.ahead import Circumstances, KindCost, Line, Received
from jobs.dispatcher import LEASE_NAME, WORKER_FRESH_SECONDS
from jobs.lifecycle import WAITING_STATES, State
from jobs.models import Job
from jobs.standings import Rivals, Standing, most_in_flight, standing_of
from tenants.scoping import apart

#: What an attempt may hold its slot beyond its own cost: the rest of its bundle until
#: that is handed back, its message's way, and the dispatcher's wait for a wake.
MARGIN_US: Final = 500_000
#: The same for each of many jobs that follow each other.
MESSAGE_US: Final = 10_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_NO_LEADER: Final = "no dispatcher leads"
_NO_REPORT: Final = "the dispatcher did not report"
_HALT: Final = "nothing starts until one does"
_MIXED: Final = "jobs of its tenant's other priorities may go first under its limits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a job waits; `waits_for` and `as_of` are None if no dispatcher reported.

    Shares are parts of the pool, from 0 to 1. `is_more_ahead` says that the counting
    of the jobs ahead stopped at its limit.
    """

    waits_for: WaitsFor | None
    opens_at: datetime | None
    jobs_ahead: int
    is_more_ahead: bool
    work_ahead_us: int
    entitled: float | None
    received: float | None
    window_us: int
    starts_within_us: int | None
    no_bound: str | None
    sentence: str
    as_of: datetime | None
    pool: str
    #: Why a person stopped it; not for tenants.
    reason: str = ""

    @property
    def for_staff(self) -> str:
        """Return the sentence, and why a person stopped it."""
        return f"{self.sentence} Why: {self.reason}" if self.reason else self.sentence


_STOPPED: Final = "Nothing is dispatched"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What the ledger says of a waiting job."""

    job: Job
    now_us: int
    around: Circumstances
    line: Line
    costs: Mapping[str, KindCost]
    received: Received

    def cost(self, kind: str) -> KindCost:
        """Return what a kind costs: as seen, and no less than a hold assumes."""
        prior_us = handlers.prior_us(kind)
        seen = self.costs.get(kind) or KindCost(prior_us, prior_us, 1, prior_us)
        return replace(
            seen,
            most_us=max(seen.most_us, prior_us),
            longest_attempt_us=max(seen.longest_attempt_us, prior_us),
        )

    def most_us(self, kinds: Mapping[str, int]) -> int:
        """Return the most that so many jobs of these kinds can cost."""
        return sum(
            count * (self.cost(kind).most_us + MESSAGE_US)
            for kind, count in kinds.items()
        )

    def attempts(self, kinds: Mapping[str, int]) -> int:
        """Return in how many attempts so many jobs end at most."""
        return sum(count * self.cost(kind).attempts for kind, count in kinds.items())

    @property
    def work_ahead_us(self) -> int:
        """Return what the jobs ahead are expected to cost."""
        kinds = self.line.kinds
        return sum(count * self.cost(kind).mean_us for kind, count in kinds.items())


def is_waiting(job: Job) -> bool:
    """Return whether there is something to explain."""
    return State(job.state) in WAITING_STATES


def wait_of(job: Job, *, now: datetime) -> Wait:
    """Return why a waiting job waits.

    Call it outside a transaction where one is not open anyway: it may wait a moment
    for the dispatcher. The caller has made sure that the asker may see the job.
    """
    facts = _facts(job, now)
    if (stop := _stop(job, now)) is not None:
        return _held(_from_ledger(facts), job, stop)
    standing = standing_of(job.tenant_id) if facts.around.has_leader else None
    if standing is None or standing.pool != facts.around.pool:
        return _with_reason(_from_ledger(facts), facts.around)
    situation = situation_of(facts, standing)
    wait = _wait(facts, situation, explain(situation), as_of_us=standing.at_us)
    return _with_reason(wait, facts.around)


def _stop(job: Job, now: datetime) -> switches.Off | None:
    """Return which switch keeps the job where it is, if one does."""
    ask = switches.not_dispatching
    if job.state == State.SCHEDULED:
        if job.run_after > now:
            return None
        ask = switches.not_scheduling
    with apart(reason="explain a wait: the switches"):
        return ask(tenant=job.tenant_id, kind=job.kind)


def _held(wait: Wait, job: Job, off: switches.Off) -> Wait:
    what = "Scheduled jobs are not queued" if job.state == State.SCHEDULED else _STOPPED
    return replace(
        wait,
        waits_for=WaitsFor.SWITCH,
        sentence=f"{what} for {off}.",
        reason=off.reason,
        starts_within_us=None,
        no_bound="a switch is off until a person turns it on",
    )


def _with_reason(wait: Wait, around: Circumstances) -> Wait:
    """Add why its tenant was paused."""
    if wait.waits_for is not WaitsFor.PAUSED:
        return wait
    return replace(wait, reason=around.paused_reason)


def _facts(job: Job, now: datetime) -> _Facts:
    tenant = job.tenant_id
    with apart(reason="explain a wait: who leads, who works"):
        around = ahead.circumstances(
            tenant=tenant, lease=LEASE_NAME, fresh_seconds=WORKER_FRESH_SECONDS
        )
    with apart(tenant=tenant):
        line = ahead.line(tenant=tenant, priority=job.priority, job_id=str(job.pk))
        return _Facts(
            job=job,
            now_us=_microseconds(now),
            around=around,
            line=replace(line, kinds=_within_limit(line)),
            costs=ahead.costs(tenant=tenant),
            received=ahead.received(tenant=tenant),
        )


def _within_limit(line: Line) -> Mapping[str, int]:
    """Return the jobs ahead without the one more that tells that the line is longer."""
    if not line.is_longer:
        return line.kinds
    largest = max(line.kinds, key=lambda kind: line.kinds[kind])
    return {**line.kinds, largest: line.kinds[largest] - 1}


# --- With the dispatcher's answer -----------------------------------------------------


def situation_of(facts: _Facts, standing: Standing) -> Situation:
    """Return what the explanation needs of a job whose tenant stands like that."""
    job = facts.job
    run_after_us = _run_after_us(job)
    is_later = run_after_us is not None and run_after_us > standing.at_us
    own = _competitor(facts, standing)
    in_flight = standing.in_flight.get(job.priority, {})
    most_of_kind_us = facts.cost(job.kind).most_us
    return Situation(
        share=standing.share,
        now_us=standing.at_us,
        slots=standing.slots,
        lookahead=most_in_flight(standing.slots) - standing.slots,
        jobs_ahead=facts.line.jobs,
        is_more_ahead=facts.line.is_longer,
        work_ahead_us=facts.work_ahead_us,
        work_ahead_most_us=facts.most_us(facts.line.kinds),
        attempts_ahead_most=facts.attempts(facts.line.kinds)
        + facts.attempts(in_flight),
        # Of a job that is due later nobody knows what will be in flight then.
        in_flight_most_us=own.most * max(most_of_kind_us, own.longest_us)
        if is_later
        else facts.most_us(in_flight),
        levels=_levels(job.priority, standing, own, is_later=is_later),
        run_after_us=run_after_us,
        cap=standing.cap,
        elastic_cap=standing.elastic_cap,
        rate=standing.rate,
        is_tier_capped=standing.is_tier_capped,
        unbounded=_unbounded(job.priority, standing),
        received=_received(facts, standing.slots, standing.running_us),
        window_us=facts.received.window_us,
    )


def _competitor(facts: _Facts, standing: Standing) -> Competitor:
    """Return the tenant as it competes with the others."""
    kinds = {facts.job.kind, *facts.line.kinds, *facts.costs}
    for in_flight in standing.in_flight.values():
        kinds.update(in_flight)
    longest_us = max(facts.cost(kind).longest_attempt_us for kind in kinds)
    most = most_in_flight(standing.slots)
    return Competitor(
        weight=standing.share.weight,
        longest_us=longest_us + MARGIN_US,
        hold_us=longest_us,
        most=most if standing.cap is None else min(most, standing.cap),
    )


def _levels(
    priority: int, standing: Standing, own: Competitor, *, is_later: bool
) -> list[Level]:
    """Return the job's class, its tenant and its tier, with who competes with each."""
    pool = Competitor(
        weight=standing.tier_weight,
        longest_us=max(standing.longest_us + MARGIN_US, own.longest_us),
        hold_us=max(standing.longest_us, own.hold_us),
        most=most_in_flight(standing.slots),
    )
    classes = standing.classes
    others = [
        replace(own, weight=place.weight)
        for other, place in classes.items()
        if place.has_work and other != priority
    ]
    levels = [
        _level(own, standing.rivals, pool, standing.ahead_us),
        _level(pool, standing.tier_rivals, pool, standing.tier_ahead_us),
    ]
    if others:
        place = classes[priority]
        node = replace(own, weight=place.weight)
        levels.insert(0, Level(node=node, rivals=others, ahead_us=place.ahead_us))
    if is_later:
        return [replace(level, ahead_us=None) for level in levels]
    return levels


def _level(node: Competitor, rivals: Rivals, like: Competitor, ahead_us: int) -> Level:
    """Return a level whose rivals are taken together: the bound only adds them up."""
    all_of_them = replace(like, weight=rivals.weight, most=rivals.most)
    return Level(node=node, rivals=[all_of_them], ahead_us=ahead_us)


def _unbounded(priority: int, standing: Standing) -> str | None:
    """Return why no bound is known although the gate would allow one."""
    is_mixed = any(
        place.has_work and other != priority
        for other, place in standing.classes.items()
    )
    limits = (standing.cap, standing.elastic_cap, standing.rate)
    is_limited = any(limit is not None for limit in limits)
    return _MIXED if is_mixed and is_limited else None


# --- Without it -----------------------------------------------------------------------


def _from_ledger(facts: _Facts) -> Wait:
    """Return what can be said while no dispatcher tells how the tenant stands."""
    has_leader = facts.around.has_leader
    silence = _NO_REPORT if has_leader else _NO_LEADER
    situation = _known_situation(facts, silence)
    found = explain(situation)
    wait = _wait(facts, situation, found, as_of_us=None)
    if found.waits_for is not WaitsFor.TURN:
        return replace(wait, sentence=f"{found.sentence} {_sentence(silence)}")
    unknown = f"{silence} what it waits for" if has_leader else f"{silence}: {_HALT}"
    sentence = _sentence(unknown) + ahead_in_words(situation)
    return replace(wait, waits_for=None, sentence=sentence)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _known_situation(facts: _Facts, silence: str) -> Situation:
    """Return the part of the situation that the ledger knows."""
    around, job = facts.around, facts.job
    share = TenantShare(
        tenant=job.tenant_id,
        tier=around.tier,
        weight=1000,
        entitled=0.0,
        virtual_time=0,
        ahead_us=0,
        used_us=0,
        in_flight=0,
        waiting=0,
        gate=Gate.PAUSED if around.is_paused else Gate.TURN,
        gate_opens_us=None,
    )
    return Situation(
        share=share,
        now_us=facts.now_us,
        slots=around.slots,
        jobs_ahead=facts.line.jobs,
        is_more_ahead=facts.line.is_longer,
        work_ahead_us=facts.work_ahead_us,
        work_ahead_most_us=0,
        in_flight_most_us=0,
        levels=[],
        run_after_us=_run_after_us(job),
        unbounded=silence,
        received=_received(facts, around.slots, running_us=0),
        window_us=facts.received.window_us,
    )


# --- Both -----------------------------------------------------------------------------


def _received(facts: _Facts, slots: int, running_us: int) -> float | None:
    """Return the part of the pool's time that the tenant had in the window."""
    window_us = facts.received.window_us
    if not slots or window_us <= 0:
        return None
    had_us = facts.received.settled_us + running_us
    return min(1.0, had_us / (slots * window_us))


def _wait(
    facts: _Facts, situation: Situation, found: Explanation, *, as_of_us: int | None
) -> Wait:
    return Wait(
        waits_for=found.waits_for,
        opens_at=_moment(found.opens_us),
        jobs_ahead=found.jobs_ahead,
        is_more_ahead=situation.is_more_ahead,
        work_ahead_us=found.work_ahead_us,
        entitled=None if as_of_us is None else found.entitled,
        received=found.received,
        window_us=facts.received.window_us,
        starts_within_us=found.wait_at_most_us,
        no_bound=found.no_bound,
        sentence=found.sentence,
        as_of=_moment(as_of_us),
        pool=facts.around.pool,
    )


def _run_after_us(job: Job) -> int | None:
    """Return when the job is due; None if the database's clock has found it due."""
    return None if job.state == State.QUEUED else _microseconds(job.run_after)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _moment(time_us: int | None) -> datetime | None:
    return None if time_us is None else _EPOCH + time_us * _MICROSECOND
