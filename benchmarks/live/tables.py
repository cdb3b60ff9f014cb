"""The report as text: a table of fairness, one of throughput, and what was run."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from benchmarks.live import stats
from benchmarks.live.catalogue import OURS
from benchmarks.live.results import OK, Report, Result

THROUGHPUT: Final = "throughput"
#: Which way of enqueueing of ours is compared with a peer's.
SAME_WAY: Final = {"one by one": "by the service"}
NOTHING: Final = "–"
#: A light tenant that asks for more of its fair share than this is not light.
MOST_ASKED: Final = 0.5

_FAIRNESS: Final = (
    "scenario",
    "queue",
    "share of worker time (ideal), %",
    "Jain",
    "wait p50",
    "p99",
    "p50 / solo",
    "p99 / solo",
    "slots busy",
    "window s",
    "jobs",
    "others' CPU",
)
_RATES: Final = (
    "queue",
    "what",
    "per second (min–max)",
    "ours / it",
    "CPU ms per job",
    "peak RSS MB",
    "others' CPU",
    "jobs",
    "rounds",
)


def whole(report: Report) -> str:
    """Return the whole report as Markdown."""
    fair = [one for one in report.results if one.scenario != THROUGHPUT]
    rates = [one for one in report.results if one.scenario == THROUGHPUT]
    sections = [_head(report)]
    if fair:
        sections += [table(_FAIRNESS, fairness_rows(fair)), *_asked_lines(fair)]
        sections += [_scenario_lines(fair)]
    if rates:
        sections += [table(_RATES, rate_rows(rates))]
    sections.append(_queue_lines(report.results))
    return "\n\n".join(sections)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up in plain text too."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in (lines[0], rule, *lines[1:])
    )


# --- Fairness -------------------------------------------------------------------------


def fairness_rows(found: Iterable[Result]) -> list[list[str]]:
    """Return a row for each queue in each scenario, or for each part of its window."""
    return [row for result in found for row in _rows_of(result)]


def _rows_of(result: Result) -> list[list[str]]:
    if result.status != OK:
        blank = [NOTHING] * (len(_FAIRNESS) - 3)
        return [[result.scenario, result.system, result.reason, *blank]]
    measures = result.measures
    parts: list[Mapping[str, Any]] = measures["parts"] or [{}]
    rows = []
    for part in parts:
        name = result.scenario
        if len(parts) > 1:
            name = f"{name}: {part['name']}"
        window = part["window_s"] if part else measures["loaded_s"]
        rows.append(
            [
                name,
                result.system,
                _shares(part),
                _number(part.get("jain"), 3),
                *_waits(measures["waits"]),
                _percent(measures["busy"]),
                _number(window, 0),
                _number((part or measures)["runs"], 0),
                _percent(result.load["others_cpu_share"]),
            ]
        )
    return rows


def _shares(part: Mapping[str, Any]) -> str:
    if not part:
        return NOTHING
    ideal = " ".join(f"{100 * share:.1f}" for share in part["ideal"].values())
    if part["shares"] is None:
        return f"never all backlogged ({ideal})"
    had = " ".join(f"{name} {100 * s:.1f}" for name, s in part["shares"].items())
    return f"{had} ({ideal})"


def _waits(waits: Mapping[str, Any] | None) -> list[str]:
    if waits is None:
        return [NOTHING] * 4
    noisy = waits["noisy"]
    # Jobs that never started have waited at least so long.
    bound = ">" if noisy["unstarted"] else ""
    cells = [
        seconds(noisy["p50"]),
        seconds(noisy["p99"]),
        _number(waits["ratio_p50"], 2),
        _number(waits["ratio_p99"], 2),
    ]
    return [cell if cell == NOTHING else f"{bound}{cell}" for cell in cells]


def seconds(value: float | None) -> str:
    """Return a duration with three digits, in milliseconds below one second."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g} s" if value < 1000 else f"{value:.0f} s"


# --- Throughput -----------------------------------------------------------------------


def rate_rows(found: Sequence[Result]) -> list[list[str]]:
    """Return a row for each queue and each rate, over the rounds."""
    rates = _rates(found)
    rows = []
    for (system, what), rounds in rates.items():
        values = [one["per_second"] for one in rounds]
        # A peer's way of enqueueing is compared with the like one of ours.
        same = rates.get((OURS, SAME_WAY.get(what, what)), [])
        own = stats.median(one["per_second"] for one in same)
        middle = stats.median(values)
        is_peer = system != OURS and own is not None and middle
        rows.append(
            [
                system,
                what,
                _spread(values),
                f"{own / middle:.2f}" if is_peer and own and middle else NOTHING,
                _number(stats.median(_known(rounds, "cpu")), 2),
                _number(stats.median(_known(rounds, "rss")), 0),
                _percent(stats.median(_known(rounds, "others"))),
                _number(stats.median(one["jobs"] for one in rounds), 0),
                str(len(values)),
            ]
        )
    rows += [_failure(one) for one in found if one.status != OK]
    return rows


def _rates(found: Sequence[Result]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Return what each round measured, by queue and kind of rate."""
    rates: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in found:
        if result.status != OK:
            continue
        for way, measured in result.measures["enqueue"].items():
            if way != "not comparable":
                row = {
                    "jobs": measured["jobs"],
                    "per_second": measured["per_second"],
                    "cpu": measured["cpu_ms_per_job"],
                    "others": measured["others_cpu_share"],
                }
                rates.setdefault((result.system, way), []).append(row)
        row = {
            "jobs": result.measures["drain"]["jobs"],
            "per_second": result.measures["drain"]["per_second"],
            "cpu": result.load["cpu_ms_per_job"],
            "rss": sum(result.load["peak_rss_mb"].values()),
            "others": result.load["others_cpu_share"],
        }
        rates.setdefault((result.system, "drain"), []).append(row)
    return rates


def _known(rounds: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [one[key] for one in rounds if one.get(key) is not None]


def _failure(result: Result) -> list[str]:
    return [result.system, result.reason, *[NOTHING] * (len(_RATES) - 2)]


def _spread(values: Sequence[float]) -> str:
    middle = _number(stats.median(values), 0)
    if len(values) == 1:
        return middle
    return f"{middle} ({_number(min(values), 0)}–{_number(max(values), 0)})"


# --- Around the tables ----------------------------------------------------------------


def _head(report: Report) -> str:
    machine, given = report.machine, report.parameters
    software = ", ".join(f"{name} {v}" for name, v in report.versions.items())
    return "\n".join(
        [
            f"{report.started_at}, revision {given['revision']}, "
            f"{given['slots']} slots, window {given['window_s']:g} s"
            f"{', quick' if given['quick'] else ''}",
            f"{machine['processor']}, {machine['cores']} cores, "
            f"{machine['memory_gb']} GB, {machine['system']}, "
            f"Python {machine['python']}, {machine['network']}",
            software,
        ]
    )


def _asked_lines(found: Iterable[Result]) -> list[str]:
    """Return a warning for each wait that is no matter of fairness alone."""
    return [
        f"{one.system} in {one.scenario}: a light tenant asked for {_percent(asked)} "
        "of its fair share of the slots that this queue kept busy, so its wait is no "
        "measure of fairness."
        for one in found
        if (asked := one.measures.get("asked_of_fair_share") or 0) > MOST_ASKED
    ]


def _scenario_lines(found: Iterable[Result]) -> str:
    return "\n".join(dict.fromkeys(f"- {one.scenario}: {one.what}" for one in found))


def _queue_lines(found: Iterable[Result]) -> str:
    return "\n".join(dict.fromkeys(f"- {one.system}: {one.settings}" for one in found))


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:,.{digits}f}"


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:.0f} %"
