"""The scenarios of the benchmark, and what is made of a run of one."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.live.evaluation import Moments, evaluate
from benchmarks.live.history import Begun, History, Sent, Span
from benchmarks.live.scenarios import (
    Flood,
    Part,
    Scenario,
    Sizes,
    Tenant,
    Trickle,
    aliases,
    scenarios,
    with_window,
)
from benchmarks.live.stats import Window
from benchmarks.peers.plan import JobSpec, Plan, Summary, interleaved

SIZES = Sizes(window=120, victim_jobs=100, victim_tenants=1000, many_tenants=10_000)
ALL = {one.name: one for one in scenarios(SIZES, slots=2)}


@pytest.mark.parametrize("scenario", ALL.values(), ids=ALL.keys())
def test_a_scenario_names_only_its_own_tenants(scenario: Scenario):
    names = {tenant.name for tenant in scenario.tenants}
    assert len(names) == len(scenario.tenants)
    for flood in scenario.floods:
        assert set(flood.tenants) <= names
    for part in scenario.parts:
        assert set(part.weights) <= names
        assert 0 <= part.lo < part.hi <= 1
    for change in scenario.changes:
        assert change.tenant in names
    if scenario.trickle is not None:
        assert set(scenario.trickle.tenants) <= names
    assert scenario.parts or scenario.trickle


@pytest.mark.parametrize("scenario", ALL.values(), ids=ALL.keys())
def test_a_fair_queue_does_not_run_out_of_a_flood_before_its_part_ends(
    scenario: Scenario,
):
    whole = with_window(scenario, SIZES.window)
    assert whole.window is not None
    for part in scenario.parts:
        needed = {n: share * 2 * whole.window for n, share in part.ideal.items()}
        for name, seconds in needed.items():
            work = sum(
                flood.seconds * flood.jobs_each(window=whole.window, slots=2)
                for flood in scenario.floods
                if name in flood.tenants
            )
            assert work >= seconds * (part.hi - part.lo), (part.name, name)


@pytest.mark.parametrize("name", ["victim-2", "victim-many"])
def test_the_victim_asks_for_half_of_its_fair_share_at_most(name: str):
    scenario = ALL[name]
    trickle = scenario.trickle
    assert trickle is not None
    fair_jobs_per_second = 2 / trickle.seconds / len(scenario.tenants)
    own_jobs_per_second = 1 / trickle.every / len(trickle.tenants)
    assert own_jobs_per_second <= fair_jobs_per_second / 2


def test_the_victims_test_is_as_long_as_its_trickle():
    scenario = ALL["victim-2"]
    assert ALL["victim-many"].window == pytest.approx(100)
    assert scenario.window == pytest.approx(10)
    assert with_window(scenario, 120).window == pytest.approx(10)
    assert with_window(ALL["noisy-flood"], 120).window == 120


def test_a_tenant_that_splits_sends_under_other_names():
    assert aliases(Tenant(name="x", aliases=3)) == ["x0", "x1", "x2"]
    assert aliases(Tenant(name="y")) == ["y"]


def test_floods_are_interleaved_as_if_sent_at_the_same_time():
    lines = [[JobSpec(t, t, 0.1)] * n for t, n in (("a", 3), ("b", 1), ("c", 2))]
    assert "".join(job.tenant for job in interleaved(lines)) == "abcaca"


def test_a_plan_is_read_as_it_was_written(tmp_path: Path):
    jobs = [JobSpec("x", "x1", 0.5, 3, 2.0), JobSpec("y", "y", 0)]
    plan = Plan(jobs=jobs, every=0.1, batch=2, at_most=9, log=tmp_path / "sent.log")
    plan.write(tmp_path / "plan.json")
    assert Plan.read(tmp_path / "plan.json") == plan
    assert list(plan.calls()) == [jobs]
    assert list(replace(plan, batch=1).calls()) == [[jobs[0]], [jobs[1]]]


def test_a_summary_says_how_fast_it_went(tmp_path: Path):
    summary = Summary(
        jobs=10,
        first_called_at=1,
        last_returned_at=5,
        cpu_seconds=1,
        whole_cpu_seconds=2,
    )
    summary.write(tmp_path / "sent.json")
    assert Summary.read(tmp_path / "sent.json").per_second == 2.5


# --- A run ----------------------------------------------------------------------------

FLOODED = Scenario(
    name="flooded",
    what="",
    tenants=(Tenant(name="a"), Tenant(name="b"), Tenant(name="v")),
    floods=(Flood(tenants=("a", "b"), seconds=1, ideal=1),),
    trickle=Trickle(tenants=("v",), seconds=1, every=1),
    parts=(Part(name="share", lo=0, hi=1, weights={"a": 1, "b": 3}),),
)
MOMENTS = Moments(window=Window(100, 108), solo=Window(90, 95), ended_at=110)


def a_run() -> History:
    """One slot: a, b, b, v, b, b, b, then a and a remain; v's second never starts."""
    order = ["a", "b", "b", "v", "b", "b", "b", "a"]
    history = History()
    for second, tenant in enumerate(order):
        called, started = (101.5 if tenant == "v" else 99.0), 100.0 + second
        history.begun.append(Begun(tenant, called, started))
        history.spans.append(Span(tenant, started, started + 1, 1))
        history.sent.append(Sent(tenant, called))
    history.sent += [Sent("a", 99.0), Sent("b", 99.0), Sent("v", 104.0)]
    history.sent.append(Sent("v", 91.0))
    history.begun.append(Begun("v", 91.0, 91.5))
    return history


def test_shares_and_waits_of_a_run_are_those_of_its_jobs():
    found = evaluate(a_run(), FLOODED, MOMENTS, slots=1)
    (part,) = found["parts"]
    assert part["shares"] == {"a": round(2 / 7, 4), "b": round(5 / 7, 4)}
    assert part["window_s"] == 8
    assert part["largest_error"] == pytest.approx(2 / 7 - 1 / 4, abs=1e-4)
    assert found["waits"]["solo"] == {"jobs": 1, "p50": 0.5, "p99": 0.5, "max": 0.5}
    noisy = found["waits"]["noisy"]
    assert (noisy["jobs"], noisy["p50"], noisy["p99"]) == (2, 1.5, 6.0)
    assert noisy["unstarted"] == 1
    assert found["waits"]["ratio_p50"] == 3
    assert found["busy"] == 1
    # One job of 1 s each second by one of three tenants, on one slot.
    assert found["asked_of_fair_share"] == 3
    assert found["runs_per_second"] == pytest.approx(1, abs=0.01)


def test_a_share_is_not_made_up_where_one_was_never_backlogged():
    history = a_run()
    history.sent = [job for job in history.sent if job.tenant != "b"]
    history.begun = [job for job in history.begun if job.tenant != "b"]
    (part,) = evaluate(history, FLOODED, MOMENTS, slots=1)["parts"]
    assert part["shares"] is None
    assert part["jain"] is None


def test_what_is_after_a_change_begins_when_the_queue_has_accepted_it():
    scenario = ALL["live-reweight"]
    history = History()
    for second in range(8):
        # Before the change is accepted, in the 6th second, only a has slots.
        tenant = "a" if second < 6 else "b"
        history.spans.append(Span(tenant, 100 + second, 101 + second, 1))
    history.sent = [Sent("a", 99.0), Sent("b", 99.0)]
    moments = replace(MOMENTS, changed_at=[106.0])
    before, after = evaluate(history, scenario, moments, slots=1)["parts"]
    assert before["shares"] == {"a": 1.0, "b": 0.0}
    assert after["shares"] == {"a": 0.0, "b": 1.0}
