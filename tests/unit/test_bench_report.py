"""What the benchmark prints, stores and draws, and what it accepts."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from benchmarks.live import catalogue, plot, tables
from benchmarks.live.history import Begun, Span
from benchmarks.live.options import QUICK, parse
from benchmarks.live.results import FAILED, NOT_OFFERED, OK, Report, Result
from benchmarks.peers import recording
from benchmarks.peers.variables import RECORDS

LOAD = {
    "others_cpu_share": 0.03,
    "cpu_ms_per_job": 2.5,
    "peak_rss_mb": {"processes": 100, "postgresql": 50},
}


def result(system: str, scenario: str = "victim-2", **rest: Any) -> Result:
    given = {
        "what": "",
        "settings": f"{system} as it comes",
        "status": OK,
        "load": LOAD,
    }
    return Result(scenario=scenario, system=system, **{**given, **rest})


def measures(
    *, unstarted: int = 0, shares: dict[str, float] | None = None, asked: float = 0.1
) -> Any:
    noisy = {"jobs": 100, "p50": 0.0123, "p99": 1.5, "max": 2.0, "unstarted": unstarted}
    part = {
        "name": "share",
        "window_s": 119.6,
        "runs": 1234,
        "ideal": {"a": 0.2, "b": 0.8},
        "shares": shares,
        "jain": shares and 0.9876,
    }
    return {
        "parts": [part],
        "waits": {"noisy": noisy, "solo": None, "ratio_p50": 1.5, "ratio_p99": None},
        "busy": 0.975,
        "asked_of_fair_share": asked,
        "loaded_s": 120.0,
        "runs": 1234,
    }


def rates(drain: float, **ways: float) -> Any:
    enqueue = {
        name.replace("_", " "): {
            "jobs": 100,
            "per_second": rate,
            "cpu_ms_per_job": 1.0,
            "others_cpu_share": 0.0,
        }
        for name, rate in ways.items()
    }
    return {"enqueue": enqueue, "drain": {"jobs": 1000, "per_second": drain}}


def report(*found: Result) -> Report:
    return Report(
        started_at="2026-01-15T12:00:00+00:00",
        parameters={"revision": "abc", "slots": 2, "window_s": 120.0, "quick": False},
        machine={
            "processor": "x",
            "cores": 2,
            "memory_gb": 8,
            "system": "Linux",
            "python": "3.11",
            "network": "loopback",
        },
        versions={"celery": "5"},
        results=found,
    )


# --- Tables ---------------------------------------------------------------------------


def test_a_row_of_fairness_has_shares_waits_and_load():
    found = result("ours", measures=measures(shares={"a": 0.21, "b": 0.79}))
    (row,) = tables.fairness_rows([found])
    assert row == [
        *("victim-2", "ours", "a 21.0 b 79.0 (20.0 80.0)", "0.988"),
        *("12.3 ms", "1.5 s", "1.50", "–"),
        *("98 %", "120", "1,234", "3 %"),
    ]


def test_waits_of_jobs_that_never_started_are_marked_as_bounds():
    (row,) = tables.fairness_rows([result("celery", measures=measures(unstarted=3))])
    assert row[2] == "never all backlogged (20.0 80.0)"
    assert row[4:8] == [">12.3 ms", ">1.5 s", ">1.50", "–"]


def test_each_part_of_a_window_has_its_own_row():
    whole = measures(shares={"a": 0.5, "b": 0.5})
    whole["parts"] += [{**whole["parts"][0], "name": "after"}]
    rows = tables.fairness_rows([result("ours", measures=whole)])
    assert [row[0] for row in rows] == ["victim-2: share", "victim-2: after"]


def test_what_was_not_measured_says_why():
    missing = result("celery", status=NOT_OFFERED, reason="has no caps per tenant")
    (row,) = tables.fairness_rows([missing])
    assert row[2] == "has no caps per tenant"
    assert set(row[3:]) == {"–"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.000512, "0.512 ms"), (0.0456, "45.6 ms"), (12.345, "12.3 s")],
)
def test_a_wait_has_three_digits(value: float | None, text: str):
    assert tables.seconds(value) == text


def test_rates_are_medians_of_rounds_compared_with_the_like_of_ours():
    found = [
        result(
            "ours", "throughput", measures=rates(400, over_HTTP=9, by_the_service=50)
        ),
        result(
            "ours", "throughput", measures=rates(600, over_HTTP=9, by_the_service=70)
        ),
        result(
            "ours", "throughput", measures=rates(500, over_HTTP=9, by_the_service=60)
        ),
        result("celery", "throughput", measures=rates(1000, one_by_one=120)),
        result("pgqueuer", "throughput", status=FAILED, reason="it broke"),
    ]
    rows = {(row[0], row[1]): row for row in tables.rate_rows(found)}
    assert rows["ours", "drain"][2:4] == ["500 (400–600)", "–"]
    assert rows["celery", "drain"][2:6] == ["1,000", "0.50", "2.50", "150"]
    assert rows["celery", "one by one"][2:4] == ["120", "0.50"]
    assert ("pgqueuer", "it broke") in rows
    assert {row[-1] for (system, _), row in rows.items() if system == "ours"} == {"3"}


def test_a_way_that_is_not_comparable_has_no_row():
    found = result("celery", "throughput", measures=rates(10, not_comparable=99))
    assert [row[1] for row in tables.rate_rows([found])] == ["drain"]


def test_the_columns_line_up():
    lines = tables.table(("a", "bb"), [("ccc", "d"), ("e", "")]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1] == "| --- | -- |"


def test_the_report_names_versions_settings_and_machine():
    text = tables.whole(report(result("ours", measures=measures())))
    for word in ("celery 5", "ours as it comes", "2 cores", "revision abc", "120 s"):
        assert word in text


def test_a_wait_for_want_of_speed_is_not_passed_off_as_unfair():
    warning = "its wait is no measure of fairness"
    light, greedy = (result("celery", measures=measures(asked=x)) for x in (0.4, 1.6))
    assert warning not in tables.whole(report(light))
    assert "160 % of its fair share" in tables.whole(report(greedy))


# --- Files ----------------------------------------------------------------------------


def test_a_report_is_read_as_it_was_written(tmp_path: Path):
    written = report(result("ours", measures=measures()), result("celery"))
    written.write(tmp_path / "new" / "run.json")
    read = Report.read(tmp_path / "new" / "run.json")
    assert (read.results[0], read.machine) == (written.results[0], written.machine)
    assert len(read.results) == 2


def test_the_plot_is_well_formed_and_shows_every_queue():
    shares = {"a": 0.3, "b": 0.7}
    found = [
        result(name, measures=measures(shares=shares)) for name in catalogue.FAIRNESS
    ]
    found.append(result("ours", "wind-up", status=FAILED, reason="<&>"))
    root = ElementTree.fromstring(plot.draw(report(*found)))  # noqa: S314 # our own
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    for name in catalogue.FAIRNESS:
        assert texts.count(name) == 2
    assert "wind-up" not in texts
    assert "b 70" in texts


def test_a_plot_of_nothing_is_well_formed():
    ElementTree.fromstring(plot.draw(report()))  # noqa: S314 # our own


def test_what_a_worker_recorded_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(RECORDS, str(tmp_path))
    monkeypatch.setattr(recording, "_files", {})
    recording.record("a", 100.000001, 101.5, 101.75, 0.25)
    recording.record("b", 100.2, 102.0, 102.0, 0.0)
    assert recording.count(tmp_path) == 2
    assert list(recording.read(tmp_path)) == [
        (Begun("a", 100.000001, 101.5), Span("a", 101.5, 101.75, 0.25)),
        (Begun("b", 100.2, 102.0), Span("b", 102.0, 102.0, 0.0)),
    ]


# --- The command line -----------------------------------------------------------------


def test_everything_is_run_unless_something_is_chosen():
    options = parse([])
    assert options.sizes.window == 120
    assert options.chosen[-1] == "throughput"
    assert len(options.chosen) == 12
    assert parse(["--quick"]).chosen == [n for n in options.chosen if n in QUICK]
    assert parse(["--scenario", "throughput,sybil-10"]).chosen == [
        "sybil-10",
        "throughput",
    ]


@pytest.mark.parametrize("words", [["--scenario", "none"], ["--only", "rabbits"]])
def test_an_unknown_name_is_refused_with_the_known_ones(words: list[str]):
    with pytest.raises(SystemExit, match=r"unknown .* there are: "):
        parse(words)


def test_a_name_chooses_every_form_of_a_queue():
    assert catalogue.chosen(catalogue.FAIRNESS, ["celery"]) == [
        "celery",
        "celery-queues",
    ]
    assert catalogue.chosen(catalogue.FAIRNESS, []) == list(catalogue.FAIRNESS)
