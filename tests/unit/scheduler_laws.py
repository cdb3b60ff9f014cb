"""The laws of fair share as checks of a scheduler, whoever made it.

`test_scheduler_laws.py` holds the real one to them under drawn cases;
`test_planted_bugs.py` shows that each of them can fail. One slot serves two tenants,
`a` and `b`; attempts are not refreshed, so the terms of the bound are one slot, the
longest attempt or hold, and no refresh step.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import count
from typing import Any, Final

from fairshare.scheduler import DELTA_US, Dispatch, Priority, Rate
from tests.unit.snapshot_store import Store, copied

#: Makes a FairScheduler of strings, or something that should behave like one.
Make = Callable[[], Any]
#: Raises AssertionError if the scheduler breaks the law.
Law = Callable[[Make, "Case"], None]

TICKS_PER_US = 720_720_000
MS = 1_000


@dataclass(frozen=True)
class Case:
    """Two tenants' weights in thousandths and costs in microseconds."""

    weight_a: int = 1000
    weight_b: int = 1000
    cost_a: int = 10 * MS
    cost_b: int = 10 * MS
    hold: int = 10 * MS
    #: Attempts of the other one while something is kept from b.
    away: int = 60

    @property
    def weights(self) -> dict[str, int]:
        return {"a": self.weight_a, "b": self.weight_b}

    @property
    def costs(self) -> dict[str, int]:
        return {"a": self.cost_a, "b": self.cost_b}

    @property
    def step(self) -> Fraction:
        """K: what one attempt moves a tenant at most, at weight 1."""
        return max(
            Fraction(max(self.costs[name], self.hold) * 1000, weight)
            for name, weight in self.weights.items()
        )


class Slot:
    """One slot, a scheduler, and lines that never run dry."""

    def __init__(self, make: Make, case: Case) -> None:
        self.case = case
        self.scheduler = make()
        self.orders = count()
        self.served: Counter[str] = Counter()
        for tenant, weight in case.weights.items():
            self.scheduler.set_tenant(tenant, weight=weight)

    def offer(
        self, tenant: str, jobs: int = 2, priority: int = Priority.NORMAL
    ) -> None:
        for _ in range(jobs):
            order = next(self.orders)
            job = f"{tenant} {order} {int(priority)}"
            self.scheduler.offer(tenant, job, order=order, priority=priority)

    def pick(self) -> Dispatch[str]:
        dispatch: Dispatch[str] | None = self.scheduler.pick(self.case.hold, now_us=1)
        assert dispatch is not None, "the slot idles although a job could start"
        return dispatch

    def serve(self, picks: int, *, refill: bool = True) -> list[str]:
        """Run attempts one after the other; return whose they were."""
        tenants = []
        for _ in range(picks):
            dispatch = self.pick()
            tenant = dispatch.tenant
            assert tenant in self.case.costs, f"{tenant} may start nothing"
            cost_us = self.case.costs[tenant]
            self.scheduler.settle(dispatch.job, cost_us)
            self.served[tenant] += cost_us
            if refill:
                self.offer(tenant, 1, Priority(int(dispatch.job[-1])))
            tenants.append(tenant)
        return tenants

    def check_lag(self, picks: int, *, refill: bool = True, steps: int = 2) -> None:
        """Serve, both being eligible; at no time may one lag by more than the bound."""
        before, lags = self.served.copy(), [Fraction(0)]
        for _ in range(picks):
            self.serve(1, refill=refill)
            got = {
                name: Fraction((self.served[name] - before[name]) * 1000, weight)
                for name, weight in self.case.weights.items()
            }
            lags.append(got["a"] - got["b"])
        lag = max(lags) - min(lags)
        assert lag <= steps * self.case.step, f"lag {lag}, step {self.case.step}"


def shares_follow_weights(make: Make, case: Case) -> None:
    slot = Slot(make, case)
    slot.offer("a")
    slot.offer("b")
    slot.check_lag(200)


def idle_time_earns_nothing(make: Make, case: Case) -> None:
    slot = Slot(make, case)
    slot.offer("a")
    slot.offer("b", 1)
    slot.serve(2, refill=False)
    slot.offer("a")
    slot.serve(case.away)
    slot.offer("b")
    slot.check_lag(100, steps=3)


def a_newcomer_has_no_credit(make: Make, case: Case) -> None:
    slot = Slot(make, case)
    slot.offer("a")
    slot.serve(case.away)
    slot.offer("b")
    slot.check_lag(100)


def _gated_time_earns_nothing(
    make: Make, case: Case, shut: dict[str, Any], opened: dict[str, Any]
) -> None:
    slot = Slot(make, case)
    slot.scheduler.set_tenant("b", weight=case.weight_b, **shut)
    slot.offer("a")
    slot.offer("b")
    slot.serve(case.away)
    slot.scheduler.set_tenant("b", weight=case.weight_b, **opened)
    slot.check_lag(100, steps=3)


def paused_time_earns_nothing(make: Make, case: Case) -> None:
    _gated_time_earns_nothing(make, case, {"paused": True}, {})


def capped_time_earns_nothing(make: Make, case: Case) -> None:
    _gated_time_earns_nothing(make, case, {"cap": 0}, {"cap": 1})


def limited_time_earns_nothing(make: Make, case: Case) -> None:
    _gated_time_earns_nothing(make, case, {"rate": Rate(1, 1)}, {})


def _refunded(make: Make, case: Case) -> Slot:
    """Several attempts of a were taken for far dearer than they were, and settled."""
    slot = Slot(make, replace(case, hold=100 * int(case.step)))
    slot.offer("a", 6)
    for job in [slot.pick().job for _ in range(4)]:
        slot.scheduler.settle(job, case.cost_a)
    slot.case = case
    return slot


def a_newcomer_owes_no_refunded_hold(make: Make, case: Case) -> None:
    slot = _refunded(make, case)
    slot.offer("b")
    slot.check_lag(100)


def a_newcomer_owes_none_to_a_successor(make: Make, case: Case) -> None:
    slot, heir = _refunded(make, case), Slot(make, case)
    heir.scheduler.resume(copied(slot.scheduler.snapshot()))
    heir.offer("a")
    heir.offer("b")
    heir.check_lag(100)


def _in_debt(make: Make, case: Case) -> Slot:
    """One attempt of b takes twenty times longer than another."""
    slot = Slot(make, case)
    slot.offer("b", 1)
    slot.scheduler.settle(slot.pick().job, 20 * case.cost_b)
    return slot


def _check_debt_is_paid(slot: Slot) -> None:
    """Tenant a goes on until it has caught up with b."""
    case = slot.case
    debt = Fraction(20 * case.cost_b * 1000, case.weight_b)
    got = Fraction(slot.served["a"] * 1000, case.weight_a)
    while got <= debt + 2 * case.step and slot.serve(1) == ["a"]:
        got = Fraction(slot.served["a"] * 1000, case.weight_a)
    assert abs(got - debt) <= 2 * case.step


def debt_survives_a_drain(make: Make, case: Case) -> None:
    slot = _in_debt(make, case)
    slot.offer("a")
    slot.serve(1)
    slot.offer("b")
    _check_debt_is_paid(slot)


def a_newcomer_shares_nobodys_debt(make: Make, case: Case) -> None:
    slot = _in_debt(make, case)
    slot.offer("b")
    slot.scheduler.remove_tenant("a")
    slot.scheduler.set_tenant("a", weight=case.weight_a)
    slot.offer("a")
    _check_debt_is_paid(slot)


def charges_are_the_costs(make: Make, case: Case) -> None:
    """Whatever was held: what is settled is what the ledger says, to the tick."""
    slot = Slot(make, case)
    slot.offer("a")
    slot.offer("b")
    slot.serve(50)
    for tenant, weight in case.weights.items():
        share = slot.scheduler.share(tenant)
        ticks = TICKS_PER_US * 1000 // weight
        assert share.used_us == slot.served[tenant]
        assert share.virtual_time == slot.served[tenant] * ticks


def estimates_change_no_share(make: Make, case: Case) -> None:
    """One tenant is taken for a hundred times dearer than it is."""
    slot = Slot(make, replace(case, hold=100 * case.hold))
    slot.offer("a")
    slot.offer("b")
    slot.serve(200)
    got = {t: Fraction(slot.served[t] * 1000, w) for t, w in case.weights.items()}
    # One slot: every hold is settled before the next decision.
    assert abs(got["a"] - got["b"]) <= 2 * case.step


def a_running_job_is_charged_ahead(make: Make, case: Case) -> None:
    """As far ahead as it has run, and no further than the step."""
    slot = Slot(make, case)
    slot.offer("a", 1)
    job = slot.pick().job
    for elapsed_us in (case.hold, 5 * case.hold, 20 * DELTA_US):
        slot.scheduler.refresh(job, elapsed_us)
        ahead_us = slot.scheduler.share("a").used_us - elapsed_us
        assert 0 < ahead_us <= min(DELTA_US, elapsed_us)
    slot.scheduler.settle(job, case.cost_a)
    assert slot.scheduler.share("a").used_us == case.cost_a


def a_weight_binds_on_what_waits(make: Make, case: Case) -> None:
    """All jobs are there before the change, and none comes after it."""
    slot = Slot(make, case)
    slot.offer("a", 400)
    slot.offer("b", 400)
    slot.serve(100, refill=False)
    slot.case = replace(case, weight_b=4 * case.weight_b)
    slot.scheduler.set_tenant("b", weight=slot.case.weight_b)
    lag_of_then = case.step / slot.case.step  # charged at the weight of then
    slot.check_lag(150, refill=False, steps=2 * max(1, -(-lag_of_then // 1)))


def a_long_line_costs_nothing(make: Make, case: Case) -> None:
    """What waits is not charged: a flood has the share of a trickle."""
    slot = Slot(make, case)
    slot.offer("a", 300)
    slot.offer("b")
    slot.check_lag(150)


def splitting_earns_nothing(make: Make, case: Case) -> None:
    """One tenant spreads its jobs over all classes, and offers them first."""
    slot = Slot(make, case)
    for priority in Priority:
        slot.offer("a", 20, priority)
    slot.offer("b")
    slot.check_lag(200)


def a_stalled_tenant_holds_nobody_back(make: Make, case: Case) -> None:
    """Its only job may not start; who comes later shares with the one who went on."""
    slot = Slot(make, case)
    slot.scheduler.set_tenant("stalled", weight=1000, cap=0)
    slot.offer("stalled", 1)
    slot.offer("a")
    slot.serve(case.away)
    slot.offer("b")
    slot.check_lag(100)


def nobody_starves(make: Make, case: Case) -> None:
    """Between two turns of b pass at most its part of the bound and one attempt."""
    slot = Slot(make, case)
    slot.offer("a")
    slot.offer("b")
    turns = "".join(slot.serve(300))
    weights = Fraction(sum(case.weights.values()), 1000)
    longest_us = 2 * case.step * weights + max(case.costs.values())
    assert "b" in turns
    for gap in turns.split("b"):
        assert len(gap) * case.cost_a <= longest_us


def a_cap_is_exact(make: Make, case: Case) -> None:
    slot = Slot(make, case)
    slot.scheduler.set_tenant("b", weight=case.weight_b, cap=3)
    slot.offer("b", 10)
    for _ in range(3):
        slot.pick()
    assert slot.scheduler.pick(case.hold, now_us=1) is None


def decisions_repeat(make: Make, case: Case) -> None:
    histories = []
    for _ in range(2):
        slot = Slot(make, case)
        slot.offer("a", 5)
        slot.offer("b", 5)
        histories.append((slot.serve(100), slot.scheduler.snapshot()))
    assert histories[0] == histories[1]


def what_is_written_adds_up(make: Make, case: Case) -> None:
    """Only what has changed is written, and it is the snapshot all the same."""
    slot, store = Slot(make, case), Store()
    slot.offer("a")
    slot.offer("b", 1)
    for _ in range(10):
        slot.serve(1, refill=False)
        slot.offer("a", 1)
        store.keep(slot.scheduler)
        assert store.read() == slot.scheduler.snapshot()


def a_successor_goes_on(make: Make, case: Case) -> None:
    """A new leader has the snapshot, what is in flight, and the same lines."""
    slot, heir = Slot(make, case), Slot(make, case)
    for tenant in ("a", "b"):
        slot.offer(tenant, 60)
    # A hold far too large leaves b behind a clock that is ahead of all.
    slot.case = replace(case, hold=10 * case.hold)
    started = [slot.pick() for _ in range(6)]
    slot.case = case
    for dispatch in started[:4]:
        slot.scheduler.settle(dispatch.job, case.costs[dispatch.tenant])
    heir.scheduler.resume(copied(slot.scheduler.snapshot()))
    for job, tenant, held_us, weight, tier_weight in started[4:]:
        heir.scheduler.restore(
            tenant, job, held_us=held_us, weight=weight, tier_weight=tier_weight
        )
    known = {dispatch.job for dispatch in started}
    for order in range(120):
        tenant = "a" if order < 60 else "b"
        job = f"{tenant} {order} {int(Priority.NORMAL)}"
        if job not in known:
            heir.scheduler.offer(tenant, job, order=order)
    assert heir.serve(60, refill=False) == slot.serve(60, refill=False)


LAWS: Final[dict[str, Law]] = {
    law.__name__: law
    for law in (
        shares_follow_weights,
        idle_time_earns_nothing,
        a_newcomer_has_no_credit,
        paused_time_earns_nothing,
        capped_time_earns_nothing,
        limited_time_earns_nothing,
        a_newcomer_owes_no_refunded_hold,
        a_newcomer_owes_none_to_a_successor,
        debt_survives_a_drain,
        a_newcomer_shares_nobodys_debt,
        charges_are_the_costs,
        estimates_change_no_share,
        a_running_job_is_charged_ahead,
        a_weight_binds_on_what_waits,
        a_long_line_costs_nothing,
        splitting_earns_nothing,
        a_stalled_tenant_holds_nobody_back,
        nobody_starves,
        a_cap_is_exact,
        decisions_repeat,
        what_is_written_adds_up,
        a_successor_goes_on,
    )
}
