"""`manage.py whatif` and what it reads from the ledger."""

import json
import random
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from fairshare.whatif import RecordedJob
from jobs import previews
from jobs.backlog import TenantConfig
from jobs.models import Attempt, Job
from jobs.recorded import Recording, recorded
from quotas.models import Quota
from tenants.models import Tenant, Tier
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.history import Ran, make_past_job, make_worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def read(now: datetime, *, seconds: float = 3600, most_jobs: int = 1000) -> Recording:
    with all_tenants(reason="test"):
        return recorded(since=now - timedelta(seconds=seconds), most_jobs=most_jobs)


def us(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


# --- What is read ---------------------------------------------------------------------


def truth(now: datetime, seconds: float, most_jobs: int) -> list[RecordedJob]:
    """The same in plain Python, job by job, of jobs that have ended."""
    with all_tenants(reason="test"):
        jobs = list(Job.objects.order_by("-id"))
        attempts = list(Attempt.objects.all())
    since = now - timedelta(seconds=seconds)
    newest = [job for job in jobs if job.created_at >= since][:most_jobs]
    found = []
    for job in reversed(newest):
        if job.state == "scheduled" or (
            job.state == "cancelled" and not job.attempt_count
        ):
            continue
        is_due_late = job.dispatched_at and job.run_after <= job.dispatched_at
        arrival = max(job.created_at, job.run_after if is_due_late else job.created_at)
        cost = sum(each.settled_us or 0 for each in attempts if each.job_id == job.pk)
        found.append(
            RecordedJob(job.tenant_id, us(arrival), cost, job.kind, job.priority)
        )
    return found


@pytest.mark.parametrize("most_jobs", [1000, 25])
def test_arrivals_and_costs_are_those_of_the_ledger(now: datetime, most_jobs: int):
    source = random.Random(7)
    for slug in ("a", "b", "c"):
        make_tenant(slug)
    for _ in range(60):
        ago = source.uniform(400, 5000)
        due = ago - source.choice([0, 0, 100])
        retried = source.random() < 0.3
        tries = [Ran(source.uniform(200, due - 100), source.uniform(0, 50))]
        if retried:
            tries = [tries[0]._replace(outcome="failed"), Ran(90, 3)]
            due = 95
        make_past_job(
            source.choice("abc"),
            ago,
            *tries,
            now=now,
            due_ago=due,
            kind=source.choice(["sleep", "ingest"]),
            priority=source.randrange(4),
        )
    make_past_job("a", 100, now=now, state="scheduled", due_ago=-50)
    make_past_job("a", 100, now=now, state="cancelled")
    expected = truth(now, 3600, most_jobs)
    found = read(now, most_jobs=most_jobs)
    assert 20 < len(expected) < 60
    assert [job._replace(arrival_us=0) for job in found.jobs] == [
        job._replace(arrival_us=0) for job in expected
    ]
    for job, true in zip(found.jobs, expected, strict=True):
        assert abs(job.arrival_us - true.arrival_us) <= 1
    assert found.is_cut == (most_jobs == 25)
    assert not found.unfinished


def test_a_job_that_has_not_ended_counts_with_what_its_like_cost(now: datetime):
    for slug in ("a", "b"):
        make_tenant(slug)
    make_past_job("a", 100, Ran(90, 2), now=now)
    make_past_job("a", 100, Ran(80, 4), now=now)
    make_past_job("b", 100, Ran(80, 9), now=now, kind="report")
    make_past_job("a", 60, now=now)  # queued: the mean of its tenant's kind
    make_past_job("b", 50, now=now)  # the mean of the kind
    make_past_job("b", 40, now=now, kind="ingest")  # the mean of all
    make_past_job("a", 30, Ran(20, None), now=now)  # has run for longer than the mean
    found = read(now)
    costs = [job.cost_us for job in found.jobs[3:]]
    assert costs[:3] == [3_000_000, 3_000_000, 5_000_000]
    assert 20_000_000 <= costs[3] < 60_000_000
    assert found.unfinished == {"a": 2, "b": 2}


def test_the_read_is_bounded_by_the_newest_jobs(now: datetime):
    make_tenant("a")
    for ago in range(10, 0, -1):
        make_past_job("a", ago, Ran(ago, 0.5), now=now)
    assert [job.arrival_us for job in read(now, most_jobs=3).jobs] == [
        pytest.approx(us(now - timedelta(seconds=ago)), abs=1) for ago in (3, 2, 1)
    ]
    assert read(now, seconds=5.5).is_cut is False
    assert len(read(now, seconds=5.5).jobs) == 5


# --- The command ----------------------------------------------------------------------


@pytest.fixture
def busy_hour(now: datetime) -> None:
    """Two tenants with 40 jobs of 30 s each, an hour ago, on four slots."""
    for slug in ("t1", "t2"):
        make_tenant(slug)
        for number in range(40):
            make_past_job(slug, 3600 - number / 100, Ran(1800, 30), now=now)
    make_tenant("quiet")
    make_worker(slots=4)


def run(*words: str) -> str:
    out = StringIO()
    call_command("whatif", *words, stdout=out)
    return out.getvalue()


def report(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.mark.usefixtures("busy_hour")
def test_a_weight_of_four_means_four():
    answer = report("--since", "2h", "--weight", "t2=4")
    assert (answer["jobs"], answer["slots"]) == (80, {"shared": 4})
    tenants = {each["tenant_id"]: each for each in answer["tenants"]}
    assert list(tenants) == ["t2", "t1"]  # what is changed comes first
    t1, t2 = tenants["t1"], tenants["t2"]
    assert t2["after"]["wait_p50_us"] < t2["before"]["wait_p50_us"]
    assert t1["after"]["wait_p50_us"] > t1["before"]["wait_p50_us"]
    assert answer["sentences"][0].startswith("At weight 4, tenant t2's backlog ends ")


@pytest.mark.usefixtures("busy_hour")
def test_the_table_shows_before_and_after():
    text = run("--since", "2h", "--weight", "t2=4", "--cap", "t1=1", "--pause", "quiet")
    sentences, _, rest = text.partition("\n\n")
    assert "At weight 4, tenant t2's" in sentences
    assert "At cap 1, tenant t1's" in sentences
    head = "80 jobs replayed; pools (slots): shared (4); times are in Asia/Kolkata."
    assert head in rest
    rows = {line.split()[0]: line.split() for line in rest.splitlines() if line}
    assert rows["t2"][1:3] == ["*", "40"]
    assert "quiet sent no job in that time." in sentences


@pytest.mark.usefixtures("busy_hour")
def test_people_read_their_own_zone_and_programs_utc():
    asked = ("--since", "2h", "--weight", "t2=4")
    t2 = next(t for t in report(*asked)["tenants"] if t["tenant_id"] == "t2")
    ends = datetime.fromisoformat(t2["after"]["backlog_ends_at"])
    assert ends.utcoffset() == timedelta(0)
    assert f"{timezone.localtime(ends):%m-%d %H:%M}\n" in run(*asked)


@pytest.mark.usefixtures("busy_hour")
def test_only_what_is_replayed_is_said_to_have_not_ended(now: datetime):
    make_tenant("elsewhere", pool="other")
    for slug in ("t1", "t1", "elsewhere"):
        make_past_job(slug, 60, now=now)
    text = run("--since", "2h", "--weight", "t2=4")
    assert "\n2 of the jobs replayed had not ended;" in text


@pytest.mark.usefixtures("busy_hour")
def test_it_says_why_a_change_changes_nothing():
    Tier.objects.get_or_create(name="gold", defaults={"weight": 3})
    with all_tenants(reason="test"):
        Tenant.objects.filter(slug="t2").update(tier="gold")
        Tenant.objects.filter(slug="t1").update(is_paused=True)
    text = run("--since", "2h", "--weight", "t2=4", "--weight", "t1=2")
    assert "t2 is the only tenant of the tier gold here" in text
    assert "t1 is paused now and is replayed as paused all along" in text


@pytest.mark.usefixtures("busy_hour")
def test_a_tenant_moves_to_a_pool_of_assumed_slots():
    with pytest.raises(CommandError, match=r"worker --pool big.*--slots"):
        run("--pool", "t2=big")
    answer = report("--pool", "t2=big", "--slots", "big=8")
    assert answer["slots"] == {"big": 8, "shared": 4}
    assert answer["sentences"][0].startswith("In pool big, tenant t2's ")
    assert report("--pool", "t2=big", "--slots", "2")["slots"] == {
        "big": 2,
        "shared": 2,
    }


@pytest.mark.usefixtures("busy_hour")
def test_old_jobs_are_cut_off_and_it_is_said():
    answer = report("--weight", "t2=4", "--most-jobs", "50")
    assert answer["jobs"] == 50
    assert answer["notes"][0].startswith("Only the newest 50 jobs of that time were ")


def test_only_the_pools_that_are_touched_are_replayed(now: datetime):
    make_tenant("t1")
    make_tenant("apart", pool="own")
    for slug in ("t1", "apart"):
        make_past_job(slug, 100, Ran(90, 1), now=now)
    make_worker()
    answer = report("--weight", "t1=2")
    assert [each["tenant_id"] for each in answer["tenants"]] == ["t1"]


def test_a_tier_brings_its_own_weight(now: datetime):
    Tier.objects.get_or_create(name="gold", defaults={"weight": 2})
    make_worker(slots=1)
    for slug in ("t1", "t2"):
        make_tenant(slug)
        for _ in range(30):
            make_past_job(slug, 600, Ran(300, 10), now=now)
    (changed, _) = report("--tier", "t2=gold")["tenants"]
    assert changed["after"]["wait_p50_us"] < changed["before"]["wait_p50_us"]
    assert changed["sentence"].startswith("In tier gold, ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--weight", "t9=4"], "There is no tenant 't9'"),
        (["--weight", "t1=0"], "not between 0.001 and 10000"),
        (["--weight", "t1=10001"], "not between 0.001 and 10000"),
        (["--weight", "t1=1.0005"], "more than three decimals"),
        (["--weight", "t1=many"], "not a number"),
        (["--weight", "t1=NaN"], "not a number"),
        (["--weight", "t1"], "not TENANT=VALUE"),
        (["--cap", "t1=-1"], "not a whole number"),
        (["--cap", "t1=2147483648"], "more than 2147483647"),
        (["--cap", "t1=" + 5_000 * "9"], "more than 2147483647"),
        (["--most-jobs", "9223372036854775807"], "not a whole number from 1 to"),
        (["--weight", "t1=9999." + 40 * "9"], "more than three decimals"),
        (["--tier", "t1=tin"], "There is no tier 'tin'; use one of"),
        (["--pool", "t1=a b"], "not the name of a pool"),
        (["--since", "soon", "--pause", "t1"], "no length of time"),
        (["--since", "0h", "--pause", "t1"], "no length of time"),
        (["--since", "999999d", "--pause", "t1"], "more than 3650d"),
        (["--pause", "t1", "--resume", "t1"], "contradict each other"),
        (["--weight", "t1=2", "--slots", "nopool=3"], "in a pool 'nopool'.*: shared"),
        (["--slots", "0", "--pause", "t1"], "not a whole number from 1"),
        ([], "Nothing would change"),
        (["--weight", "t1=1"], "Nothing would change"),
        (["--weight", "t1=2"], "No worker serves the pool 'shared'.*--slots"),
        (["--weight", "t1=2", "--slots", "1"], "No job of the pool shared"),
    ],
)
def test_what_cannot_be_answered_says_what_to_do(words: list[str], told: str):
    make_tenant("t1")
    with pytest.raises(CommandError, match=told):
        run(*words)


def test_the_settings_in_force_are_those_of_every_tenant(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(previews, "SLICE_TENANTS", 2)
    for slug in "abcde":
        make_tenant(slug, weight=3)
    with all_tenants(reason="test"):
        Quota.objects.filter(tenant="c").update(
            max_in_flight=2, rate_per_second=Decimal("0.5"), burst=4
        )
        found = previews.settings()
    assert sorted(found) == list("abcde")
    assert found["c"] == TenantConfig(
        "c", 3000, 2, 500, 4, False, "shared", "standard", 1000
    )
