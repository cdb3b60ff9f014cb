"""The admin edits a dead job's payload and retries it: type, look, confirm."""

import json
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from jobs import deciding
from jobs.models import Job, JobEvent
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import (
    make_admin,
    make_file,
    make_job,
    make_tenant,
    reread,
    run,
)

pytestmark = pytest.mark.django_db

BAD = {"seconds": 0.0, "steps": 1, "fail": "permanent"}
GOOD = {"seconds": 0.0, "steps": 2}


@pytest.fixture
def job() -> Job:
    """A dead job."""
    make_tenant("t1")
    return run(make_job("t1", payload=BAD))


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


LETTERS = "/admin/jobs/deadletter/"


def page(job: Job) -> str:
    return f"{LETTERS}{job.pk}/edit/"


def story(job: Job) -> str:
    return f"/admin/jobs/job/{job.pk}/change/"


def form(job: Job, payload: Any = GOOD, **changes: str) -> dict[str, str]:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    seen = str(job.attempt_count)
    return {"payload": text, "reason": "mended", "seen": seen, **changes}


def confirmed(job: Job, payload: Any = GOOD, **changes: str) -> dict[str, str]:
    return form(job, payload, _confirmed="yes", **changes)


def noted() -> list[str]:
    rows = LogEntry.objects.order_by("id")
    return list(rows.values_list("change_message", flat=True))


def test_a_payload_is_typed_looked_at_and_confirmed(browser: Client, job: Job):
    assert page(job) in browser.get(f"{LETTERS}{job.pk}/change/").content.decode()
    typed = browser.get(page(job)).content.decode()
    assert "&quot;fail&quot;: &quot;permanent&quot;" in typed
    looked = browser.post(page(job), form(job))
    assert looked.context["rows"] == [("fail", '"permanent"', "–"), ("steps", "1", "2")]
    assert "starts from the beginning" in looked.content.decode()
    assert (reread(job).state, noted()) == ("dead", [])
    done = browser.post(page(job), confirmed(job))
    assert done["Location"] == story(job)
    found = reread(job)
    assert (found.state, found.payload, found.original_payload) == (
        *("queued", GOOD, BAD),
    )


def test_who_and_why_is_in_the_log_and_the_history_of_the_admin(
    browser: Client, job: Job
):
    told = browser.post(page(job), confirmed(job), follow=True).content.decode()
    assert "Queued again from the beginning; changed: fail, steps." in told
    assert "Payload as it was enqueued" in told
    assert noted() == ["Payload edited (fail, steps) and retried. mended"]
    with all_tenants(reason="test"):
        edited = JobEvent.objects.get(job=job, event="edited")
    assert (edited.actor, edited.reason) == (
        *("staff operator", "fail, steps changed: mended"),
    )


def test_what_differs_in_nothing_is_a_plain_retry(browser: Client, job: Job):
    looked = browser.post(page(job), form(job, BAD)).content.decode()
    assert "Nothing differs" in looked
    assert "resumes at its last checkpoint" in looked
    browser.post(page(job), confirmed(job, BAD))
    assert (reread(job).state, reread(job).checkpoint) == ("queued", {"steps": 1})
    assert noted() == ["Retried. mended"]


@pytest.mark.parametrize(
    ("payload", "flaws"),
    [
        ({"seconds": -1, "wings": 2}, ["seconds", "wings"]),
        ("{", [""]),
        ("[1]", [""]),
        ('{"seconds": "\\u0000"}', [""]),
        ("", [""]),
    ],
)
@pytest.mark.parametrize("step", [form, confirmed])
def test_a_bad_payload_comes_back_as_typed_with_its_flaws(
    browser: Client, job: Job, step: Any, payload: Any, flaws: list[str]
):
    given = step(job, payload)
    answer = browser.post(page(job), given)
    assert [field for field, _ in answer.context["flaws"]] == flaws
    assert answer.context["draft"].text == given["payload"]
    assert answer.context["draft"].why == "mended"
    assert (reread(job).state, noted()) == ("dead", [])


def test_what_was_typed_is_shown_as_text(browser: Client, job: Job):
    answer = browser.post(page(job), form(job, "</textarea><script>x</script>"))
    assert "<script>x" not in answer.content.decode()


@pytest.mark.parametrize("step", [form, confirmed])
def test_without_a_reason_nothing_happens(browser: Client, job: Job, step: Any):
    answer = browser.post(page(job), step(job, reason="  "))
    assert [field for field, _ in answer.context["flaws"]] == ["Why"]
    assert reread(job).state == "dead"


def test_to_edit_again_keeps_what_was_typed(browser: Client, job: Job):
    answer = browser.post(page(job), form(job, "{oops", _again="yes"))
    assert answer.context["draft"].text == "{oops"
    assert answer.context["flaws"] == ()


def test_a_job_that_somebody_retried_meanwhile_is_let_be(browser: Client, job: Job):
    with tenant_scope("t1"):
        deciding.jobs_revive(job_ids=[job.pk])
    for answer in (
        browser.get(page(job), follow=True),
        browser.post(page(job), form(job), follow=True),
        browser.post(page(job), confirmed(job), follow=True),
    ):
        assert answer.redirect_chain == [(story(job), 302)]
        said = "The job is queued, not dead. Nothing was changed."
        assert said in answer.content.decode()
    assert (reread(job).payload, noted()) == (BAD, [])


def test_a_job_that_died_again_meanwhile_is_let_be(browser: Client, job: Job):
    with tenant_scope("t1"):
        deciding.jobs_revive(job_ids=[job.pk])
    again = run(reread(job))
    for step in (form, confirmed):
        told = browser.post(page(job), step(job), follow=True).content.decode()
        assert "The job has died once more. Nothing was changed." in told
    assert (reread(job).payload, noted()) == (BAD, [])
    browser.post(page(job), confirmed(again))
    assert reread(job).payload == GOOD


@pytest.mark.parametrize("seen", ["", "x", "-1", "\uff11", "9" * 40])
def test_a_form_that_does_not_say_what_was_seen_is_refused(
    browser: Client, job: Job, seen: str
):
    assert browser.post(page(job), confirmed(job, seen=seen)).status_code == 400
    assert reread(job).state == "dead"


def test_a_payload_that_is_fixed_says_why_before_anybody_types(browser: Client):
    make_tenant("t1")
    payload = {"s3_path": "../x", "source": "UPI"}
    job = run(make_job("t1", kind="ingest", payload=payload))
    make_file("t1", job=job, state="failed")
    asked = browser.get(page(job)).content.decode()
    assert "cannot be edited" in asked
    assert "2 row(s) of &#x27;in/upi.csv&#x27; are loaded" in asked
    assert "<textarea" not in asked
    other = {"s3_path": "b.csv", "source": "UPI"}
    for step in (form, confirmed):
        assert (
            "are loaded" in browser.post(page(job), step(job, other)).content.decode()
        )
    assert reread(job).payload == payload


RIGHTS = ("view_deadletter", "retry_deadletter", "edit_deadletter")


@pytest.mark.parametrize("missing", [None, "retry_deadletter", "edit_deadletter"])
def test_it_takes_both_rights(client: Client, job: Job, missing: str | None):
    user = User.objects.create_user("clerk", is_staff=True)
    names = [name for name in RIGHTS if name != missing]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    offered = client.get(f"{LETTERS}{job.pk}/change/").content.decode()
    answers = {
        client.get(page(job)).status_code,
        client.post(page(job), confirmed(job)).status_code,
    }
    expected: Any = {200, 302} if missing is None else {403}
    assert ("Edit and retry" in offered, answers) == (missing is None, expected)
    assert reread(job).state == ("queued" if missing is None else "dead")


def test_there_is_no_page_for_a_job_that_is_not_there(browser: Client, job: Job):
    nowhere = page(job).replace(str(job.pk), "01a20bcf-c6ee-724b-878c-e659f896227f")
    assert browser.get(nowhere).status_code == 404
