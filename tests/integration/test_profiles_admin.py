"""The form of a profile, runs at once, and trials, as people use them."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion.models import DialectProfile
from jobs import handlers
from jobs.handlers import Kind
from jobs.models import Job
from reconciliation.matching import Rule
from reconciliation.models import MatchRule, Profile, Run
from reconciliation.terms import rule_json, rules_of, terms_of
from tenants.scoping import all_tenants
from tests.arrange import make_admin, make_tenant
from tests.integration.forms import form_of
from tests.integration.stuck_kinds import nothing
from tests.reconciled import DAY, STARTS, make_mismatch, make_profile, make_run

pytestmark = pytest.mark.django_db

ADD = "/admin/reconciliation/profile/add/"
RULE: dict[str, str] = {
    "place": "1",
    "key": "reference_id",
    "shape": "one_to_one",
    "amount": "0",
    "percent": "0",
    "days": "1",
    "is_confirmed": "on",
}
PROFILE: dict[str, Any] = {
    "tenant": "t1",
    "name": "UPI",
    "internal_sources": ["LEDGER"],
    "external_sources": ["UPI", "MT940"],
    "time_zone": "Asia/Kolkata",
    "cutoff": "00:00",
    "fee_percent": "0",
    "fee_fixed": "0",
    "stale_after_hours": "48",
    "closes_up_to": "0",
}


def rules_form(*rules: dict[str, str]) -> dict[str, str]:
    made = {"rules-TOTAL_FORMS": str(len(rules)), "rules-INITIAL_FORMS": "0"}
    for place, rule in enumerate(rules):
        made |= {f"rules-{place}-{name}": value for name, value in rule.items()}
    return made


@pytest.fixture(autouse=True)
def kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that are ordered and not run."""
    known = Kind(name="reconcile", handler=nothing)
    monkeypatch.setitem(handlers._kinds, "reconcile", known)


@pytest.fixture(autouse=True)
def tenants() -> None:
    make_tenant("t1")
    make_tenant("t2")


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


@pytest.fixture
def viewer(client: Client) -> Client:
    person = User.objects.create_user("viewer", is_staff=True)
    codes = ("view_profile", "view_run")
    person.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client.force_login(person)
    return client


def url_of(profile: Profile, page: str = "change") -> str:
    return reverse(f"admin:reconciliation_profile_{page}", args=[profile.pk])


def only() -> Profile:
    with all_tenants(reason="test"):
        profile: Profile = Profile.objects.get()
    return profile


def rules() -> list[Rule]:
    with all_tenants(reason="test"):
        return list(rules_of(only()))


# --- The form -------------------------------------------------------------------------


def test_a_profile_is_added_with_its_rules(browser: Client):
    second = RULE | {"place": "2", "days": "3", "amount": "0.5", "percent": "1"}

    answer = browser.post(ADD, PROFILE | rules_form(RULE, second))

    assert answer.status_code == 302, form_errors(answer)
    made = only()
    assert (made.tenant_id, made.external_sources) == ("t1", ["UPI", "MT940"])
    page = browser.get(url_of(made)).content.decode()
    assert "amounts within 0.50 or 1 %, within 3 days → matched" in page


def form_errors(answer: Any) -> dict[str, Any]:
    """Return the errors of a form and of its rules, the latter as `rules.1.days`."""
    context = answer.context
    form, rows = context["adminform"].form, context["inline_admin_formsets"][0].formset
    found = dict(form.errors)
    for place, each in enumerate(rows.forms, start=1):
        found |= {f"rules.{place}.{name}": said for name, said in each.errors.items()}
    if rows.non_form_errors():
        found["rules"] = rows.non_form_errors()
    return found


@pytest.mark.parametrize(
    ("change", "field", "text"),
    [
        ({"internal_sources": []}, "internal_sources", "Choose one source"),
        ({"external_sources": ["LEDGER"]}, "external_sources", "is on both sides"),
        ({"external_sources": ["T2BANK"]}, "external_sources", "no source T2BANK"),
        ({"external_sources": ["SWFT"]}, "external_sources", "valid choice"),
        ({"time_zone": "Asia/Bombay"}, "time_zone", "valid choice"),
        ({"cutoff": "18:00:30"}, "cutoff", "Hours and minutes only"),
        ({"fee_percent": "101"}, "fee_percent", "At most 100"),
        ({"fee_fixed": "-1"}, "fee_fixed", "Not below zero"),
        ({"closes_up_to": "-1"}, "closes_up_to", "Not below zero"),
        ({"rules-0-shape": "many_to_one"}, "rules.1.shape", "one to one"),
        ({"rules-0-key": "account_id"}, "rules.1.key", "reference or the bank"),
        ({"rules-0-key": "amount"}, "rules.1.key", "valid choice"),
        ({"rules-0-is_confirmed": ""}, "rules.1.is_confirmed", "Nobody has to"),
        ({"rules-0-percent": "100.5"}, "rules.1.percent", "At most 100"),
        ({"rules-0-amount": "-1"}, "rules.1.amount", "Not below zero"),
        ({"rules-1-days": "367"}, "rules.2.days", "At most 366"),
        ({"rules-1-is_less_fee": "on"}, "rules.2.is_less_fee", "has no fee"),
        ({"rules-1-days": "1"}, "rules.2.__all__", "Rule 2 can match nothing that"),
        ({"rules-TOTAL_FORMS": "0"}, "rules", "Add one rule"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(
    browser: Client, change: dict[str, Any], field: str, text: str
):
    with all_tenants(reason="test"):
        DialectProfile.objects.create(tenant_id="t2", name="T2BANK", definition={})
    second = RULE | {"place": "2", "days": "3"}

    answer = browser.post(ADD, PROFILE | rules_form(RULE, second) | change)

    assert answer.status_code == 200
    errors = form_errors(answer)
    assert list(errors) == [field]
    assert text in " ".join(errors[field])
    assert text in answer.content.decode()
    with all_tenants(reason="test"):
        assert not Profile.objects.exists()


def test_a_name_is_taken_once_for_a_tenant(browser: Client):
    make_profile("t1", name="other")
    make_profile("t1")

    answer = browser.post(ADD, PROFILE | rules_form(RULE))

    assert form_errors(answer) == {"name": ["The tenant has a profile of this name."]}
    with all_tenants(reason="test"):
        other = Profile.objects.get(name="other")
    renamed = browser.post(url_of(other), PROFILE | rules_form(RULE))
    assert list(form_errors(renamed)) == ["name"]


def test_the_tenant_of_a_profile_stays(browser: Client):
    profile = make_profile("t1")

    answer = browser.post(
        url_of(profile), PROFILE | rules_form(RULE) | {"tenant": "t2"}
    )

    assert answer.status_code == 302
    assert only().tenant_id == "t1"


def test_sources_of_another_tenant_are_not_offered(browser: Client):
    with all_tenants(reason="test"):
        for slug in ("t1", "t2"):
            DialectProfile.objects.create(
                tenant_id=slug, name=f"{slug}BANK".upper(), definition={}
            )

    page = browser.get(url_of(make_profile("t1"))).content.decode()

    assert "T1BANK" in page
    assert "T2BANK" not in page


def test_rules_change_places_and_go(browser: Client):
    profile = make_profile("t1", rules=3)
    form = form_of(browser.get(url_of(profile)).content.decode()) | PROFILE
    # The last rule goes first, the first one last; the one in the middle goes.
    form |= {"rules-0-place": "9", "rules-2-place": "0", "rules-1-DELETE": "on"}
    form |= {"rules-0-days": "20"}

    answer = browser.post(url_of(profile), form)

    assert answer.status_code == 302, form_errors(answer)
    assert [rule.days for rule in rules()] == [3, 20]
    with all_tenants(reason="test"):
        places = MatchRule.objects.order_by("place").values_list("place", flat=True)
        assert list(places) == [1, 2]


def test_rules_that_nobody_touched_stay(browser: Client):
    profile = make_profile("t1", rules=2)
    with all_tenants(reason="test"):
        before = set(MatchRule.objects.values_list("pk", flat=True))
    form = form_of(browser.get(url_of(profile)).content.decode()) | PROFILE

    browser.post(url_of(profile), form | {"name": "renamed"})

    assert only().name == "renamed"
    with all_tenants(reason="test"):
        assert set(MatchRule.objects.values_list("pk", flat=True)) == before


# --- Runs at once ---------------------------------------------------------------------


def ask(browser: Client, profile: Profile, first: object, last: object) -> Any:
    url = reverse("admin:reconciliation_profile_run_now", args=[profile.pk])
    form = {"first": str(first), "last": str(last), "_form_submitted": "True"}
    return browser.post(url, form)


def test_a_run_is_ordered_over_days_as_the_profile_tells_them(browser: Client):
    profile = make_profile("t1", cutoff="18:00", time_zone="Asia/Kolkata")

    answer = ask(browser, profile, DAY, DAY + timedelta(days=1))

    with all_tenants(reason="test"):
        job = Job.objects.get()
    assert answer.headers["HX-Redirect"] == f"/admin/jobs/job/{job.pk}/change/"
    assert (job.tenant_id, job.kind) == ("t1", "reconcile")
    starts, ends = (
        datetime.fromisoformat(job.payload[name]) for name in ("starts_at", "ends_at")
    )
    zone = ZoneInfo("Asia/Kolkata")
    assert starts == datetime(2026, 1, 14, 18, tzinfo=zone)
    assert ends == datetime(2026, 1, 16, 18, tzinfo=zone)
    assert "rules" not in job.payload
    assert LogEntry.objects.get().change_message == (
        "Ordered a run of 2026-01-15 to 2026-01-16."
    )


@pytest.mark.parametrize(
    "values",
    [
        {"time_zone": "Pacific/Kiritimati"},
        {"time_zone": "Pacific/Pago_Pago"},
        {"time_zone": "UTC", "cutoff": "00:01"},
    ],
)
def test_a_run_is_offered_for_yesterday_as_the_profile_tells_it(
    browser: Client, values: dict[str, Any]
):
    profile = make_profile("t1", **values)
    with all_tenants(reason="test"):
        profile.refresh_from_db()
    terms = terms_of(profile, ())
    url = reverse("admin:reconciliation_profile_run_now", args=[profile.pk])

    form = form_of(browser.get(url).content.decode())

    day = terms.day(timezone.now()) - timedelta(days=1)
    assert (form["first"], form["last"]) == (str(day), str(day))


@pytest.mark.parametrize("number", ["99999999", "x"])
def test_a_run_of_no_profile_is_refused(browser: Client, number: str):
    url = reverse("admin:reconciliation_profile_run_now", args=[number])

    assert browser.get(url).status_code == 404


def test_a_run_of_one_day_is_told_as_one_day(browser: Client):
    profile = make_profile("t1")

    answer = ask(browser, profile, DAY, DAY)

    job = browser.get(answer.headers["HX-Redirect"]).content.decode()
    assert f"A run of {DAY} is ordered." in job
    assert LogEntry.objects.get().change_message == f"Ordered a run of {DAY}."


@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (0, 2, "is still to come"),
        (-1, -2, "before the first"),
        (-400, -1, "At most 366 days"),
    ],
)
def test_days_that_cannot_be_compared_are_refused(
    browser: Client, first: int, last: int, text: str
):
    today = timezone.now().date()
    profile = make_profile("t1", time_zone="UTC")

    answer = ask(
        browser, profile, today + timedelta(days=first), today + timedelta(days=last)
    )

    assert text in answer.content.decode()
    with all_tenants(reason="test"):
        assert not Job.objects.exists()


def test_who_may_only_look_orders_nothing(viewer: Client):
    profile = make_profile("t1")

    page = viewer.get(url_of(profile)).content.decode()

    assert "Same reference" in page
    assert "Run now" not in page
    assert "Try rules" not in page
    assert ask(viewer, profile, DAY, DAY).status_code == 403
    assert viewer.get(url_of(profile, "try")).status_code == 403
    with all_tenants(reason="test"):
        assert not Job.objects.exists()


# --- Trials ---------------------------------------------------------------------------


def tried_url(profile: Profile, job: Job) -> str:
    return reverse("admin:reconciliation_profile_tried", args=[profile.pk, job.pk])


def order_trial(browser: Client, profile: Profile, *changed: dict[str, str]) -> Job:
    answer = browser.post(
        url_of(profile, "try"), {"day": str(DAY), **rules_form(*changed)}
    )
    assert answer.status_code == 302, form_errors(answer)
    with all_tenants(reason="test"):
        job: Job = Job.objects.get()
    assert answer.headers["Location"] == tried_url(profile, job)
    return job


WIDER = RULE | {"amount": "5", "days": "2"}


def test_the_form_of_a_trial_begins_with_the_profiles_rules(browser: Client):
    profile = make_profile("t1", rules=2)

    form = form_of(browser.get(url_of(profile, "try")).content.decode())

    assert form["rules-TOTAL_FORMS"] == "2"
    assert [form["rules-0-days"], form["rules-1-days"]] == ["1", "2"]


def test_a_trial_orders_a_dry_run_and_saves_nothing(browser: Client):
    profile = make_profile("t1")

    job = order_trial(browser, profile, WIDER)

    tried = Rule(amount=Decimal(5), days=2)
    assert job.payload["rules"] == [rule_json(tried)]
    assert datetime.fromisoformat(job.payload["starts_at"]) == STARTS
    assert rules() == [Rule()]
    assert not LogEntry.objects.exists()
    # And the form can go on from there.
    again = f"{url_of(profile, 'try')}?day=2026-01-15&job={job.pk}"
    form = form_of(browser.get(again).content.decode())
    assert (form["rules-0-amount"], form["day"]) == ("5", "2026-01-15")


def test_a_trial_of_bad_rules_is_refused_at_the_field(browser: Client):
    profile = make_profile("t1")
    bad = RULE | {"days": "367"}

    answer = browser.post(url_of(profile, "try"), {"day": str(DAY), **rules_form(bad)})

    assert list(form_errors(answer)) == ["rules.1.days"]


def test_a_trial_of_a_day_to_come_is_refused(browser: Client):
    profile = make_profile("t1")
    day = timezone.now().date() + timedelta(days=2)

    answer = browser.post(url_of(profile, "try"), {"day": str(day), **rules_form(RULE)})

    assert "is still to come" in " ".join(form_errors(answer)["day"])


def test_what_a_trial_counted_stands_beside_the_last_run(browser: Client):
    profile = make_profile("t1")
    make_run(profile, is_dry=True, counts={"rows": 7})
    before = make_run(profile)
    make_run(profile, mode="changes", counts={"rows": 3})
    make_run(profile, state="failed", counts={})
    shifted = STARTS + timedelta(days=1)
    make_run(
        profile, period_starts_at=shifted, period_ends_at=shifted + timedelta(days=1)
    )
    job = order_trial(browser, profile, WIDER)
    waiting = browser.get(tried_url(profile, job)).content.decode()
    assert "hx-get" in waiting
    assert "comparison" not in waiting

    counts = before.counts | {"unmatched": 20, "mismatches": {"amount": 1}}
    make_run(profile, is_dry=True, job=job, counts=counts)
    page = browser.get(tried_url(profile, job))

    assert page.context["before"] == before
    lines = {line[0]: line[1:4] for line in page.context["rows"]}
    assert lines == {
        "Match rate": ("97.00%", "98.00%", "+1.00"),
        "Rows": ("1,000", "1,000", ""),
        "Rows that match": ("970", "980", "+10"),
        "Mismatches": ("30", "1", "−29"),
        "Amount": ("4", "1", "−3"),
        "Missing external": ("26", "0", "−26"),
    }
    assert "Save these rules" in page.content.decode()


def test_a_trial_of_a_day_without_a_run_says_so(browser: Client):
    profile = make_profile("t1")
    job = order_trial(browser, profile, WIDER)
    make_run(profile, is_dry=True, job=job)

    page = browser.get(tried_url(profile, job))

    assert "nothing to compare with" in page.content.decode()
    assert page.context["rows"][1][:4] == ("Rows", "–", "1,000", "–")


def test_the_rules_of_a_trial_are_saved(browser: Client):
    profile = make_profile("t1", rules=3)
    job = order_trial(browser, profile, WIDER)

    answer = browser.post(tried_url(profile, job), follow=True)

    assert "The rules are saved." in answer.content.decode()
    assert rules() == [Rule(amount=Decimal(5), days=2)]
    assert str(job.pk) in LogEntry.objects.get().change_message


def test_who_changes_terms_hears_which_days_stand_by_the_old_ones(browser: Client):
    profile = make_profile("t1", rules=3)
    for days, state in ((0, "open"), (2, "assigned"), (5, "resolved")):
        day = DAY + timedelta(days=days)
        make_mismatch(profile, day=day, state=state, internal_id=1 + days)
    told = f"2 mismatches are open by the terms as they were, of {DAY} to "

    job = order_trial(browser, profile, WIDER)
    assert told in browser.post(tried_url(profile, job), follow=True).content.decode()
    for change, is_told in (
        ({"name": "UPI again"}, False),
        ({"closes_up_to": "1"}, True),
        ({"rules-0-days": "7"}, True),
    ):
        form = form_of(browser.get(url_of(profile)).content.decode()) | change
        answer = browser.post(url_of(profile), form, follow=True)
        assert (told in answer.content.decode()) is is_told, change


def test_rules_that_do_not_fit_the_profile_any_more_are_not_saved(browser: Client):
    profile = make_profile("t1", fee_fixed=1)
    less_fee = RULE | {"is_less_fee": "on"}
    job = order_trial(browser, profile, RULE, less_fee)
    with all_tenants(reason="test"):
        Profile.objects.update(fee_fixed=0)

    answer = browser.post(tried_url(profile, job), follow=True)

    assert "Not saved." in answer.content.decode()
    assert rules() == [Rule()]


def test_who_may_only_look_sees_a_trial_and_saves_nothing(viewer: Client):
    profile = make_profile("t1")
    operator = Client()
    operator.force_login(make_admin())
    job = order_trial(operator, profile, WIDER)
    make_run(profile, is_dry=True, job=job)

    page = viewer.get(tried_url(profile, job)).content.decode()

    assert "What it would match" in page
    assert "Save these rules" not in page
    assert viewer.post(tried_url(profile, job)).status_code == 403
    assert rules() == [Rule()]


def test_the_job_of_another_profile_is_not_its_trial(browser: Client):
    profile, other = make_profile("t1"), make_profile("t2")
    job = order_trial(browser, profile, WIDER)

    assert browser.get(tried_url(other, job)).status_code == 404
    with all_tenants(reason="test"):
        assert Run.objects.count() == 0


def test_a_profile_that_has_run_is_not_deleted(browser: Client):
    profile = make_profile("t1")
    make_run(profile)
    make_run(profile)

    page = browser.get(url_of(profile, "delete")).content.decode()
    browser.post(url_of(profile, "delete"), {"post": "yes"})

    assert "2 runs" in page
    assert "permission" not in page
    assert only() == profile


def test_a_profile_that_nothing_needs_is_deleted(browser: Client):
    profile = make_profile("t1")

    assert browser.post(url_of(profile, "delete"), {"post": "yes"}).status_code == 302

    with all_tenants(reason="test"):
        assert not Profile.objects.exists()


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (
            1,
            "1 mismatch is open by the terms as they were, of {}. Run now, over that "
            "day, looks at it by",
        ),
        (
            2,
            "2 mismatches are open by the terms as they were, of {}. Run now, over "
            "that day, looks at them by",
        ),
    ],
)
def test_one_day_that_stands_by_old_terms_is_told_as_one(
    browser: Client, count: int, told: str
):
    profile = make_profile("t1")
    for number in range(count):
        make_mismatch(profile, internal_id=1 + number)

    form = form_of(browser.get(url_of(profile)).content.decode()) | {"cutoff": "18:00"}
    answer = browser.post(url_of(profile), form, follow=True)

    assert told.format(DAY) in answer.content.decode()
