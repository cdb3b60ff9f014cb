"""Cancelling over HTTP and in the admin, and what refuses new jobs says."""

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from jobs import cancel_admin, switches
from jobs.models import Job, JobEvent
from jobs.switches import switch_set
from tenants.scoping import all_tenants
from tests.arrange import (
    dispatch,
    make_admin,
    make_job,
    make_tenant,
    reread,
    run,
    start,
)
from tests.integration.api import SLEEP, assert_problem, client_of

pytestmark = pytest.mark.django_db

JOBS = "/admin/jobs/job/"


@pytest.fixture(autouse=True)
def tenants() -> None:
    switches._read.clear()
    make_tenant("t1")
    make_tenant("t2")


def last(job: Job) -> tuple[str, str, str]:
    with all_tenants(reason="test"):
        event = JobEvent.objects.filter(job=job).latest("id")
    return event.event, event.actor, event.reason


# --- Over HTTP ------------------------------------------------------------------------


def test_a_waiting_job_is_cancelled_and_says_by_which_key():
    job, client = make_job("t1"), client_of("t1")
    answer = client.post(f"/jobs/{job.pk}/cancel", {"reason": "twice"}, format="json")
    assert (answer.status_code, answer.json()["state"]) == (202, "cancelled")
    assert answer["Location"] == f"/jobs/{job.pk}"
    event, actor, reason = last(job)
    assert (event, reason) == ("cancelled", "twice")
    assert actor.startswith("API key ")
    again = client.post(f"/jobs/{job.pk}/cancel")
    assert (again.status_code, again.json()["state"]) == (202, "cancelled")


def test_a_running_job_says_that_it_was_asked():
    job = make_job("t1")
    start(dispatch(job))
    answer = client_of("t1").post(f"/jobs/{job.pk}/cancel")
    assert answer.json()["state"] == "running"
    assert answer.json()["cancel_requested_at"] is not None


def test_a_job_that_is_over_stays_as_it_is():
    job = run(make_job("t1"))
    answer = client_of("t1").post(f"/jobs/{job.pk}/cancel")
    assert answer.json()["state"] == "succeeded"
    assert answer.json()["cancel_requested_at"] is None


def test_a_job_of_another_tenant_is_not_there():
    job = make_job("t2")
    assert_problem(client_of("t1").post(f"/jobs/{job.pk}/cancel"), 404)
    assert reread(job).state == "queued"


@pytest.mark.parametrize(
    "body",
    [{"reason": 7}, {"reason": "x" * 201}, {"reason": "\x1b[2J"}, {"why": "x"}, [], 0],
)
def test_a_body_of_another_shape_is_refused(body: Any):
    job = make_job("t1")
    answer = client_of("t1").post(f"/jobs/{job.pk}/cancel", body, format="json")
    assert_problem(answer, 400, "invalid")
    assert reread(job).state == "queued"


def test_what_takes_no_jobs_says_so_and_when_to_come_again(settings: Any):
    settings.SYNTHETIC_KINDS = True
    with all_tenants(reason="test"):
        switch_set(scope="kind", name="sleep", is_accepting=False, reason="a migration")
    body = {"tenant_id": "t1", "seconds": 0}
    answer = client_of("t1").post(SLEEP, body, format="json")
    problem = assert_problem(answer, 503, "not_accepting")
    assert "the kind sleep." in problem["detail"]
    assert "a migration" not in answer.content.decode()
    assert answer["Retry-After"] == "60"
    with all_tenants(reason="test"):
        assert Job.objects.count() == 0


# --- In the admin ---------------------------------------------------------------------


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def test_selected_jobs_are_cancelled_after_a_question(browser: Client):
    waiting, running, over = make_job("t1"), make_job("t2"), run(make_job("t1"))
    start(dispatch(running))
    form = {
        "action": "cancel_selected",
        "_selected_action": [str(job.pk) for job in (waiting, running, over)],
    }
    asked = browser.post(JOBS, form).content.decode()
    assert "Cancel 2 job(s)?" in asked
    assert "1 of them are at work" in asked
    assert reread(waiting).state == "queued"
    done = browser.post(JOBS, form | {"confirmed": "yes", "reason": "bad day"})
    assert done.status_code == 302
    assert reread(waiting).state == "cancelled"
    assert reread(running).cancel_requested_at is not None
    assert reread(over).cancel_requested_at is None
    assert last(waiting) == ("cancelled", "staff operator", "bad day")


def fields_of(page: str) -> dict[str, list[str]]:
    """Return what the form on a page would send by itself."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page):
        found.setdefault(name, []).append(value)
    return found


def test_what_was_selected_across_pages_is_what_the_answer_cancels(browser: Client):
    here = [make_job("t1") for _ in range(3)]
    other = make_job("t2")
    form = {
        "action": "cancel_selected",
        "select_across": "1",
        "_selected_action": str(here[0].pk),
    }
    address = f"{JOBS}?q=t1"
    asked = browser.post(address, form).content.decode()
    assert "Cancel 3 job(s)?" in asked
    browser.post(address, fields_of(asked))
    assert [reread(job).state for job in here] == ["cancelled"] * 3
    assert reread(other).state == "queued"


def test_more_than_one_answer_can_cancel_is_said_before_and_after(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cancel_admin, "MOST", 2)
    jobs = [make_job("t1") for _ in range(5)]
    form = {
        "action": "cancel_selected",
        "select_across": "1",
        "_selected_action": str(jobs[0].pk),
    }
    asked = browser.post(JOBS, form).content.decode()
    assert "Cancel the first 2 of 5 jobs?" in asked
    done = browser.post(JOBS, fields_of(asked), follow=True).content.decode()
    assert "2 job(s) cancelled; 3 more are not cancelled" in done
    assert [reread(job).state for job in jobs] == ["cancelled"] * 2 + ["queued"] * 3
    assert LogEntry.objects.count() == 2


@pytest.mark.parametrize("reason", ["x" * 201, "\x1b[2J"])
def test_a_reason_that_is_no_line_asks_again(browser: Client, reason: str):
    job = make_job("t1")
    answer = {"confirmed": "yes", "reason": reason}
    told = browser.post(f"{JOBS}{job.pk}/cancel/", answer).content.decode()
    assert "Use one line of at most 200 printable characters." in told
    assert "Cancel 1 job(s)?" in told
    assert reread(job).state == "queued"


def test_a_job_is_cancelled_from_its_page_which_tells_the_story(browser: Client):
    job = make_job("t1")
    start(dispatch(job))
    page = f"{JOBS}{job.pk}/"
    assert f"{page}cancel/" in browser.get(f"{page}change/").content.decode()
    assert "Cancel 1 job(s)?" in browser.get(f"{page}cancel/").content.decode()
    answer = browser.post(f"{page}cancel/", {"confirmed": "yes", "reason": "why not"})
    assert answer.status_code == 302
    told = browser.get(f"{page}change/").content.decode()
    assert "Cancelling" in told
    for word in ("cancel_requested", "staff operator", "why not"):
        assert word in told


def test_who_may_only_look_may_not_cancel(client: Client):
    job = make_job("t1")
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(viewer)
    page = f"{JOBS}{job.pk}/"
    assert "Cancel job" not in client.get(f"{page}change/").content.decode()
    assert client.post(f"{page}cancel/", {"confirmed": "yes"}).status_code == 403
    assert reread(job).state == "queued"


def test_a_switch_is_turned_in_the_admin(browser: Client):
    form = {"scope": "pool", "name": "shared", "is_dispatching": "on", "reason": "x"}
    answer = browser.post("/admin/jobs/switch/add/", form)
    assert answer.status_code == 302, answer.content
    listed = browser.get("/admin/jobs/switch/").content.decode()
    assert "accept" in listed
    with all_tenants(reason="test"), pytest.raises(switches.NotAcceptingError):
        switches.check_accepting(tenant="t1", kind="sleep")
