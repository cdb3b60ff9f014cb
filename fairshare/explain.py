"""Say why a job waits, what is ahead of it, and how long it can take at most.

Idea
    A job waits for the first of a few things: its own time, a person who paused the
    tenant, a worker, a cap, a rate, or only its turn. For a job that waits its turn
    the scheduler's rule gives a bound: until the job starts, every slot is busy, so
    the wait is at most all the work that the rule lets run before it, divided by the
    slots.

Source
    The reasons of Slurm's squeue and the terms of its sprio. The bound follows from
    the argument of `fairshare.scheduler`, with the present numbers of the tenant in
    place of the worst case.

Bound
    Let `work` be what the tenant itself may run first: what is left of its attempts
    in flight and all the jobs ahead of this one. Going up from class to tenant to
    tier, each level adds what each rival k may run before node i has come so far:

        q      =  work + S_i * (hold_i + 2 * delta)
        work  +=  sum over k of  w_k * (ahead_i + q / w_i)
                                 + S_k * (hold_k + C_k + 2 * delta)
        wait  <=  work / N + D * C / N + C      (the last two only with look-ahead D)

    S is the most a node can have in flight, C its longest attempt, hold its largest
    hold, delta the refresh step, and ahead_i by how much its virtual time is ahead of
    the clock, at most S_i * (max(hold_i, C_i) + delta) / w_i. First term: i's place
    in virtual time when the job's turn comes, q being what it is charged until then,
    and k is served only while it is not ahead of that place. Second: k may have been
    charged for more than it got when this began, and may get more than it is charged
    for at the end. In the worst case this is within B * W / N, with the B of
    `fairshare.scheduler`, plus what the tenant itself has ahead at its own pace.

    A tenant with a cap or a rate goes through this once for each of its jobs ahead,
    with the wait for the gate in between.

Limits
    It holds if no tenant joins, no weight or limit changes, no job comes in a priority
    class of the tenant that has none, workers live, and costs stay within the longest
    ones given. There is no bound under the cap of a tier. It is a worst case: usual
    waits are far shorter.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from math import ceil

from fairshare.scheduler import DELTA_US, Gate, Rate, TenantShare

__all__ = [
    "Competitor",
    "Explanation",
    "Level",
    "Situation",
    "WaitsFor",
    "ahead_in_words",
    "explain",
    "in_words",
    "percent",
]


class WaitsFor(StrEnum):
    """The nearest thing that a waiting job waits for."""

    SCHEDULED = "scheduled"  # its own time
    PAUSED = "paused"
    SWITCH = "switch"  # of its kind or pool
    NO_WORKERS = "no_workers"
    CAP = "cap"
    TIER_CAP = "tier_cap"
    RATE = "rate"
    TURN = "turn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Competitor:
    """A class, tenant or tier: its weight, and how much of it can be in flight.

    `weight` is in thousandths. `longest_us` is its longest attempt, `hold_us` its
    largest hold, `most` how many attempts it can have in flight.
    """

    weight: int
    longest_us: int
    hold_us: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A node on the way from the job up the tree, and who competes with it there.

    `ahead_us` is its virtual time minus its parent's clock, in microseconds at weight
    1; None if unknown.
    """

    node: Competitor
    rivals: Sequence[Competitor] = ()
    ahead_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is known about a waiting job. Times are in microseconds of one clock.

    `jobs_ahead` counts the tenant's own jobs that go first, `work_ahead_us` is their
    estimated cost and `work_ahead_most_us` the most they can cost, in at most
    `attempts_ahead_most` attempts (one each if None). `in_flight_most_us` is the most
    that is left of the tenant's jobs in flight, with what they yield and resume.
    `is_more_ahead` says that the counting stopped at `jobs_ahead`, `unbounded` why the
    asker knows of no bound. `levels` go from the tenant (or its priority class) up to
    the tier. `received` is the part of the pool that the tenant had over the last
    `window_us`.
    """

    share: TenantShare
    now_us: int
    slots: int
    jobs_ahead: int
    work_ahead_us: int
    work_ahead_most_us: int
    in_flight_most_us: int
    levels: Sequence[Level]
    attempts_ahead_most: int | None = None
    lookahead: int = 0
    delta_us: int = DELTA_US
    run_after_us: int | None = None
    cap: int | None = None
    elastic_cap: int | None = None
    rate: Rate | None = None
    is_tier_capped: bool = False
    is_more_ahead: bool = False
    unbounded: str | None = None
    received: float | None = None
    window_us: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a job waits.

    `opens_us` is when the gate opens by itself, if it does. `wait_at_most_us` is None
    where there is no bound; `no_bound` then says why. `entitled` and `received` are
    parts of the pool, from 0 to 1.
    """

    waits_for: WaitsFor
    opens_us: int | None
    jobs_ahead: int
    work_ahead_us: int
    entitled: float
    received: float | None
    wait_at_most_us: int | None
    no_bound: str | None
    sentence: str


_GATES = {
    Gate.PAUSED: WaitsFor.PAUSED,
    Gate.CAP: WaitsFor.CAP,
    Gate.TIER_CAP: WaitsFor.TIER_CAP,
    Gate.RATE: WaitsFor.RATE,
}


def explain(situation: Situation) -> Explanation:
    """Explain why a waiting job has not started yet."""
    share = situation.share
    waits_for = _waits_for(situation)
    no_bound = _no_bound(situation, waits_for)
    bound_us = None if no_bound else _wait_at_most_us(situation)
    opens_us = share.gate_opens_us if waits_for is WaitsFor.RATE else None
    if waits_for is WaitsFor.SCHEDULED:
        opens_us = situation.run_after_us
    return Explanation(
        waits_for=waits_for,
        opens_us=opens_us,
        jobs_ahead=situation.jobs_ahead,
        work_ahead_us=situation.work_ahead_us,
        entitled=share.entitled,
        received=situation.received,
        wait_at_most_us=bound_us,
        no_bound=no_bound,
        sentence=_sentence(situation, waits_for, opens_us, bound_us),
    )


def _waits_for(situation: Situation) -> WaitsFor:
    run_after_us = situation.run_after_us
    if run_after_us is not None and run_after_us > situation.now_us:
        return WaitsFor.SCHEDULED
    if situation.share.gate is Gate.PAUSED:
        return WaitsFor.PAUSED
    if situation.slots == 0:
        return WaitsFor.NO_WORKERS
    return _GATES.get(situation.share.gate, WaitsFor.TURN)


# The bound


def _no_bound(situation: Situation, waits_for: WaitsFor) -> str | None:
    """Return why there is no bound on the wait; None if there is one."""
    if situation.share.gate is Gate.PAUSED:
        return "the tenant is paused until a person resumes it"
    if situation.slots == 0:
        return "no worker is there"
    if situation.cap == 0 or situation.elastic_cap == 0:
        return "its cap allows no job"
    if situation.is_tier_capped:
        return "its tier has a cap, which leaves the order among tiers open"
    if situation.is_more_ahead:
        return "more jobs go first than are counted"
    return situation.unbounded


def _wait_at_most_us(situation: Situation) -> int:
    """Return the most that the job can wait from now on; see Bound above."""
    start_us = max(situation.now_us, situation.run_after_us or 0)
    levels, wait_us = situation.levels, start_us - situation.now_us
    limits = (situation.cap, situation.elastic_cap, situation.rate)
    if all(limit is None for limit in limits):
        own_us = situation.in_flight_most_us + situation.work_ahead_most_us
        return ceil(wait_us + _turn_us(situation, own_us, levels))
    # One attempt after the other: the wait for the gate, then the one for the turn.
    node, rounds = levels[0].node, _attempts_ahead(situation) + 1
    anywhere = [replace(level, ahead_us=None) for level in levels]
    turn_us = _turn_us(situation, node.most * node.longest_us, anywhere)
    ends_us = node.longest_us + _published_us(situation)
    if situation.rate is not None:
        opens_us = situation.share.gate_opens_us or situation.now_us
        wait_us += max(0, opens_us - situation.now_us)
        ends_us += situation.rate.interval_us
    return ceil(wait_us + rounds * (ends_us + turn_us))


def _attempts_ahead(situation: Situation) -> int:
    most = situation.attempts_ahead_most
    return situation.jobs_ahead if most is None else most


def _turn_us(situation: Situation, own_us: int, levels: Sequence[Level]) -> Fraction:
    """Return the most that a job waits its turn, the tenant having so much first."""
    work = Fraction(own_us)
    for level in levels:
        work += _rivals_first(level, work, situation.delta_us)
    return work / situation.slots + _published_us(situation)


def _published_us(situation: Situation) -> Fraction:
    """Return the most from publication to start, behind what is published before."""
    if not situation.lookahead:
        return Fraction(0)
    longest_us = max(
        competitor.longest_us
        for level in situation.levels
        for competitor in (level.node, *level.rivals)
    )
    return Fraction(situation.lookahead * longest_us, situation.slots) + longest_us


def _rivals_first(level: Level, work: Fraction, delta_us: int) -> Fraction:
    """Return the most that a node's rivals run before it has run so much."""
    node = level.node
    charged = work + node.most * (node.hold_us + 2 * delta_us)
    if level.ahead_us is None:
        worst_us = node.most * (max(node.hold_us, node.longest_us) + delta_us)
        place = (worst_us + charged) / node.weight
    else:
        place = Fraction(level.ahead_us, 1000) + charged / node.weight
    first = Fraction(0)
    for rival in level.rivals:
        first += max(Fraction(0), rival.weight * place)
        first += rival.most * (rival.hold_us + rival.longest_us + 2 * delta_us)
    return first


# In words

_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def in_words(time_us: int, *, at_most: bool = False) -> str:
    """Return a length of time as a person would say it; `at_most` rounds up.

    >>> in_words(250_000), in_words(41_000_000), in_words(125_000_000)
    ('0.2 s', '41 s', '2 min 5 s')
    >>> in_words(9_001_000_000), in_words(9_001_000_000, at_most=True)
    ('2 h 30 min', '2 h 31 min')
    """
    rounded = ceil if at_most else round
    if (tenths := rounded(time_us / 100_000)) < 100:
        return f"{tenths / 10:.1f} s"
    whole = rounded(time_us / 1_000_000)
    for size, unit, part_size, part_unit in _UNITS:
        if whole >= size:
            parts, rest = divmod(rounded(whole / part_size), size // part_size)
            return f"{parts} {unit}" + (f" {rest} {part_unit}" if rest else "")
    return f"{whole} s"


def _sentence(
    situation: Situation,
    waits_for: WaitsFor,
    opens_us: int | None,
    bound_us: int | None,
) -> str:
    tenant, in_flight = situation.share.tenant, situation.share.in_flight
    opens_in = in_words(max(0, (opens_us or 0) - situation.now_us))
    cause = {
        WaitsFor.SCHEDULED: f"It is not due for another {opens_in}.",
        WaitsFor.PAUSED: f"{tenant} is paused: none of its jobs starts until it is "
        "resumed.",
        WaitsFor.NO_WORKERS: "No worker is connected to this pool, so nothing starts.",
        WaitsFor.CAP: f"{tenant} has {_jobs(in_flight)} in flight, as many as its cap "
        "allows now; the next one starts when one of them ends.",
        WaitsFor.TIER_CAP: f"The tier {situation.share.tier} has as many jobs in "
        "flight as its cap allows; the next one starts when one of them ends.",
        WaitsFor.RATE: f"{tenant} has used up its rate; its next job may start in "
        f"{opens_in}.",
        WaitsFor.TURN: f"It waits its turn: {tenant} has {_jobs(in_flight)} in flight "
        f"and is entitled to {percent(situation.share.entitled)} of the pool"
        f"{_received(situation)}.",
    }[waits_for]
    ahead = ahead_in_words(situation)
    most = ""
    if bound_us is not None:
        most = f" It starts within {in_words(bound_us, at_most=True)}."
    return cause + ahead + most


def ahead_in_words(situation: Situation) -> str:
    """Return what of the tenant goes first, as a sentence after another one."""
    if not situation.jobs_ahead:
        return ""
    which = f"{_jobs(situation.jobs_ahead)} of {situation.share.tenant}"
    go = "goes" if situation.jobs_ahead == 1 else "go"
    work = f"{in_words(situation.work_ahead_us)} of work"
    if situation.is_more_ahead:
        return f" More than {which} {go} first, over {work}."
    return f" {which} {go} first, about {work}."


def percent(part: float) -> str:
    """Return a part of the whole as a person would say it.

    >>> percent(0.25), percent(0.0001), percent(0.0)
    ('25%', 'less than 1%', '0%')
    """
    return "less than 1%" if 0 < part < 0.005 else f"{part:.0%}"


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _received(situation: Situation) -> str:
    if situation.received is None or situation.window_us is None:
        return ""
    window = in_words(situation.window_us)
    return f" (it used {percent(situation.received)} over the last {window})"
