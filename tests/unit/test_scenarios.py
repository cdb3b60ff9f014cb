"""Golden numbers of the named scenarios, and what is printed and drawn from them.

The tolerances are several times the spread over seeds, so a number that leaves them
is a change in behaviour and not bad luck.
"""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from benchmarks import picture, simulated
from fairshare.scenarios import POLICIES, SCENARIOS, run_scenario
from fairshare.simulation import Standing, Stream

INFINITE = float("inf")
DOCUMENT = Path(__file__).parents[2] / "docs" / "fair_share.md"

#: Scenario, policy, measure, value, tolerance.
GOLDEN = [
    ("noisy-flood", "fair share", "b slowdown p50", 1.18, 0.1),
    ("noisy-flood", "fair share", "b slowdown p99", 1.85, 0.3),
    ("noisy-flood", "fifo", "wait p50 s", INFINITE, 0),
    ("noisy-flood", "cap 2 of 8", "idle s", 1840, 30),
    ("cost-skew-100x", "fair share", "share a", 0.498, 0.003),
    ("cost-skew-100x", "fair share", "Jain", 1, 1e-4),
    ("cost-skew-100x", "fair share", "lag s", 97.8, 10),
    ("cost-skew-100x", "fair share", "bound s", 176, 0),
    ("cost-skew-100x", "count-fair", "share a", 0.99, 0.002),
    ("cost-skew-100x", "random", "share a", 0.99, 0.005),
    ("cost-skew-100x", "fifo", "share a", 1, 0),
    ("weights-1:2:4", "fair share", "share a", 1 / 7, 0.002),
    ("weights-1:2:4", "fair share", "share c", 4 / 7, 0.002),
    ("weights-1:2:4", "fair share", "lag s", 2.5, 3),
    ("weights-1:2:4", "count-fair", "share c", 4 / 7, 0.02),
    ("weights-1:2:4", "cap 2 of 8", "share c", 0.25, 0.001),
    ("weights-x-cost", "fair share", "share a", 1 / 7, 0.003),
    ("weights-x-cost", "fair share", "share c", 4 / 7, 0.003),
    ("weights-x-cost", "fair share", "Jain", 1, 1e-3),
    ("weights-x-cost", "count-fair", "share c", 0.2, 0.02),
    ("churn", "fair share", "first wait max s", 0.48, 0.3),
    ("churn", "fifo", "first wait p50 s", INFINITE, 0),
    ("idle-return", "fair share", "share b 600-700 s", 0.5, 0.01),
    ("wind-up", "fair share", "share a 300-360 s", 0.5, 0.01),
    ("live-reweight", "fair share", "share b 50-100 s", 0.5, 0.01),
    ("live-reweight", "fair share", "share b 100-110 s", 0.765, 0.035),
    ("live-reweight", "fair share", "share b 110-180 s", 0.8, 0.01),
    ("live-reweight", "count-fair", "share b 110-180 s", 0.5, 0.03),
    ("sybil-10", "fair share", "share y 0-300 s", 0.5, 0.01),
    ("sybil-10", "count-fair", "share y 0-300 s", 1 / 11, 0.01),
    ("sybil-10 believed", "fair share", "share y 0-300 s", 1 / 11, 0.01),
    ("liar", "fair share", "share a", 0.498, 0.005),
    ("liar", "fair share", "lag s", 50, 20),
    ("liar unrefreshed", "fair share", "lag s", 90.5, 5),
    ("long-hog", "fair share", "wait p50 s", 29.5, 1),
    ("long-hog", "fair share", "wait p99 s", 59, 1),
    ("long-hog chunked", "fair share", "wait p50 s", 0.5, 0.1),
    ("long-hog chunked", "fair share", "wait max s", 1.5, 0.6),
    ("look-ahead 8", "fair share", "wait p50 s", 1.05, 0.05),
    ("look-ahead 32", "fair share", "wait p50 s", 3.95, 0.1),
    ("look-ahead 128", "fair share", "wait p50 s", 15.6, 0.4),
]


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, str], dict[str, float]]:
    wanted = dict.fromkeys((scenario, policy) for scenario, policy, *_ in GOLDEN)
    return {(s, p): run_scenario(s, p, Random(1))[1] for s, p in wanted}


@pytest.mark.parametrize(("scenario", "policy", "measure", "value", "within"), GOLDEN)
def test_golden(
    measured: dict[tuple[str, str], dict[str, float]],
    scenario: str,
    policy: str,
    measure: str,
    value: float,
    within: float,
):
    found = measured[scenario, policy][measure]
    assert found == pytest.approx(value, abs=within, rel=0)


def test_our_policy_leaves_no_slot_idle_nor_breaks_the_bound(
    measured: dict[tuple[str, str], dict[str, float]],
):
    ours = [found for (_, p), found in measured.items() if p == "fair share"]
    assert len(ours) > 10
    for found in ours:
        assert found["idle s"] == 0
        assert found.get("lag s", 0) <= 0.8 * found.get("bound s", 1)


def costs_of(load: Stream | Standing) -> list[Any]:
    if isinstance(load, Stream):
        return list(load.arrivals)
    return [next(load.costs) for _ in range(50)]


@pytest.mark.parametrize("name", ["weights-x-cost", "bursty", "churn"])
def test_a_policy_changes_nothing_in_the_workload(name: str):
    """Else the columns of the table could not be compared."""
    drawn = []
    for policy in POLICIES:
        random = Random(7)
        scenario = SCENARIOS[name](random)
        POLICIES[policy](random, scenario)
        random.random()
        drawn.append([costs_of(load) for load in scenario.setup.loads])
    assert all(other == drawn[0] for other in drawn)


# What is printed and drawn


def run_main(tmp_path: Path) -> tuple[int, dict[str, Any]]:
    file = tmp_path / "numbers.json"
    arguments = ["--seeds", "2", "--json", str(file), "--scenario", "long-hog"]
    code = simulated.main(arguments)
    return code, json.loads(file.read_text(), parse_constant=pytest.fail)


def test_the_benchmark_prints_its_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(simulated, "_DUEL_SEEDS", 1)
    code, numbers = run_main(tmp_path)
    printed = capsys.readouterr().out
    assert code == 0
    assert "| long-hog | wait p50 s | <= C / 8 | never | never | never |" in printed
    assert "- lag at most 2 * (N + D) * K = 176 s; seen 97.8 s" in printed
    assert "- idle while a job could start: 0 worker-s; must be 0" in printed
    assert "- passed" in printed
    assert numbers["scenarios"]["long-hog"]["fair share"]["wait p50 s"] == 29.5
    assert numbers["scenarios"]["long-hog"]["fifo"]["wait p50 s"] is None
    assert numbers["stress"]["idle_s"] == 0


def test_the_benchmark_fails_above_the_alarm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(simulated, "_DUEL_SEEDS", 1)
    monkeypatch.setattr(simulated, "ALARM", 0.001)
    code, _ = run_main(tmp_path)
    assert code == 1
    assert "- FAILED" in capsys.readouterr().out


def test_the_table_in_the_document_is_what_is_printed():
    """For the quick scenarios; the rows of all of them come from one run."""
    quick = [name for name in SCENARIOS if name not in ("10k-tenants", "bursty")]
    printed = set(simulated.scenario_lines(simulated.compare(1, quick)))
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    for name in quick:
        rows = [line for line in lines if line.startswith(f"| {name} |")]
        assert rows, name
        assert [row for row in rows if row not in printed] == []


def test_the_picture_in_the_document_is_what_is_drawn():
    assert picture.FILE.read_text(encoding="utf-8") == picture.draw()
    assert f"images/{picture.FILE.name}" in DOCUMENT.read_text(encoding="utf-8")
