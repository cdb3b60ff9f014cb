"""The measures: percentiles, shares, Jain's index, and when all were backlogged."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from benchmarks.live.history import History, Span

#: The part of the worker time that each tenant had; the parts add up to 1.
Shares = dict[str, float]


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, in seconds since 1970."""

    lo: float
    hi: float

    @property
    def seconds(self) -> float:
        """Return its length; one that ends before it begins has none."""
        return max(0.0, self.hi - self.lo)

    def cut(self, other: "Window") -> "Window":
        """Return the part of it that lies in another window."""
        return Window(max(self.lo, other.lo), min(self.hi, other.hi))


def percentile(ascending: Sequence[float], rank: float) -> float | None:
    """Return the smallest value that `rank` per cent of the values do not exceed.

    The nearest rank: always a value that was measured; None where nothing was.
    """
    if not ascending:
        return None
    position = ceil(len(ascending) * rank / 100)
    return ascending[max(0, position - 1)]


def median(values: Iterable[float]) -> float | None:
    """Return the middle value, the lower one of two; None where there is none."""
    return percentile(sorted(values), 50)


def jain(values: Iterable[float]) -> float | None:
    """Return Jain's index: 1 if all values are equal, 1/n if one has everything.

    Source: Jain, Chiu, Hawe, "A quantitative measure of fairness", 1984.
    """
    known = list(values)
    squares = sum(value * value for value in known)
    if not squares:
        return None
    return sum(known) ** 2 / (len(known) * squares)


def shares(spans: Iterable[Span], tenants: Iterable[str], window: Window) -> Shares:
    """Return the part of the worker time in a window that each tenant had."""
    seconds = dict.fromkeys(tenants, 0.0)
    for span in spans:
        if span.tenant in seconds:
            seconds[span.tenant] += span.within(window.lo, window.hi)
    whole = sum(seconds.values())
    return {name: had / whole if whole else 0.0 for name, had in seconds.items()}


def fairness(had: Shares, weights: Mapping[str, float]) -> float | None:
    """Return Jain's index over share / weight."""
    return jain(share / weights[tenant] for tenant, share in had.items())


def busy(spans: Iterable[Span], *, slots: int, window: Window) -> float:
    """Return the part of the slots' time that went into the jobs' own work."""
    if not window.seconds:
        return 0.0
    done = 0.0
    for span in spans:
        length = span.ended_at - span.started_at
        if length > 0:
            done += span.work * span.within(window.lo, window.hi) / length
    return done / (slots * window.seconds)


def backlogged(history: History, tenants: Collection[str]) -> list[Window]:
    """Return when any of the tenants had a job that waited: sent, and not started."""
    steps = [(job.called_at, 1) for job in history.sent if job.tenant in tenants]
    steps += [(job.started_at, -1) for job in history.begun if job.tenant in tenants]
    windows, waiting, since = [], 0, 0.0
    for at, step in sorted(steps):
        if waiting <= 0 < waiting + step:
            since = at
        if waiting > 0 >= waiting + step:
            windows.append(Window(since, at))
        waiting += step
    if waiting > 0:
        windows.append(Window(since, float("inf")))
    return windows


def all_backlogged(history: History, tenants: Iterable[str], within: Window) -> Window:
    """Return the longest window in which every one of the tenants was backlogged."""
    common = [within]
    for tenant in tenants:
        own = backlogged(history, {tenant})
        common = [cut for one in common for two in own if (cut := one.cut(two)).seconds]
    return max(common, key=lambda window: window.seconds, default=Window(0.0, 0.0))


def finished_in(spans: Iterable[Span], window: Window) -> int:
    """Return how many spans ended in a window."""
    return sum(window.lo <= span.ended_at <= window.hi for span in spans)
