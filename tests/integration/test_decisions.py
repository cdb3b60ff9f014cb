"""Dead letters are discarded, restored and retried: in the admin and by `dlq`."""

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import CommandError, call_command
from django.test import Client

from jobs import dead_letters, deciding
from jobs.models import Job, JobEvent
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_admin, make_dead_job, make_job, make_tenant, reread

pytestmark = pytest.mark.django_db

LIST = "/admin/jobs/deadletter/"


@pytest.fixture(autouse=True)
def tenants() -> None:
    make_tenant("t1")
    make_tenant("t2")


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def last(job: Job) -> tuple[str, str, str]:
    with all_tenants(reason="test"):
        event = JobEvent.objects.filter(job=job).latest("id")
    return event.event, event.actor, event.reason


def waiting() -> int:
    with all_tenants(reason="test"):
        return dead_letters.count(most=100)


def dlq(*words: str) -> Any:
    out = StringIO()
    call_command("dlq", *words, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


# --- The decision itself --------------------------------------------------------------


def test_a_discarded_job_stays_dead_and_is_not_counted_until_restored():
    job, other = make_dead_job("t1"), make_dead_job("t1")
    with tenant_scope("t1"):
        assert deciding.jobs_discard(job_ids=[job.pk]) == 1
        assert deciding.jobs_discard(job_ids=[job.pk]) == 0
    assert (reread(job).state, waiting()) == ("dead", 1)
    with tenant_scope("t1"):
        assert deciding.jobs_restore(job_ids=[job.pk, other.pk]) == 1
    assert waiting() == 2
    assert last(job)[0] == "restored"


def test_a_discarded_job_that_is_retried_is_decided_about_anew():
    job = make_dead_job("t1")
    with tenant_scope("t1"):
        deciding.jobs_discard(job_ids=[job.pk])
        assert deciding.jobs_revive(job_ids=[job.pk]) == 1
    found = reread(job)
    assert (found.state, found.discarded_at) == ("queued", None)


def test_only_dead_jobs_are_discarded_and_only_those_in_scope():
    queued, foreign = make_job("t1"), make_dead_job("t2")
    with tenant_scope("t1"):
        assert deciding.jobs_discard(job_ids=[queued.pk, foreign.pk]) == 0
    assert reread(foreign).discarded_at is None


# --- In the admin ---------------------------------------------------------------------


def test_discarding_asks_for_a_reason_and_keeps_it(browser: Client):
    job = make_dead_job("t1")
    page = f"{LIST}{job.pk}/discard/"
    assert "Discard 1 dead letter(s)?" in browser.get(page).content.decode()
    again = browser.post(page, {"confirmed": "yes", "reason": "  "})
    assert "Discard 1 dead letter(s)?" in again.content.decode()
    assert reread(job).discarded_at is None
    done = browser.post(page, {"confirmed": "yes", "reason": "sent anew"})
    assert done["Location"] == f"/admin/jobs/job/{job.pk}/change/"
    assert last(job) == ("discarded", "staff operator", "sent anew")
    assert str(job.pk) not in browser.get(LIST).content.decode()
    discarded = browser.get(f"{LIST}?decision=discarded").content.decode()
    assert str(job.pk) in discarded
    assert "Discard all" not in discarded
    assert "Restore" in browser.get(f"{LIST}{job.pk}/change/").content.decode()


def test_all_that_match_are_discarded_and_a_selection_restored(browser: Client):
    jobs = [make_dead_job("t1"), make_dead_job("t1"), make_dead_job("t2")]
    form = {"confirmed": "yes", "reason": "old"}
    browser.post(f"{LIST}discard/?tenant__slug__exact=t1", form)
    browser.post(f"{LIST}discard/?fingerprint=none-has-it", form)
    discarded = [reread(job).discarded_at is not None for job in jobs]
    assert discarded.count(True) >= 2
    chosen = {"action": "restore_selected", "_selected_action": [str(jobs[0].pk)]}
    browser.post(f"{LIST}?decision=discarded", chosen | {"confirmed": "yes"})
    assert reread(jobs[0]).discarded_at is None
    assert reread(jobs[1]).discarded_at is not None


@pytest.mark.parametrize("reason", ["\x1b[2J", "x" * 201])
def test_a_reason_that_is_no_line_is_asked_for_again(browser: Client, reason: str):
    job = make_dead_job("t1")
    page = f"{LIST}{job.pk}/retry/"
    browser.post(page, {"confirmed": "yes", "reason": reason})
    assert reread(job).state == "dead"


def test_who_may_retry_may_not_discard(client: Client):
    job = make_dead_job("t1")
    user = User.objects.create_user("retrier", is_staff=True)
    names = ["view_deadletter", "retry_deadletter"]
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    assert "Discard" not in client.get(f"{LIST}{job.pk}/change/").content.decode()
    form = {"confirmed": "yes", "reason": "x"}
    assert client.post(f"{LIST}{job.pk}/discard/", form).status_code == 403
    assert reread(job).discarded_at is None


# --- manage.py dlq --------------------------------------------------------------------


def test_ls_and_show_tell_what_died_of_what():
    first = make_dead_job("t1", code="bad_file")
    second = make_dead_job("t2")
    assert [letter["id"] for letter in dlq("ls")] == [str(second.pk), str(first.pk)]
    assert [letter["code"] for letter in dlq("ls", "--tenant", "t1")] == ["bad_file"]
    assert dlq("ls", "--code", "no_such") == []
    assert {group["jobs"] for group in dlq("ls", "--groups")} == {2}
    shown = dlq("show", str(first.pk))
    assert (shown["code"], shown["attempts"][0]["outcome"]) == ("bad_file", "failed")
    assert [entry[1] for entry in shown["log"]][-1] == "buried"
    with pytest.raises(CommandError, match="There is no dead letter"):
        dlq("show", str(make_job("t1").pk))


def test_retry_and_discard_want_a_yes_for_many_and_a_reason():
    jobs = [make_dead_job("t1") for _ in range(3)]
    assert dlq("retry", "--tenant", "t1", "--dry-run") == {"would": 3}
    with pytest.raises(CommandError, match="That is 3 jobs"):
        dlq("retry", "--tenant", "t1")
    with pytest.raises(CommandError, match="Say why"):
        dlq("discard", str(jobs[0].pk))
    assert [reread(job).state for job in jobs] == ["dead"] * 3
    assert dlq("discard", str(jobs[0].pk), "--reason", "old") == {"done": 1}
    event, actor, reason = last(jobs[0])
    assert (event, reason) == ("discarded", "old")
    assert actor.endswith("by manage.py dlq")
    assert dlq("retry", "--tenant", "t1", "--yes") == {"done": 2}
    assert [reread(job).state for job in jobs] == ["dead", "queued", "queued"]
    assert dlq("restore", "--tenant", "t1") == {"done": 1}
    assert waiting() == 1


def test_a_job_that_is_no_dead_letter_stops_everything():
    dead, queued = make_dead_job("t1"), make_job("t1")
    with pytest.raises(CommandError, match=f"No dead letters: {queued.pk}"):
        dlq("retry", str(dead.pk), str(queued.pk), "--yes")
    assert reread(dead).state == "dead"


@pytest.mark.parametrize("action", ["retry", "discard", "restore"])
@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ((), "or --all"),
        (("--code", ""), "--code is empty"),
        (("--tenant", " ", "--all"), "--tenant is empty"),
        (("--all", "--kind", "sleep"), "one of the three"),
        (("JOB", "--tenant", "t2"), "one of the three"),
        (("--tenant", "no-such"), "There is no tenant 'no-such'"),
        (("--all", "--reason", "\x1b[2J"), "printable"),
        (("--all", "--reason", "x" * 201), "at most 200"),
    ],
)
def test_what_may_mean_something_else_is_refused(
    action: str, words: tuple[str, ...], refusal: str
):
    job = make_dead_job("t1")
    words = tuple(str(job.pk) if word == "JOB" else word for word in words)
    with pytest.raises(CommandError, match=refusal):
        dlq(action, "--yes", "--reason", "x", *words)
    assert waiting() == 1


def test_all_of_them_have_to_be_asked_for():
    make_dead_job("t1"), make_dead_job("t2")
    assert dlq("discard", "--all", "--yes", "--reason", " the  bank\n") == {"done": 2}
    assert waiting() == 0


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "9" * 30])
@pytest.mark.parametrize("words", [("ls",), ("ls", "--groups")])
def test_a_list_has_between_one_and_ten_thousand_rows(
    words: tuple[str, ...], limit: str
):
    with pytest.raises(CommandError, match="--limit is from 1 to 10,000"):
        dlq(*words, "--limit", limit)


@pytest.mark.parametrize("words", [("ls",), ("ls", "--groups"), ("show", "JOB")])
def test_a_terminal_obeys_nothing_that_a_job_says(words: tuple[str, ...]):
    job = make_dead_job("t1", message="boo\x1b[2J\nok  all is well")
    out = StringIO()
    call_command("dlq", *(str(job.pk) if w == "JOB" else w for w in words), stdout=out)
    assert "\x1b" not in out.getvalue()
    assert "boo\\x1b[2J\\nok  all is well" in out.getvalue()
