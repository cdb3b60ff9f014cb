"""Why a job waits: each cause alone, then all against what happens next."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from fairshare.explain import (
    Competitor,
    Explanation,
    Level,
    Situation,
    WaitsFor,
    explain,
    in_words,
    percent,
)
from fairshare.policies import ESTIMATES, Estimates, FairShare
from fairshare.scheduler import Gate, Rate, TenantShare
from fairshare.simulation import Setup, Simulation, TenantConfig
from fairshare.stress import random_setup
from fairshare.trace import Job

SECOND = 1_000_000
TENANT = Competitor(weight=1000, longest_us=2 * SECOND, hold_us=SECOND, most=4)

SHARE = TenantShare(
    tenant="acme",
    tier="gold",
    weight=1000,
    entitled=0.25,
    virtual_time=0,
    ahead_us=0,
    used_us=0,
    in_flight=2,
    waiting=3,
    gate=Gate.TURN,
    gate_opens_us=None,
)

SITUATION = Situation(
    share=SHARE,
    now_us=100 * SECOND,
    slots=4,
    jobs_ahead=2,
    work_ahead_us=3 * SECOND,
    work_ahead_most_us=4 * SECOND,
    in_flight_most_us=4 * SECOND,
    levels=[Level(node=TENANT)],
)


def gated(gate: Gate, *, opens_us: int | None = None, **changes: Any) -> Situation:
    share = replace(SHARE, gate=gate, gate_opens_us=opens_us)
    return replace(SITUATION, share=share, **changes)


# Each cause alone


def test_a_job_waits_its_turn_behind_its_own():
    explanation = explain(replace(SITUATION, received=0.31, window_us=300 * SECOND))
    assert explanation.waits_for is WaitsFor.TURN
    assert explanation.sentence == (
        "It waits its turn: acme has 2 jobs in flight and is entitled to 25% of the "
        "pool (it used 31% over the last 5 min). 2 jobs of acme go first, about "
        "3.0 s of work. It starts within 2.0 s."
    )


def test_alone_the_bound_is_its_own_work_over_the_slots():
    assert explain(SITUATION).wait_at_most_us == (4 + 4) * SECOND // 4


def test_a_rival_adds_its_part_and_one_burst():
    level = Level(node=TENANT, rivals=[replace(TENANT, weight=2000)], ahead_us=0)
    # Own 8 s, charged at most 8 + 4 * (1 + 2); twice as much for the rival; then
    # 4 * (1 + 2 + 2) for what the rival was charged too much or gets too much.
    expected = (8 + 2 * (8 + 12) + 20) * SECOND // 4
    assert explain(replace(SITUATION, levels=[level])).wait_at_most_us == expected


def test_debt_lengthens_the_wait_and_an_unknown_place_counts_as_the_worst():
    def bound(ahead_us: int | None) -> int:
        level = Level(node=TENANT, rivals=[TENANT], ahead_us=ahead_us)
        most = explain(replace(SITUATION, levels=[level])).wait_at_most_us
        assert most is not None
        return most

    assert bound(10 * SECOND) == bound(0) + 10 * SECOND // 4
    # The most that all of its four can be charged ahead: 4 * (2 + 1) s.
    assert bound(None) == bound(12 * SECOND)


def test_what_is_published_goes_first_too():
    ahead = explain(replace(SITUATION, lookahead=8)).wait_at_most_us
    assert ahead == explain(SITUATION).wait_at_most_us + (8 * 2 // 4 + 2) * SECOND


def test_a_paused_tenant_has_no_bound():
    explanation = explain(gated(Gate.PAUSED))
    assert explanation.waits_for is WaitsFor.PAUSED
    assert explanation.wait_at_most_us is None
    assert explanation.no_bound == "the tenant is paused until a person resumes it"
    assert explanation.sentence.startswith("acme is paused: none of its jobs starts")


def test_without_workers_nothing_starts():
    explanation = explain(replace(SITUATION, slots=0))
    assert explanation.waits_for is WaitsFor.NO_WORKERS
    assert explanation.wait_at_most_us is None
    assert explanation.no_bound == "no worker is there"


def test_a_job_that_is_not_due_says_when():
    explanation = explain(replace(SITUATION, run_after_us=160 * SECOND, jobs_ahead=0))
    assert explanation.waits_for is WaitsFor.SCHEDULED
    assert explanation.opens_us == 160 * SECOND
    assert explanation.sentence.startswith("It is not due for another 1 min.")
    assert (
        explanation.wait_at_most_us
        == 60 * SECOND + explain(replace(SITUATION, jobs_ahead=0)).wait_at_most_us
    )


def test_a_scheduled_job_of_a_paused_tenant_has_no_bound():
    explanation = explain(gated(Gate.PAUSED, run_after_us=160 * SECOND))
    assert explanation.waits_for is WaitsFor.SCHEDULED
    assert explanation.wait_at_most_us is None


def test_a_cap_lets_one_through_after_the_other():
    situation = gated(Gate.CAP, cap=2, levels=[Level(node=replace(TENANT, most=2))])
    explanation = explain(situation)
    assert explanation.waits_for is WaitsFor.CAP
    # Three times: 2 s until an attempt ends, and the tenant's two of 2 s on 4 slots.
    assert explanation.wait_at_most_us == 3 * (2 + 1) * SECOND
    assert "as many as its cap allows" in explanation.sentence


@pytest.mark.parametrize("limit", ["cap", "elastic_cap"])
def test_a_cap_of_nothing_has_no_bound(limit: str):
    explanation = explain(gated(Gate.CAP, **{limit: 0}))
    assert explanation.wait_at_most_us is None
    assert explanation.no_bound == "its cap allows no job"


def test_a_rate_opens_by_itself():
    rate = Rate(per_thousand_seconds=100, burst=1)
    explanation = explain(gated(Gate.RATE, opens_us=107 * SECOND, rate=rate))
    assert explanation.waits_for is WaitsFor.RATE
    assert explanation.opens_us == 107 * SECOND
    assert "its next job may start in 7.0 s" in explanation.sentence
    # 7 s, and three times: 10 s of the rate, 2 s to an end, 2 s for the turn.
    assert explanation.wait_at_most_us == (7 + 3 * (10 + 2 + 2)) * SECOND


def test_a_capped_tier_has_no_bound():
    explanation = explain(gated(Gate.TIER_CAP, is_tier_capped=True))
    assert explanation.waits_for is WaitsFor.TIER_CAP
    assert explanation.wait_at_most_us is None
    assert "tier gold has as many jobs in flight" in explanation.sentence


def test_a_reason_of_the_asker_takes_the_bound_away():
    explanation = explain(replace(SITUATION, unbounded="nobody knows"))
    assert explanation.waits_for is WaitsFor.TURN
    assert explanation.no_bound == "nobody knows"
    assert "It starts within" not in explanation.sentence


def test_a_count_that_stopped_says_so():
    explanation = explain(replace(SITUATION, is_more_ahead=True))
    assert explanation.no_bound == "more jobs go first than are counted"
    assert explanation.sentence.endswith(
        "More than 2 jobs of acme go first, over 3.0 s of work."
    )


def test_a_small_part_is_not_said_to_be_none():
    assert percent(0.004) == "less than 1%"
    assert percent(0.006) == "1%"
    assert percent(0) == "0%"


@pytest.mark.parametrize(
    ("time_us", "words"),
    [
        (0, "0.0 s"),
        (9_949_999, "9.9 s"),
        (9_950_000, "10 s"),
        (59_400_000, "59 s"),
        (59_600_000, "1 min"),
        (3_599_600_000, "1 h"),
        (3_660_000_000, "1 h 1 min"),
        (90_000_000_000, "1 d 1 h"),
    ],
)
def test_lengths_of_time_in_words(time_us: int, words: str):
    assert in_words(time_us) == words


# Against what happens next


@dataclass(frozen=True)
class Said:
    """An explanation of a waiting job, and what it can be held against."""

    now_us: int
    job: Job
    explanation: Explanation
    ahead: list[Job]
    config: TenantConfig
    #: Own attempts in flight, and when the first of those that run will end.
    in_flight: int
    ends_us: int | None

    @property
    def is_first_start_to_come(self) -> bool:
        """Return whether the job had never run, so that its start tells the wait."""
        started_us = self.job.started_us
        return started_us is None or started_us >= self.now_us


class Oracle:
    """Explains waiting jobs of a run at some moments, and keeps what it said."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.mode = sorted(ESTIMATES)[seed % len(ESTIMATES)]
        self.setup, self.policy = self.draw()
        # The longest attempts and largest holds, from a run without questions.
        setup, policy = self.draw()
        self.first_run = Simulation(setup, policy).run().tenants
        self.largest_us = policy.estimates.largest_us
        self.said: list[Said] = []

    def draw(self) -> tuple[Setup, FairShare]:
        """Draw a workload; loads are used up by a run, so each needs its own."""
        drawn, longest_us = random_setup(Random(self.seed))
        setup = replace(drawn, changes=())
        estimates = Estimates(self.mode, longest_us=longest_us)
        return setup, FairShare(estimates, delta_us=setup.delta_us)

    def run(self) -> "Oracle":
        random = Random(self.seed)
        moments = [random.randrange(self.setup.until_us) for _ in range(6)]
        probes = [(moment, self.look) for moment in moments]
        Simulation(self.setup, self.policy, probes).run()
        return self

    def look(self, simulation: Simulation) -> None:
        in_flight = {*simulation.running, *simulation.published}
        for config in self.setup.tenants:
            jobs = [job for job in simulation.jobs if job.tenant == config.tenant]
            own = [job for job in jobs if job in in_flight]
            waiting = sorted(
                (j for j in jobs if j.finished_us is None and j not in in_flight),
                key=lambda job: job.order,
            )
            ends_us = min(self.ends_us(simulation, own), default=None)
            for place in {0, len(waiting) // 2, len(waiting) - 1} if waiting else ():
                job, ahead = waiting[place], waiting[:place]
                explanation = explain(self.situation(simulation, config, ahead, own))
                now_us = simulation.now_us
                self.said.append(
                    Said(now_us, job, explanation, ahead, config, len(own), ends_us)
                )

    def ends_us(self, simulation: Simulation, own: list[Job]) -> Iterator[int]:
        for job in own:
            if job in simulation.running:
                left_us = job.cost_us - job.done_us
                quantum_us = self.setup.quantum_us
                attempt_us = left_us if quantum_us is None else min(left_us, quantum_us)
                yield simulation.running[job] + attempt_us

    def competitor(self, config: TenantConfig) -> Competitor:
        most = self.setup.slots + self.setup.lookahead
        return Competitor(
            weight=config.weight,
            longest_us=self.first_run[config.tenant].longest_us,
            hold_us=max(200, self.largest_us.get(config.tenant, 0)),
            most=most if config.cap is None else min(most, config.cap),
        )

    def levels(self, config: TenantConfig, share: TenantShare) -> list[Level]:
        by_tier: dict[str, list[TenantConfig]] = {}
        for other in self.setup.tenants:
            by_tier.setdefault(other.tier, []).append(other)
        rivals = [o for o in by_tier[config.tier] if o is not config]
        tiers = {}
        for tier in self.setup.tiers:
            members = [self.competitor(o) for o in by_tier.get(tier.tier, [])]
            tiers[tier.tier] = Competitor(
                weight=tier.weight,
                longest_us=max((m.longest_us for m in members), default=0),
                hold_us=max((m.hold_us for m in members), default=0),
                most=self.setup.slots + self.setup.lookahead if members else 0,
            )
        own_tier = tiers.pop(config.tier)
        return [
            Level(
                node=self.competitor(config),
                rivals=[self.competitor(rival) for rival in rivals],
                ahead_us=share.ahead_us,
            ),
            Level(node=own_tier, rivals=list(tiers.values())),
        ]

    def situation(
        self,
        simulation: Simulation,
        config: TenantConfig,
        ahead: list[Job],
        own: list[Job],
    ) -> Situation:
        share = self.policy.scheduler.share(config.tenant)
        in_flight_us = sum(
            job.cost_us
            - job.done_us
            - (simulation.now_us - simulation.running.get(job, simulation.now_us))
            for job in own
        )
        ahead_us = sum(job.cost_us - job.done_us for job in ahead)
        quantum_us = self.setup.quantum_us or (1 << 60)
        return Situation(
            share=share,
            now_us=simulation.now_us,
            slots=self.setup.slots,
            lookahead=self.setup.lookahead,
            delta_us=self.setup.delta_us,
            jobs_ahead=len(ahead),
            work_ahead_us=ahead_us,
            work_ahead_most_us=ahead_us,
            attempts_ahead_most=sum(
                -(-(job.cost_us - job.done_us) // quantum_us) for job in ahead + own
            ),
            in_flight_most_us=in_flight_us,
            levels=self.levels(config, share),
            cap=config.cap,
            elastic_cap=config.elastic_cap,
            rate=config.rate,
        )


@pytest.fixture(scope="module")
def said() -> list[tuple[Oracle, Said]]:
    oracles = [Oracle(seed).run() for seed in range(14, 30)]
    return [(oracle, said) for oracle in oracles for said in oracle.said]


def test_no_job_waits_longer_than_the_bound(said: list[tuple[Oracle, Said]]):
    nearest = 0.0
    for oracle, one in said:
        most_us = one.explanation.wait_at_most_us
        if most_us is None or not one.is_first_start_to_come:
            continue
        started_us = one.job.started_us
        until_us = oracle.setup.until_us if started_us is None else started_us
        assert until_us - one.now_us <= most_us, (oracle.seed, one)
        if started_us is not None and most_us:
            nearest = max(nearest, (until_us - one.now_us) / most_us)
    # A bound that is never approached would say nothing.
    assert nearest > 0.5


def test_a_gate_that_is_named_keeps_the_job_and_no_other_does(
    said: list[tuple[Oracle, Said]],
):
    seen = Counter(one.explanation.waits_for for _, one in said)
    assert min(seen[gate] for gate in ("cap", "rate", "turn")) > 10
    for _, one in said:
        explanation, started_us = one.explanation, one.job.started_us
        cap = one.config.cap
        is_full = cap is not None and one.in_flight >= cap
        assert (explanation.waits_for is WaitsFor.CAP) >= is_full
        if not one.is_first_start_to_come or started_us is None:
            continue
        if explanation.waits_for is WaitsFor.RATE:
            assert explanation.opens_us is not None
            assert started_us >= explanation.opens_us
        if is_full and one.ends_us is not None:
            assert started_us >= one.ends_us


def test_the_jobs_ahead_start_first_and_no_others_do(said: list[tuple[Oracle, Said]]):
    compared = 0
    for _, one in said:
        assert one.explanation.jobs_ahead == len(one.ahead)
        started_us = one.job.started_us
        if started_us is None or not one.is_first_start_to_come:
            continue
        for other in one.ahead:
            assert other.started_us is not None
            assert other.started_us <= started_us
            compared += 1
    assert compared > 1000
