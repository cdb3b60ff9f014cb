"""From what happened to what is reported: shares, waits and how busy the slots were."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.live import stats
from benchmarks.live.history import History
from benchmarks.live.scenarios import Part, Scenario
from benchmarks.live.stats import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """When the parts of a run took place, in seconds since 1970."""

    window: Window
    #: When the trickle ran alone.
    solo: Window | None = None
    #: When the queue had accepted each change of the scenario, in their order.
    changed_at: Sequence[float] = ()
    #: When the harness stopped to look.
    ended_at: float


def evaluate(
    history: History, scenario: Scenario, moments: Moments, *, slots: int
) -> dict[str, Any]:
    """Return the measures of one run, ready for JSON; times in seconds."""
    rates = _throughput(history, scenario, moments, slots=slots)
    return {
        "parts": [_part(history, scenario, part, moments) for part in scenario.parts],
        "waits": _waits(history, scenario, moments),
        "asked_of_fair_share": _asked(scenario, used_slots=slots * rates["busy"]),
        **rates,
    }


def _part(
    history: History, scenario: Scenario, part: Part, moments: Moments
) -> dict[str, Any]:
    window = stats.all_backlogged(
        history, part.weights, _window_of(scenario, part, moments)
    )
    had = stats.shares(history.spans, part.weights, window)
    measured = window.seconds > 0 and any(had.values())
    errors = [abs(had[name] - ideal) for name, ideal in part.ideal.items()]
    return {
        "name": part.name,
        "window_s": round(window.seconds, 2),
        "runs": stats.finished_in(history.spans, window),
        "ideal": {name: round(share, 4) for name, share in part.ideal.items()},
        "shares": {name: round(share, 4) for name, share in had.items()}
        if measured
        else None,
        "jain": _rounded(stats.fairness(had, part.weights)) if measured else None,
        "largest_error": _rounded(max(errors)) if measured else None,
    }


def _window_of(scenario: Scenario, part: Part, moments: Moments) -> Window:
    whole = moments.window
    lo = whole.lo + part.lo * whole.seconds
    hi = whole.lo + part.hi * whole.seconds
    for change, changed_at in zip(scenario.changes, moments.changed_at, strict=False):
        if change.at == part.lo:
            # A change takes its time to be accepted; what is after it begins then.
            lo = max(lo, changed_at)
    return Window(lo, hi)


def _waits(history: History, scenario: Scenario, moments: Moments) -> Any:
    if scenario.trickle is None:
        return None
    tenants = scenario.trickle.tenants

    def summary(window: Window) -> dict[str, Any]:
        waits = history.waits(
            tenants, lo=window.lo, hi=window.hi, censored_at=moments.ended_at
        )
        return {
            "jobs": len(waits),
            "p50": _rounded(stats.percentile(waits, 50)),
            "p99": _rounded(stats.percentile(waits, 99)),
            "max": _rounded(waits[-1] if waits else None),
        }

    noisy = summary(moments.window)
    # Those waits are lower bounds: the jobs had not started when we stopped to look.
    noisy["unstarted"] = history.unstarted(tenants)
    solo = summary(moments.solo) if moments.solo else None
    return {
        "solo": solo,
        "noisy": noisy,
        "ratio_p50": _ratio(noisy, solo, "p50"),
        "ratio_p99": _ratio(noisy, solo, "p99"),
    }


def _asked(scenario: Scenario, *, used_slots: float) -> float | None:
    """Return what a tenant of the trickle asked for, as a part of its fair share.

    Its fair share of the slots that were used, that is: above 1 it must wait even at
    a fair queue, for want of speed. Every tenant of such a scenario weighs the same.
    """
    trickle = scenario.trickle
    if trickle is None or not used_slots:
        return None
    asked = trickle.seconds / (trickle.every * len(trickle.tenants))
    return round(asked * len(scenario.tenants) / used_slots, 3)


def _throughput(
    history: History, scenario: Scenario, moments: Moments, *, slots: int
) -> dict[str, Any]:
    """Measure where a flood waits, so that free slots are never for want of work."""
    flooding = {name for flood in scenario.floods for name in flood.tenants}
    waiting = stats.backlogged(history, flooding)
    cuts = [cut for one in waiting if (cut := one.cut(moments.window)).seconds]
    window = max(cuts, key=lambda cut: cut.seconds, default=Window(0.0, 0.0))
    ended = stats.finished_in(history.spans, window)
    return {
        "loaded_s": round(window.seconds, 2),
        "runs": ended,
        "busy": _rounded(stats.busy(history.spans, slots=slots, window=window)),
        "runs_per_second": _rounded(ended / window.seconds) if window.seconds else None,
        "sent": len(history.sent),
        "begun": len(history.begun),
    }


def _ratio(noisy: dict[str, Any], solo: dict[str, Any] | None, key: str) -> Any:
    if solo is None or not solo[key] or noisy[key] is None:
        return None
    return round(noisy[key] / solo[key], 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
