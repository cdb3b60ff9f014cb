"""A long job gives its slot back at a checkpoint, if somebody else waits for it."""

from collections.abc import Iterator

import pytest

from jobs import handlers, pressure, runner, wake
from jobs.handlers import Assignment, Checkpoint, Kind, Steps
from jobs.models import Job, UsageEvent
from jobs.pressure import Pressure
from tenants.scoping import all_tenants
from tests.arrange import attempts_of, dispatch, make_job, make_tenant, reread, run

pytestmark = pytest.mark.django_db(transaction=True)

STEPS = 4


def count(assignment: Assignment) -> Steps:
    """Count to STEPS, a step each, and count the usage of each."""
    done = (assignment.checkpoint or {}).get("done", 0)
    while done < STEPS:
        done += 1
        yield _step(done)
    return {"done": done}


def _step(done: int) -> handlers.Step:
    return lambda: Checkpoint(
        state={"done": done},
        done=done,
        total=STEPS,
        is_last=done == STEPS,
        usage={("rows", f"0:{done}"): 10},
    )


@pytest.fixture(autouse=True)
def kind() -> Iterator[None]:
    """A kind whose quantum is used up at once."""
    handlers.register(Kind(name="count", handler=count, quantum_us=0))
    yield
    del handlers._kinds["count"]


@pytest.fixture
def job() -> Job:
    make_tenant("t1")
    return make_job("t1", kind="count", payload={})


def test_it_yields_to_another_tenant_and_goes_on_from_its_checkpoint(job: Job):
    pressure.publish("shared", Pressure(["t2"], {}))
    for done in range(1, STEPS):
        found = run(job)
        assert (found.state, found.progress["done"]) == ("queued", done)
    assert run(job).result == {"done": STEPS}
    attempts = attempts_of(job)
    assert [a.outcome for a in attempts] == ["yielded"] * (STEPS - 1) + ["succeeded"]
    assert all(attempt.is_billable for attempt in attempts)
    found = reread(job)
    assert (found.failed_count, found.lost_count) == (0, 0)
    with all_tenants(reason="test"):
        rows = UsageEvent.objects.filter(job=job, meter="rows")
        assert sorted(rows.values_list("quantity", flat=True)) == [10] * STEPS
        billed = UsageEvent.objects.filter(job=job, meter="worker_us")
        assert billed.count() == STEPS


@pytest.mark.parametrize(
    ("waiting", "attempts"),
    [
        (Pressure([], {}), 1),
        (Pressure(["t1"], {}), 1),
        (Pressure(["t1"], {"t1": 2}), 1),
        (Pressure(["t1"], {"t1": 1}), 2),
        (Pressure(["t1", "t2"], {}), 2),
    ],
    ids=["nobody", "itself", "its own class", "a higher class", "somebody else"],
)
def test_it_yields_only_to_whom_the_slot_would_go(
    job: Job, waiting: Pressure, attempts: int
):
    pressure.publish("shared", waiting)
    run(job)
    assert reread(job).state == ("succeeded" if attempts == 1 else "queued")


def test_without_a_word_from_the_dispatcher_it_yields(job: Job):
    wake.client().flushdb()
    assert run(job).state == "queued"


def test_before_its_quantum_is_used_up_it_goes_on(job: Job):
    handlers._kinds["count"] = Kind(name="count", handler=count, quantum_us=10**9)
    pressure.publish("shared", Pressure(["t2"], {}))
    assert runner.run(attempt_ids=[dispatch(job)], worker="w1") == 1
    assert reread(job).state == "succeeded"
