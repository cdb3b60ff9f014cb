"""The plan of faults: a matter of its seed alone, and complete."""

import random
import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from taskqueue_site.chaos import faults
from taskqueue_site.chaos.mix import TENANTS, draw
from taskqueue_site.chaos.schedule import TooShortError, plan

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
ALL = faults.holds(list(faults.CATALOGUE), lease_seconds=30)


def test_the_same_seed_gives_the_same_plan():
    random.seed(1)
    first = plan(ALL, seconds=600, seed=7)
    random.seed(2)
    assert plan(dict(reversed(ALL.items())), seconds=600, seed=7) == first
    assert plan(ALL, seconds=600, seed=8) != first


@pytest.mark.parametrize("seed", range(50))
def test_every_fault_comes_one_after_another_within_the_time(seed: int):
    planned = plan(ALL, seconds=600, seed=seed)
    assert {each.name for each in planned} == ALL.keys()
    for each, after in pairwise(planned):
        assert each.at + each.seconds < after.at
    assert planned[-1].at + planned[-1].seconds < 600
    for each in planned:
        least, most = ALL[each.name]
        assert least <= each.seconds <= most


def test_a_time_that_is_too_short_is_refused_by_name():
    with pytest.raises(TooShortError, match="worker-freeze"):
        plan(ALL, seconds=60, seed=1)


def test_what_outlasts_a_lease_follows_the_lease():
    short = faults.holds(["zombie-stop-cont", "pg-crash"], lease_seconds=6)
    assert short["zombie-stop-cont"][0] > 6
    assert short["pg-crash"] == ALL["pg-crash"]
    assert ALL["zombie-stop-cont"][0] > 30


def test_every_fault_is_explained():
    text = (Path(__file__).parents[2] / "docs/chaos.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+) \|", text, re.MULTILINE)
    explained = set(re.findall(r"`([a-z0-9-]+)`", " ".join(rows)))
    assert faults.CATALOGUE.keys() <= explained


def test_without_rabbitmq_no_fault_needs_it():
    left = set(faults.names_for("redis"))
    assert set(faults.names_for("rabbitmq")) - left == {
        "confirm-drop",
        "queue-purge",
        "queue-delete",
        "memory-alarm",
    }


def test_the_load_is_a_matter_of_its_seed_and_has_every_kind():
    one, other = random.Random("1-0"), random.Random("1-0")
    orders = [draw(one, str(number), now=NOW) for number in range(2_000)]
    again = [draw(other, str(number), now=NOW) for number in range(2_000)]
    assert orders == again
    assert {order.tenant for order in orders} == TENANTS.keys()
    fates = {order.body.get("fail") for order in orders}
    assert fates == {None, "retryable", "permanent", "kill"}
    assert any(order.file_rows > 10_000 for order in orders)
    assert any("run_after" in order.body for order in orders)
    assert all(("s3_path" in o.body) == bool(o.file_rows) for o in orders)
