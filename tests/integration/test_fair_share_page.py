"""The page of fair share: what it shows, to whom, and how much of it."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from quotas.models import Quota
from taskqueue_site import fair_share
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.history import Ran, make_past_job, make_worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def viewer(client: Client) -> Client:
    """A person who may look at jobs, and no more."""
    user = User.objects.create_user("viewer", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_job"))
    client.force_login(user)
    return client


def rows(client: Client, **parameters: str) -> dict[str, dict[str, Any]]:
    """The rows shown, by tenant, in their order."""
    answer = client.get(reverse("admin:fair_share_table"), parameters)
    assert answer.status_code == 200
    pools = answer.context["pools"]
    return {row["tenant"].slug: row for _, shown in pools for row in shown}


def test_a_viewer_sees_shares_waits_and_flags(viewer: Client, now: datetime):
    make_worker(slots=4)
    make_tenant("heavy", weight=3)
    make_tenant("light")
    make_tenant("paused", is_paused=True, paused_reason="the bank called")
    make_tenant("idle")
    with all_tenants(reason="test"):
        Quota.objects.filter(tenant="light").update(
            max_in_flight=1, rate_per_second=Decimal("2.500")
        )
    for slug in ("heavy", "paused"):
        make_past_job(slug, 400, now=now)
    make_past_job("heavy", 300, Ran(150, None), now=now)
    make_past_job("light", 20, Ran(20, None), now=now)
    shown = rows(viewer)
    assert list(shown) == ["heavy", "light", "paused"]
    heavy, light, paused = shown.values()
    assert heavy["short"] == f"{heavy['entitled'] - heavy['received']:.1f}"
    assert (heavy["running"], heavy["waiting"]) == (1, "1")
    assert heavy["wait"].startswith("6 min 4")
    assert [flag["text"] for flag in light["flags"]] == ["cap 1", "2.5/s"]
    assert [flag["hint"] for flag in paused["flags"]] == ["the bank called"]
    page = viewer.get(reverse("admin:fair_share")).content.decode()
    assert "1 worker, 2 of 4 slots free" in page
    assert "1 tenant had nothing to do" in page
    assert "the bank called" in page


def test_a_tenant_that_gets_less_than_it_is_entitled_to_stands_out(
    viewer: Client, now: datetime
):
    for slug in ("served", "starved"):
        make_tenant(slug)
        make_past_job(slug, 400, now=now)
    make_past_job("served", 400, Ran(390, None), now=now)
    shown = rows(viewer, sort="shortfall")
    assert list(shown) == ["starved", "served"]
    assert (shown["starved"]["short"], shown["starved"]["is_short"]) == ("50.0", True)
    assert (shown["served"]["short"], shown["served"]["is_short"]) == ("−50.0", False)


@pytest.mark.parametrize(("window", "received"), [("1", 50), ("5", 70), ("60", 90)])
def test_the_window_is_chosen(
    viewer: Client, now: datetime, window: str, received: float
):
    make_tenant("a")
    make_tenant("b")
    for ago, long in ((30, 10), (230, 20), (2000, 150)):
        make_past_job("a", ago, Ran(ago, long), now=now)
    make_past_job("b", 40, Ran(40, 10), now=now)
    part = {"1": 10, "5": 30, "60": 180}[window]
    received = 100 * part / (part + 10)
    assert rows(viewer, window=window)["a"]["received"] == pytest.approx(received)


def test_what_an_address_asks_for_in_vain_is_the_default(viewer: Client):
    make_tenant("a")
    answer = viewer.get(
        reverse("admin:fair_share"), {"window": "7", "sort": "; DROP", "q": "%"}
    )
    choice = answer.context["choice"]
    assert (choice.window.minutes, choice.order) == (5, "wait")
    assert "No tenant has" in answer.content.decode()


def test_many_tenants_show_the_first_and_a_search_finds_the_others(
    viewer: Client, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fair_share, "MOST_ROWS", 3)
    for number in range(6):
        make_tenant(f"t{number}", name=f"Bank {number}")
        make_past_job(f"t{number}", 100 + number, now=now)
    assert list(rows(viewer)) == ["t5", "t4", "t3"]
    page = viewer.get(reverse("admin:fair_share")).content.decode()
    assert "and 3 more; find one by its name" in page
    assert list(rows(viewer, q="t1")) == list(rows(viewer, q="bank 1")) == ["t1"]
    assert list(rows(viewer, q="nobody")) == []


def test_a_search_finds_a_tenant_without_work(viewer: Client):
    make_tenant("idle")
    assert rows(viewer) == {}
    assert rows(viewer, q="idle")["idle"]["share"] is None


def test_long_lines_are_counted_up_to_a_limit(
    viewer: Client, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fair_share, "MOST_COUNTED", 3)
    monkeypatch.setattr("taskqueue_site.fair_share_page.MOST_COUNTED", 3)
    make_tenant("a")
    for _ in range(5):
        make_past_job("a", 10, now=now)
    assert rows(viewer)["a"]["waiting"] == "3+"


def test_a_tenant_that_moved_is_marked_in_its_old_pool(viewer: Client, now: datetime):
    make_tenant("a")
    make_past_job("a", 100, Ran(100, 20), now=now)
    make_past_job("a", 10, now=now)
    with all_tenants(reason="test"):
        Tenant.objects.update(pool="new")
    pools = viewer.get(reverse("admin:fair_share_table")).context["pools"]
    by_name = {pool.load.name: shown for pool, shown in pools}
    assert [flag["text"] for flag in by_name["shared"][0]["flags"]] == ["now in new"]
    assert by_name["shared"][0]["waiting"] == "0"
    assert by_name["new"][0]["waiting"] == "1"


def test_a_pool_without_workers_says_how_to_start_one(viewer: Client):
    make_tenant("a", pool="own")
    page = viewer.get(reverse("admin:fair_share")).content.decode()
    assert "manage.py worker --pool own" in page


def test_the_script_is_a_file_of_our_own(viewer: Client):
    answer = viewer.get(reverse("admin:fair_share"))
    page = answer.content.decode()
    assert '/static/taskqueue_site/fair_share.js"' in page
    assert (
        "'unsafe-inline'"
        not in (
            answer.headers["Content-Security-Policy"].partition("script-src")[2]
        ).partition(";")[0]
    )
    assert f'href="{reverse("admin:fair_share")}"' in page  # the menu leads to it
