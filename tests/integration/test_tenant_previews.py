"""What a change of a tenant would do, before it is saved; and which pools there are."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from taskqueue_site import tenant_previews
from tenants.models import Tenant, Tier
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.history import Ran, make_past_job, make_worker

pytestmark = pytest.mark.django_db

PAGE = "/admin/tenants/tenant/t2/change/"
FORM = {
    "slug": "t2",
    "name": "",
    "tier": "standard",
    "pool": "",
    "quota-TOTAL_FORMS": "1",
    "quota-INITIAL_FORMS": "1",
    "quota-0-tenant": "t2",
    "quota-0-weight": "1",
}


@pytest.fixture(autouse=True)
def tenants() -> None:
    make_tenant("t1")
    make_tenant("t2")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def busy(now: datetime) -> None:
    """Both tenants sent as much half an hour ago, to four slots."""
    make_worker(slots=4)
    for slug in ("t1", "t2"):
        for number in range(16):
            make_past_job(slug, 1800 - number / 100, Ran(900, 60), now=now)


@pytest.fixture
def browser(client: Client) -> Client:
    # Without a password: to hash one takes longer than most of these tests.
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.fixture
def viewer(client: Client) -> Client:
    user = User.objects.create_user("viewer", is_staff=True)
    codes = ("view_tenant", "view_quota", "view_job")
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client.force_login(user)
    return client


def tenant() -> Tenant:
    with all_tenants(reason="test"):
        found: Tenant = Tenant.objects.select_related("quota").get(pk="t2")
    return found


def preview(client: Client, **changes: str) -> Any:
    answer = client.post(PAGE, {**FORM, "_preview": "yes", **changes})
    assert answer.status_code == 200
    return answer


# --- Preview --------------------------------------------------------------------------


@pytest.mark.usefixtures("busy")
def test_a_weight_is_previewed_then_saved(browser: Client):
    offer = browser.get(PAGE).content.decode()
    assert "Preview the effect" in offer
    answer = preview(browser, **{"quota-0-weight": "4"})
    assert answer.context["changes"] == [("weight", "1", "4")]
    hour, day = answer.context["previews"]
    assert (hour["title"], day["title"], hour["jobs"]) == ("hour", "24 hours", 32)
    assert day["refusal"] == "The same jobs: none arrived before the last hour."
    assert hour["sentences"][0].startswith("At weight 4, tenant t2's backlog ends ")
    assert [row["tenant"] for row in hour["rows"]] == ["t2", "t1"]
    waits = hour["rows"][0]["cells"][0]
    assert waits["was"] != waits["would"]
    said = f"wait up to {waits['would']} instead of {waits['was']}."
    assert hour["sentences"][0].endswith(said)
    assert waits["tone"] == "succeeded"

    # Nothing is saved, written down or announced by looking.
    assert tenant().quota.weight == 1
    assert LogEntry.objects.count() == 0
    assert "was changed" not in browser.get(PAGE).content.decode()

    hidden = dict(answer.context["hidden"])
    assert browser.post(PAGE, {**hidden, "_save": "yes"}).status_code == 302
    assert tenant().quota.weight == Decimal(4)


@pytest.mark.usefixtures("busy")
def test_a_day_holds_more_than_an_hour(browser: Client, now: datetime):
    make_past_job("t1", 7200, Ran(7000, 5), now=now)
    hour, day = preview(browser, **{"quota-0-weight": "4"}).context["previews"]
    assert (hour["jobs"], day["jobs"]) == (32, 33)


@pytest.mark.usefixtures("busy")
def test_limits_pool_and_tier_are_previewed_together(browser: Client):
    Tier.objects.get_or_create(name="gold", defaults={"weight": 2})
    make_worker("big", slots=2)
    changes = {
        "tier": "gold",
        "pool": "big",
        "quota-0-max_in_flight": "1",
        "quota-0-rate_per_second": "0.5",
        "quota-0-burst": "2",
    }
    answer = preview(browser, **changes)
    assert [name for name, _, _ in answer.context["changes"]] == [
        *("tier", "pool", "cap", "rate per second", "burst"),
    ]
    hour = answer.context["previews"][0]
    assert hour["slots"] == {"big": 2, "shared": 4}
    assert (tenant().pool, tenant().tier_id) == ("", "standard")


@pytest.mark.usefixtures("busy")
def test_a_pause_is_previewed_and_not_done(browser: Client):
    page = reverse("admin:tenants_tenant_preview_pause", args=["t2"])
    answer = browser.get(page)
    assert answer.context["changes"] == [("pause", "off", "on")]
    (sentence,) = answer.context["previews"][0]["sentences"]
    assert sentence.startswith(
        "Paused, tenant t2's backlog never ends; half of its jobs never start"
    )
    assert not tenant().is_paused
    assert page in browser.get(PAGE).content.decode()


def test_an_invalid_form_comes_back_with_its_error(browser: Client):
    answer = preview(browser, **{"quota-0-weight": "0"})
    assert "greater than or equal to 0.001" in answer.content.decode()
    assert answer.templates[0].name == "admin/change_form.html"


def test_a_pool_without_workers_has_no_preview_but_a_reason(browser: Client):
    answer = preview(browser, **{"quota-0-weight": "4"})
    assert (
        "start one with `manage.py worker --pool shared`"
        in (answer.context["previews"][0]["refusal"])
    )
    assert len(answer.context["previews"]) == 1


def test_without_jobs_there_is_nothing_to_replay(browser: Client):
    make_worker()
    answer = preview(browser, **{"quota-0-weight": "4"})
    assert [each["refusal"][:26] for each in answer.context["previews"]] == [
        "No job of the pool shared "
    ] * 2


def test_a_name_changes_nothing_for_the_dispatcher(browser: Client):
    answer = preview(browser, name="Two")
    assert "Nothing changes for the dispatcher" in answer.content.decode()
    assert answer.context["previews"] == []


@pytest.mark.usefixtures("busy")
def test_a_preview_replays_so_many_jobs_and_says_so(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tenant_previews, "MOST_JOBS", 20)
    answer = preview(browser, **{"quota-0-weight": "4"})
    (only,) = answer.context["previews"]
    assert only["jobs"] == 20
    assert only["notes"][0].startswith("Only the newest 20 jobs of that time ")


@pytest.mark.usefixtures("busy")
def test_a_viewer_may_look_at_a_pause_but_cannot_preview_or_save_a_form(
    viewer: Client,
):
    page = reverse("admin:tenants_tenant_preview_pause", args=["t2"])
    assert viewer.get(page).status_code == 200
    assert "Preview the effect" not in viewer.get(PAGE).content.decode()
    for button in ("_preview", "_save"):
        form = {**FORM, "quota-0-weight": "4", button: "yes"}
        assert viewer.post(PAGE, form).status_code == 403
    assert tenant().quota.weight == 1


def test_staff_without_a_right_cannot_look(client: Client):
    client.force_login(User.objects.create_user("new", is_staff=True))
    page = reverse("admin:tenants_tenant_preview_pause", args=["t2"])
    assert client.get(page).status_code == 403


def test_an_unknown_tenant_has_no_preview(browser: Client):
    page = reverse("admin:tenants_tenant_preview_pause", args=["t9"])
    assert browser.get(page).status_code == 404


# --- Pools ----------------------------------------------------------------------------


def test_the_form_shows_the_pool_in_force_and_suggests_those_there_are(
    browser: Client,
):
    make_worker("big", slots=3)
    make_tenant("t3", pool="own")
    page = browser.get(PAGE).content.decode()
    assert 'list="known-pools"' in page
    for pool in ("big", "own", "shared"):
        assert f'<option value="{pool}">' in page
    assert "no worker" in page  # nobody serves the tier's pool
    make_worker("shared", slots=2)
    page = browser.get(PAGE).content.decode()
    assert "no worker" not in page
    assert "2 slots" in page


@pytest.mark.parametrize(("pool", "is_warned"), [("big", False), ("typo", True)])
def test_saving_a_pool_that_nobody_serves_warns(
    browser: Client, pool: str, is_warned: bool
):
    make_worker("big")
    form = {**FORM, "pool": pool, "_save": "yes"}
    page = browser.post(PAGE, form, follow=True).content.decode()
    assert tenant().pool == pool
    assert ("No worker serves the pool typo" in page) is is_warned


def test_a_pool_s_name_is_checked(browser: Client):
    answer = browser.post(PAGE, {**FORM, "pool": "a b", "_save": "yes"})
    assert "Use 1 to 63 lower-case letters" in answer.content.decode()
    assert tenant().pool == ""


def test_a_tier_s_pool_is_offered_and_warned_of(browser: Client):
    page = "/admin/tenants/tier/standard/change/"
    assert 'list="known-pools"' in browser.get(page).content.decode()
    form = {"name": "standard", "weight": "1", "default_pool": "nobody"}
    after = browser.post(page, form, follow=True).content.decode()
    assert "No worker serves the pool nobody" in after
    assert "no worker" in browser.get("/admin/tenants/tier/").content.decode()


def test_the_list_shows_pools_in_force(browser: Client):
    make_worker("shared", slots=2)
    with all_tenants(reason="test"):
        Tenant.objects.filter(pk="t2").update(pool="own")
    page = browser.get("/admin/tenants/tenant/").content.decode()
    assert "own <span" in page
    assert "2 slots" in page
    assert "no worker" in page


def test_a_tenant_with_an_underscore_has_a_preview(browser: Client):
    make_tenant("a_b")
    form = {**FORM, "slug": "a_b", "quota-0-tenant": "a_b", "quota-0-weight": "4"}
    answer = browser.post(
        "/admin/tenants/tenant/a_5Fb/change/", {**form, "_preview": "yes"}
    )
    assert answer.status_code == 200
    assert "Preview of a_b" in answer.content.decode()
