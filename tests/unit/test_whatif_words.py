"""What an operator types to `manage.py whatif`, and the price of unfinished jobs."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

import pytest

from jobs.management.commands import whatif
from jobs.models import new_job_id
from jobs.recorded import UNKNOWN_COST_US, _Row, first_id, priced


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("24h", timedelta(days=1)),
        ("7d", timedelta(days=7)),
    ],
)
def test_a_window_is_a_number_and_a_unit(text: str, length: timedelta):
    assert whatif.window(text) == length


@pytest.mark.parametrize("text", ["", "h", "24", "1.5h", "-1h", "0d", "1w", "1h30m"])
def test_any_other_window_is_refused(text: str):
    with pytest.raises(ArgumentTypeError, match="as in 24h"):
        whatif.window(text)


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [("4", 4000), ("0.001", 1), ("2.5", 2500), ("10000", 10_000_000)],
)
def test_a_weight_is_written_as_operators_do(text: str, thousandths: int):
    assert whatif.pair(whatif.weight)(f"t2={text}") == ("t2", thousandths)


@pytest.mark.parametrize("text", ["t2", "=4", "t2=", "t2=x", "t2=0", "t2=1e9"])
def test_any_other_weight_is_refused(text: str):
    with pytest.raises(ArgumentTypeError):
        whatif.pair(whatif.weight)(text)


def test_no_cap_is_written_as_zero():
    assert (whatif.cap("3"), whatif.cap("0")) == (3, None)


@pytest.mark.parametrize(("text", "read"), [("8", (None, 8)), ("big=4", ("big", 4))])
def test_slots_are_of_one_pool_or_of_all(text: str, read: tuple[str | None, int]):
    assert whatif.slots(text) == read


def test_the_first_id_of_a_moment_is_before_all_that_follow():
    now = datetime.now(UTC)
    assert first_id(now - timedelta(milliseconds=5)) < new_job_id()
    assert first_id(now + timedelta(seconds=5)) > new_job_id()


def test_without_any_like_a_job_counts_a_second_or_what_it_has_run():
    waiting = _Row("a", "sleep", 2, 0, 0, False)
    running = _Row("a", "sleep", 2, 0, 5_000_000, False)
    costs = [job.cost_us for job in priced([waiting, running])]
    assert costs == [UNKNOWN_COST_US, 5_000_000]
