"""The screens of schedules: the form and what it refuses, times, buttons, rights."""

import html
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from jobs import handlers, synthetic
from jobs.models import Job
from reconciliation.models import Profile, Schedule
from reconciliation.schedules import decide_due, schedule_pause
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tests.arrange import make_admin, make_tenant
from tests.integration.scheduling import again, jobs, make_profile, make_schedule

pytestmark = pytest.mark.django_db
ADD = reverse("admin:reconciliation_schedule_add")
LIST = reverse("admin:reconciliation_schedule_changelist")
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("reconcile", "report"):
        kind = replace(synthetic.SLEEP, name=name)
        monkeypatch.setitem(handlers._kinds, name, kind)
    make_tenant("t1")


@pytest.fixture
def profile() -> Profile:
    return make_profile("t1")


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def filled(profile: Profile | None, **changes: Any) -> dict[str, Any]:
    """What a browser sends for a schedule at 06:00 in Kolkata."""
    return {
        **{"name": "nightly", "tenant": "t1", "covers": "previous_day"},
        **{"missed": "once", "profile": profile.pk if profile else ""},
        **{"report_what": "", "report_filters": "", "preset": ""},
        **{"minute": "0", "hour": "6", "day_of_month": "*", "month_of_year": "*"},
        **{"day_of_week": "*", "zone": "Asia/Kolkata"},
        **changes,
    }


def the_schedule() -> Schedule:
    with all_tenants(reason="test"):
        pk = Schedule.objects.get().pk
    return again(Schedule(pk=pk))


def page_of(schedule: Schedule, page: str = "change") -> str:
    return reverse(f"admin:reconciliation_schedule_{page}", args=[schedule.pk])


def press(browser: Client, schedule: Schedule, name: str) -> Any:
    """Press a button of the page, and say yes."""
    action = f"reconciliation_schedule_{name}"
    url = reverse(f"admin:{action}", args=[schedule.pk])
    return browser.post(url, {"_form_submitted": "true"})


# --- The form -------------------------------------------------------------------------


def test_a_schedule_is_made_with_its_task_of_beat(browser: Client, profile: Profile):
    page = browser.get(ADD).content.decode()
    assert "every day at 06:00" in page
    answer = browser.post(ADD, filled(profile))
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    schedule = the_schedule()
    assert (schedule.profile, schedule.report) == (profile, None)
    assert schedule.task.crontab.hour == "6"
    assert str(schedule.task.crontab.timezone) == "Asia/Kolkata"
    assert schedule.task.args == f"[{schedule.pk}]"
    assert timezone.now() - schedule.decided_upto < HOUR


def test_a_preset_goes_before_the_inputs(browser: Client):
    filters = '{"meter": "rows"}'
    sent = filled(None, preset="0 6 1 * *", report_what="usage", report_filters=filters)
    assert browser.post(ADD, sent).status_code == 302
    schedule = the_schedule()
    assert schedule.report == {"what": "usage", "filters": {"meter": "rows"}}
    assert schedule.task.crontab.day_of_month == "1"


def test_it_is_changed_with_its_crontab(browser: Client, profile: Profile):
    browser.post(ADD, filled(profile))
    schedule = the_schedule()
    sent = filled(None, report_what="usage", minute="30", name="report", missed="all")
    answer = browser.post(page_of(schedule), sent)
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    changed = the_schedule()
    assert (changed.profile, changed.report["what"]) == (None, "usage")
    assert (changed.name, changed.missed) == ("report", "all")
    assert changed.task.crontab.minute == "30"
    assert changed.task_id == schedule.task_id
    assert CrontabSchedule.objects.count() == PeriodicTask.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"minute": "60"}, "minute", "'60' is not from 0 to 59"),
        ({"hour": ""}, "hour", "is none of"),
        ({"day_of_week": "7"}, "day_of_week", "not from 0 to 6"),
        ({"day_of_month": "31", "month_of_year": "2"}, "day_of_month", "never run"),
        ({"zone": "Mars/Base"}, "zone", "Mars/Base"),
        ({"profile": ""}, "profile", "either a profile or a report"),
        ({"report_what": "usage"}, "profile", "either a profile or a report"),
        ({"report_filters": "[1]"}, "report_filters", "Give an object"),
        ({"report_filters": "{"}, "report_filters", "valid JSON"),
        ({"report_filters": '{"kind": "ingest"}'}, "report_filters", "those of a rep"),
        ({"tenant": "t2"}, "profile", "This profile is of t1."),
        ({"name": ""}, "name", "required"),
        ({"tenant": ""}, "tenant", "required"),
    ],
)
def test_what_makes_no_schedule_is_refused_where_it_stands(
    changes: dict[str, str], field: str, words: str, browser: Client, profile: Profile
):
    make_tenant("t2")
    answer = browser.post(ADD, filled(profile) | changes)
    assert answer.status_code == 200
    errors = answer.context["adminform"].form.errors
    assert list(errors) == [field]
    assert words in errors[field][0]
    assert not PeriodicTask.objects.exists()


def test_each_wrong_field_of_a_crontab_is_told_at_once(
    browser: Client, profile: Profile
):
    wrong = {"minute": "61", "hour": "25", "day_of_month": "1" * 65, "day_of_week": "8"}
    answer = browser.post(ADD, filled(profile, **wrong, zone="Mars/Base"))
    errors = answer.context["adminform"].form.errors
    assert set(errors) == {*wrong, "zone"}
    for field, words in (
        ("minute", "'61' is not from 0 to 59."),
        ("hour", "'25' is not from 0 to 23."),
        ("day_of_month", "at most 64 characters"),
        ("day_of_week", "'8' is not from 0 to 6."),
    ):
        (told,) = errors[field]
        assert words in told
    assert not PeriodicTask.objects.exists()


@pytest.mark.parametrize(
    ("what", "filters", "told"),
    [
        ("transactions", '{"source": ["UPI"]}', "source: Give a string."),
        ("transactions", '{"source": "FOO"}', "source: Unknown source 'FOO'; use one"),
        ("transactions", '{"status": "OK"}', "status: Give one of: SUCCESS, FAILED"),
        ("transactions", '{"meter": "rows"}', "meter: Reports of transactions are fi"),
        ("transactions", '{"colour": "red"}', "colour: There is no such field."),
        ("transactions", '{"source": "\\ud800"}', "Give valid JSON. The text has half"),
        ("usage", '{"kind": "a", "kind": "b"}', "Give valid JSON. The key 'kind' st"),
        (
            "mismatches",
            '{"profile": "theirs"}',
            "profile: There is no profile 'th",
        ),
        (
            "transactions",
            '{"amount_min": "2", "amount_max": "1"}',
            "amount_max: It is below amount_min",
        ),
    ],
)
def test_filters_that_the_report_would_refuse_are_told_before_they_are_saved(
    what: str, filters: str, told: str, browser: Client
):
    make_tenant("t2")
    make_profile("t2", name="theirs")
    sent = filled(None, report_what=what, report_filters=filters)
    answer = browser.post(ADD, sent)
    errors = answer.context["adminform"].form.errors
    assert list(errors) == ["report_filters"]
    assert errors["report_filters"][0].startswith(told)
    assert html.escape(filters) in answer.content.decode()
    assert not PeriodicTask.objects.exists()


def test_filters_come_back_as_they_were_saved(browser: Client, profile: Profile):
    filters = '{"state": "open", "profile": "upi"}'
    sent = filled(None, report_what="mismatches", report_filters=filters)
    assert browser.post(ADD, sent).status_code == 302
    page = browser.get(page_of(the_schedule())).content.decode()
    assert html.escape(filters) in page
    assert browser.post(page_of(the_schedule()), sent).status_code == 302
    assert the_schedule().report["filters"] == {"profile": "upi", "state": "open"}


def test_a_name_is_taken_once_in_a_tenant(browser: Client, profile: Profile):
    make_tenant("t2")
    make_schedule("t2", "0 6 * * *", now=timezone.now())
    assert browser.post(ADD, filled(profile)).status_code == 302
    answer = browser.post(ADD, filled(profile))
    (error,) = answer.context["errors"]
    assert "of this name already" in str(error)


def test_only_profiles_of_the_tenant_are_offered(browser: Client, profile: Profile):
    make_tenant("t2")
    theirs = make_profile("t2", name="theirs")
    schedule = make_schedule("t1", "0 6 * * *", profile=profile, now=timezone.now())
    page = browser.get(page_of(schedule)).content.decode()
    assert str(profile) in page
    assert str(theirs) not in page
    answer = browser.post(page_of(schedule), filled(theirs))
    assert "profile" in answer.context["adminform"].form.errors


# --- What is shown --------------------------------------------------------------------


def test_list_and_page_tell_what_was_and_what_comes(browser: Client, profile: Profile):
    now = timezone.now()
    schedule = make_schedule(
        *("t1", "30 * * * *"),
        zone="Europe/Berlin",
        profile=profile,
        missed="skip",
        now=now - 3 * HOUR,
    )
    decide_due(now=now - HOUR)
    decide_due(now=now)
    listed = browser.get(LIST).content.decode()
    assert "At minute 30 of every hour, Europe/Berlin" in listed
    assert ">upi<" in listed
    assert ">on</span>" in listed
    page = browser.get(page_of(schedule)).content.decode()
    upcoming, history = tables(page)
    assert upcoming.count("<tr>") == 6
    assert history.count("<tr>") == 4
    assert "skipped" in history


def tables(page: str) -> list[str]:
    names = ("upcoming", "history")
    parts = [page.partition(f'data-testid="{name}"')[2] for name in names]
    return [part.partition("</table>")[0] for part in parts]


def test_a_slot_leads_to_its_job_while_that_is_kept(browser: Client):
    now = timezone.now()
    schedule = make_schedule("t1", "* * * * *", now=now - timedelta(minutes=1))
    decide_due(now=now)
    (job,) = jobs()
    link = reverse("admin:jobs_job_change", args=[job.pk])
    for url in (LIST, page_of(schedule)):
        assert link in browser.get(url).content.decode()
    with all_tenants(reason="test"):
        # As pruning does it: what points to the job forgets it.
        Job.objects.all()._raw_delete("default")
    for url in (LIST, page_of(schedule)):
        page = browser.get(url).content.decode()
        assert link not in page
        assert "enqueued" in page


def test_a_crontab_that_was_broken_is_told_and_mended(browser: Client):
    schedule = make_schedule("t1", "0 6 * * *", now=timezone.now())
    CrontabSchedule.objects.update(minute="x")
    for url in (LIST, page_of(schedule)):
        assert "unreadable" in browser.get(url).content.decode()
    sent = filled(None, report_what="usage")
    assert browser.post(page_of(schedule), sent).status_code == 302
    assert "Every day at 06:00" in browser.get(LIST).content.decode()


def test_the_list_asks_as_much_for_many_as_for_one(
    browser: Client, django_assert_max_num_queries: Any
):
    for number in range(12):
        make_schedule(
            "t1", "* * * * *", name=f"s{number}", now=timezone.now() - HOUR / 30
        )
    decide_due(now=timezone.now())
    browser.get(LIST)
    with django_assert_max_num_queries(20):
        browser.get(LIST)


# --- Buttons --------------------------------------------------------------------------


def test_run_now_orders_a_job_and_says_which(browser: Client):
    schedule = make_schedule("t1", "0 6 * * *", now=timezone.now())
    assert press(browser, schedule, "run").headers["HX-Redirect"] == page_of(schedule)
    (job,) = jobs()
    assert str(job.pk) in browser.get(page_of(schedule)).content.decode()
    assert f"Run now: job {job.pk}" in LogEntry.objects.get().change_message


def test_run_now_tells_a_refusal(browser: Client):
    schedule = make_schedule("t1", "0 6 * * *", now=timezone.now())
    with all_tenants(reason="test"):
        Tenant.objects.update(is_accepting=False)
    press(browser, schedule, "run")
    assert jobs() == []
    page = browser.get(page_of(schedule)).content.decode()
    assert "No new jobs are taken for the tenant" in page


def test_pause_and_resume_change_places(browser: Client):
    schedule = make_schedule("t1", "0 6 * * *", now=timezone.now() - 48 * HOUR)
    pause = reverse("admin:reconciliation_schedule_pause", args=[schedule.pk])
    resume = reverse("admin:reconciliation_schedule_resume", args=[schedule.pk])
    page = browser.get(page_of(schedule)).content.decode()
    assert (pause in page, resume in page) == (True, False)
    press(browser, schedule, "pause")
    assert not again(schedule).task.enabled
    page = browser.get(page_of(schedule)).content.decode()
    assert (pause in page, resume in page) == (False, True)
    assert "It is paused." in page
    press(browser, schedule, "resume")
    assert again(schedule).task.enabled
    assert timezone.now() - again(schedule).decided_upto < HOUR
    said = [entry.change_message for entry in LogEntry.objects.order_by("pk")]
    assert said == ["Paused.", "Resumed."]


def test_a_schedule_is_deleted_with_what_belongs_to_it(browser: Client):
    schedule = make_schedule("t1", "* * * * *", now=timezone.now() - HOUR / 30)
    decide_due(now=timezone.now())
    asked = browser.get(page_of(schedule, "delete")).content.decode()
    assert "Past times: 2" in asked
    assert browser.post(page_of(schedule, "delete"), {"post": "yes"}).status_code == 302
    assert not PeriodicTask.objects.exists()
    assert not CrontabSchedule.objects.exists()
    many = [
        make_schedule("t1", "0 6 * * *", name=name, now=timezone.now()) for name in "ab"
    ]
    chosen = [each.pk for each in many]
    sent = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    browser.post(LIST, sent)
    assert not PeriodicTask.objects.exists()


# --- Rights ---------------------------------------------------------------------------


def staff(client: Client, *rights: str) -> None:
    user = User.objects.create_user("staff", is_staff=True)
    for right in rights:
        user.user_permissions.add(Permission.objects.get(codename=right))
    client.force_login(user)


def test_who_may_only_look_sees_no_inputs_and_presses_nothing(client: Client):
    schedule = make_schedule("t1", "0 6 * * *", now=timezone.now())
    staff(client, "view_schedule")
    page = client.get(page_of(schedule)).content.decode()
    assert "Every day at 06:00, UTC" in page
    assert "report of mismatches" in page
    assert 'name="minute"' not in page
    for name in ("run", "pause", "resume"):
        assert (
            reverse(f"admin:reconciliation_schedule_{name}", args=[schedule.pk])
            not in page
        )
        press(client, schedule, name)
    assert jobs() == []
    assert again(schedule).task.enabled
    assert client.post(page_of(schedule), filled(None)).status_code == 403


def test_to_run_now_takes_the_right_to_run_profiles(client: Client):
    schedule = make_schedule("t1", "0 6 * * *", now=timezone.now())
    staff(client, "view_schedule", "run_profile")
    press(client, schedule, "run")
    assert len(jobs()) == 1
    press(client, schedule, "pause")
    assert again(schedule).task.enabled


# --- The screens of beat --------------------------------------------------------------


def test_the_screens_of_beat_leave_the_tasks_of_schedules_alone(browser: Client):
    schedule = make_schedule("t1", "0 6 * * *", now=timezone.now())
    task = schedule.task
    listed = reverse("admin:django_celery_beat_periodictask_changelist")
    for row, model in ((task, "periodictask"), (task.crontab, "crontabschedule")):
        page = reverse(f"admin:django_celery_beat_{model}_change", args=[row.pk])
        assert browser.get(page).status_code == 200
        assert browser.post(page, {"minute": "1"}).status_code == 403
        gone = reverse(f"admin:django_celery_beat_{model}_delete", args=[row.pk])
        assert browser.post(gone, {"post": "yes"}).status_code == 403
    for action in ("disable_tasks", "toggle_tasks", "delete_selected"):
        sent = {"action": action, "_selected_action": [task.pk], "post": "yes"}
        browser.post(listed, sent)
        assert again(schedule).task.enabled
    with all_tenants(reason="test"):
        schedule_pause(schedule=schedule)
    sent = {"action": "enable_tasks", "_selected_action": [task.pk]}
    answer = browser.post(listed, sent, follow=True)
    assert "on their own screen" in answer.content.decode()
    assert not again(schedule).task.enabled
