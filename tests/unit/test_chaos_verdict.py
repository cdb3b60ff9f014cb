"""The verdict turns red for everything that must not happen, and only for that."""

from dataclasses import replace
from typing import Any

import pytest

from taskqueue_site.chaos import report
from taskqueue_site.chaos.verdict import (
    AttemptFact,
    Evidence,
    FileFact,
    FileTruth,
    JobFact,
    UsageFact,
    Verdict,
)

FILE = FileTruth(rows=100, bytes=5_000, inserted=90, conflicting=4, rejected=3)
SLEEP = JobFact("s", "t", "sleep", "succeeded", {"steps": 2}, {"steps": 2}, None)
LOAD = JobFact("f", "t", "ingest", "succeeded", {"s3_path": "f.csv"}, {}, None)
DEAD = JobFact("d", "t", "sleep", "dead", {"fail": "kill"}, None, "poison")
STORED = FileFact("f", 100, 90, 4, 3, stored=90, distinct_ids=90, kept_out=7)

#: A sleep that was interrupted once, a file, and a job that kills its worker.
GOOD = Evidence(
    accepted={"s": {}, "f": {}, "d": {}},
    files={("t", "f.csv"): FILE},
    jobs=(SLEEP, LOAD, DEAD),
    attempts=(
        AttemptFact(1, "s", True, "lost", 700, False),
        AttemptFact(2, "s", True, "succeeded", 500, True),
        AttemptFact(3, "f", True, "succeeded", 900, True),
        AttemptFact(4, "d", True, "lost", 0, False),
    ),
    loads=(STORED,),
    usage=(
        UsageFact("s", "jobs", 1),
        UsageFact("s", "worker_us", 500),
        UsageFact("f", "rows", 60),
        UsageFact("f", "rows", 40),
        UsageFact("f", "bytes", 5_000),
        UsageFact("f", "jobs", 1),
        UsageFact("f", "worker_us", 900),
        UsageFact("d", "jobs", 1),
    ),
    recoveries=(3.0, 29.0, 31.5),
)


def weigh(**changes: Any) -> Verdict:
    return Verdict(replace(GOOD, **changes))


def with_job(job: JobFact) -> tuple[JobFact, ...]:
    return tuple(job if each.id == job.id else each for each in GOOD.jobs)


def test_a_run_without_a_fault_is_good_and_shows_its_repetition():
    verdict = weigh()
    assert verdict.faults == []
    assert verdict.is_good
    assert (verdict.accepted, verdict.dup_exec, verdict.unseen) == (3, 1, 0)
    assert verdict.states == {"succeeded": 2, "dead": 1}
    assert verdict.units_billed == verdict.units_true
    assert verdict.units_true == {
        "rows": 100,
        "bytes": 5_000,
        "jobs": 3,
        "worker_us": 1_400,
    }
    assert [verdict.recovery(part) for part in (0.5, 0.99, 1.0)] == [29.0, 31.5, 31.5]


def test_an_accepted_job_that_the_ledger_does_not_have_is_lost():
    verdict = weigh(accepted={**GOOD.accepted, "gone": {}})
    assert verdict.lost == ["gone"]
    assert not verdict.is_good


@pytest.mark.parametrize("state", ["queued", "running", "retryable", "scheduled"])
def test_a_job_without_an_end_is_lost_and_stuck(state: str):
    verdict = weigh(jobs=with_job(replace(DEAD, state=state, error_code=None)))
    assert (verdict.lost, verdict.stuck) == (["d"], ["d"])
    assert not verdict.is_good


def test_a_stuck_job_that_no_producer_saw_is_found_too():
    hidden = replace(DEAD, id="x", state="queued", error_code=None)
    verdict = weigh(jobs=(*GOOD.jobs, hidden), unknown_posts=1)
    assert (verdict.lost, verdict.stuck, verdict.unseen) == ([], ["x"], 1)
    assert not verdict.is_good


def test_a_job_more_than_was_posted_is_a_doubled_effect():
    twin = replace(SLEEP, id="x")
    attempts = (*GOOD.attempts, AttemptFact(9, "x", True, "succeeded", 5, True))
    usage = (*GOOD.usage, UsageFact("x", "jobs", 1), UsageFact("x", "worker_us", 5))
    twice = {"jobs": (*GOOD.jobs, twin), "attempts": attempts, "usage": usage}
    assert weigh(**twice, unknown_posts=1).is_good
    assert weigh(**twice).dup_effect == ["1 jobs more than were ever posted"]


@pytest.mark.parametrize(
    "load",
    [
        replace(STORED, stored=91),
        replace(STORED, stored=91, inserted=91, distinct_ids=91),
        replace(STORED, stored=89, inserted=89, distinct_ids=89),
        replace(STORED, distinct_ids=89),
        replace(STORED, kept_out=8),
        replace(STORED, rows=101),
        replace(STORED, rejected=4, kept_out=8),
        replace(STORED, conflicting=5, kept_out=8),
    ],
)
def test_a_row_too_many_or_too_few_is_found(load: FileFact):
    verdict = weigh(loads=(load,))
    assert verdict.dup_effect
    assert not verdict.is_good


def test_a_load_that_succeeded_without_its_file_is_found():
    assert weigh(loads=()).dup_effect


def test_a_file_that_was_sent_twice_counts_its_rows_once():
    twin = replace(LOAD, id="g")
    again = FileFact("g", 100, 0, 4, 3, stored=0, distinct_ids=0, kept_out=7)
    attempts = (*GOOD.attempts, AttemptFact(9, "g", True, "succeeded", 7, True))
    used = {"rows": 100, "bytes": 5_000, "jobs": 1, "worker_us": 7}
    usage = (*GOOD.usage, *(UsageFact("g", meter, n) for meter, n in used.items()))
    verdict = weigh(
        accepted={**GOOD.accepted, "g": {}},
        jobs=(*GOOD.jobs, twin),
        attempts=attempts,
        usage=usage,
        loads=(STORED, again),
    )
    assert verdict.faults == []
    doubled = replace(again, inserted=90, stored=90, distinct_ids=90)
    assert Verdict(replace(verdict.evidence, loads=(STORED, doubled))).dup_effect


def test_a_file_that_was_known_has_nothing_stored_and_nothing_billed():
    known = FileFact("g", 0, 0, 0, 0, stored=0, distinct_ids=0, kept_out=0)
    usage = (*GOOD.usage, UsageFact("g", "jobs", 1), UsageFact("g", "worker_us", 7))
    changes = {
        "accepted": {**GOOD.accepted, "g": {}},
        "jobs": (*GOOD.jobs, replace(LOAD, id="g")),
        "attempts": (*GOOD.attempts, AttemptFact(9, "g", True, "succeeded", 7, True)),
        "usage": usage,
    }
    same = replace(known, is_same=True)
    assert weigh(**changes, loads=(STORED, same)).faults == []
    assert weigh(**changes, loads=(STORED, known)).dup_effect
    stored = replace(same, stored=90, distinct_ids=90)
    assert weigh(**changes, loads=(STORED, stored)).dup_effect


@pytest.mark.parametrize(
    "event",
    [
        UsageFact("f", "rows", 40),
        UsageFact("f", "bytes", 1),
        UsageFact("s", "jobs", 1),
        UsageFact("s", "worker_us", 700),
        UsageFact("s", "rows", 1),
        UsageFact("nobody", "jobs", 1),
    ],
)
def test_a_usage_event_too_many_is_found(event: UsageFact):
    verdict = weigh(usage=(*GOOD.usage, event))
    assert verdict.dup_effect
    assert verdict.units_billed != verdict.units_true
    assert not verdict.is_good


@pytest.mark.parametrize("index", range(len(GOOD.usage)))
def test_a_missing_usage_event_is_found(index: int):
    left = [event for number, event in enumerate(GOOD.usage) if number != index]
    assert not weigh(usage=tuple(left)).is_good


def test_errors_that_cancel_each_other_out_are_found():
    usage = [*GOOD.usage, UsageFact("d", "worker_us", 500)]
    usage.remove(UsageFact("s", "worker_us", 500))
    verdict = weigh(usage=tuple(usage))
    assert verdict.units_billed == verdict.units_true
    assert not verdict.is_good


@pytest.mark.parametrize(
    "attempts",
    [
        (*GOOD.attempts, AttemptFact(9, "s", True, "succeeded", 0, False)),
        (*GOOD.attempts, AttemptFact(9, "d", True, "succeeded", 0, False)),
        tuple(a for a in GOOD.attempts if a.id != 3),
    ],
)
def test_two_ends_or_none_are_found(attempts: tuple[AttemptFact, ...]):
    assert weigh(attempts=attempts).dup_effect


@pytest.mark.parametrize(
    "job",
    [
        replace(SLEEP, result={"steps": 1}),
        replace(SLEEP, payload={"steps": 2, "fail": "permanent"}),
    ],
)
def test_a_success_that_was_not_asked_for_is_found(job: JobFact):
    assert weigh(jobs=with_job(job)).dup_effect


def test_a_slow_recovery_and_one_that_never_came_are_found():
    assert not weigh(recoveries=(46.0,)).is_good
    assert weigh(recoveries=(1.0,) * 199 + (46.0,)).is_good
    assert not weigh(unrecovered=1).is_good
    assert not weigh(deaf_workers=1).is_good
    assert weigh(recoveries=()).recovery(0.99) is None


def test_the_table_shows_what_the_verdict_says():
    verdict = weigh(accepted={**GOOD.accepted, "gone": {}})
    around = report.Circumstances(
        scenario="worker-kill-9",
        seed=12_345,
        minutes=10.0,
        broker="redis",
        lease_seconds=30.0,
        kills=2,
        faults={"worker-kill-9": 2},
        refused={"status 429": 3},
        versions={"Python": "3"},
        commit="abc",
    )
    found = report.as_json(verdict, around)
    assert (found["lost"], found["is_good"], found["dup_exec"]) == (1, False, 1)
    text = "\n".join(report.as_text(found))
    for part in ("12345", "29.0s/31.5s/31.5s", "gone", "6,503"):
        assert part in text
    head, _, row = report.as_markdown(found).splitlines()
    assert head.count("|") == row.count("|")
    assert "| worker-kill-9 | 12345 | 10 | 2 | 2 | 4 |" in row
