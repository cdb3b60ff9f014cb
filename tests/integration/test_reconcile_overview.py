"""The overview's figures against a count by hand, and who may see the page."""

import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion.models import IngestedFile
from reconciliation import selectors
from reconciliation.days import Day, by_type, currencies, days
from reconciliation.measures import BUCKET_NAMES, ageing
from reconciliation.models import FileDay, Profile, Reconciliation
from reconciliation.selectors import IN_TIME_HOURS, Choice
from reconciliation.terms import terms_of
from tenants.scoping import all_tenants
from tests.arrange import make_admin, make_file, make_job, make_tenant
from tests.reconciled import DAY, make_file_day, make_mismatch, make_profile

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 20, 10, tzinfo=UTC)
SPAN = Choice(first=DAY - timedelta(days=3), last=DAY + timedelta(days=3))
TYPES = ("amount", "missing_external", "missing_internal", "fee")
STATES = ("open", "assigned", "resolved", "approved", "closed")


@pytest.fixture
def profiles() -> list[Profile]:
    """Profiles of two tenants with random days, files and mismatches."""
    draw = Random(8)
    for slug in ("t1", "t2"):
        make_tenant(slug)
    made = [
        make_profile("t1", external_sources=["UPI", "MT940"]),
        make_profile("t1", name="evening", cutoff="18:00"),
        make_profile("t2", time_zone="America/New_York"),
    ]
    for profile in made:
        with all_tenants(reason="test"):
            profile.refresh_from_db()
        _bring(draw, profile)
        _disagree(draw, profile)
    return made


def _bring(draw: Random, profile: Profile) -> None:
    zone = ZoneInfo(profile.time_zone)
    for number, source in enumerate(["LEDGER", "UPI", "MT940"] * 5):
        day = DAY + timedelta(days=draw.randint(-5, 5))
        cutoff = datetime.combine(day, time(0), tzinfo=zone)
        loaded = cutoff + timedelta(hours=draw.choice([12, 36, 47, 49, 60]))
        file = make_file(
            profile.tenant_id,
            job=make_job(profile.tenant_id),
            source=source,
            path=f"{profile.pk}/{number}.csv",
            loaded_at=loaded if draw.random() < 0.9 else None,
        )
        side = "I" if source == "LEDGER" else "E"
        for currency in draw.sample(["INR", "USD"], draw.randint(1, 2)):
            make_file_day(
                profile,
                file.pk,
                day=day,
                side=side,
                currency=currency,
                rows=draw.randint(0, 9),
                amount=Decimal(draw.randint(100, 900)),
            )


def _disagree(draw: Random, profile: Profile) -> None:
    for number in range(60):
        state = draw.choice(STATES)
        is_told = state in ("resolved", "approved", "closed")
        made = {
            "mismatch_type": draw.choice(TYPES),
            "state": state,
            "day": draw.choice(
                [None, *(DAY + timedelta(days=n) for n in range(-5, 6))]
            ),
            "internal_id": draw.choice([None, 1, 2, 3, 4]),
            "external_id": number,
            "amount": draw.choice([None, Decimal(draw.randint(1, 99))]),
            "currency": draw.choice(["INR", "USD"]),
            "created_at": NOW - timedelta(hours=draw.randint(0, 3000)),
            "resolved_at": NOW - timedelta(hours=draw.randint(0, 200)),
            "reason_code": draw.choice(["", "timing"]) if is_told else "",
        }
        if state == "approved":
            made |= {"resolved_by": "a", "approved_by": "b"}
        make_mismatch(profile, **made)


# --- Counted by hand ------------------------------------------------------------------


def all_of(model: Any, choice: Choice) -> list[Any]:
    with all_tenants(reason="test"):
        rows = list(model.objects.select_related("profile"))
    return [
        row
        for row in rows
        if choice.tenant in (None, row.tenant_id)
        and choice.profile in (None, row.profile_id)
    ]


def in_span(row: Any, choice: Choice) -> bool:
    return row.day is not None and choice.first <= row.day <= choice.last


def by_hand(choice: Choice) -> dict[date, Day]:
    found = {day: Day(day) for day in choice.days}
    with all_tenants(reason="test"):
        files = {file.pk: file for file in IngestedFile.objects.all()}
    brought: dict[date, set[tuple[int, str]]] = defaultdict(set)
    for row in (r for r in all_of(FileDay, choice) if in_span(r, choice)):
        day, file = found[row.day], files[row.file_id]
        ends = _end_of(row.profile, row.day) + timedelta(hours=IN_TIME_HOURS)
        if file.loaded_at is not None and file.loaded_at <= ends:
            day.in_time += row.rows
        if row.side == "I":
            day.ours += row.rows
            day.amounts[row.currency] += row.amount
        else:
            day.theirs += row.rows
        if row.rows and file.source in row.profile.external_sources:
            brought[row.day].add((row.profile_id, file.source))
    expected = sum(len(each.external_sources) for each in profiles_of(choice))
    for day in found.values():
        day.expected, day.brought = expected, len(brought[day.day])
    _by_hand_told(found, choice)
    return found


def profiles_of(choice: Choice) -> list[Profile]:
    with all_tenants(reason="test"):
        everyone = list(Profile.objects.all())
    return [
        each
        for each in everyone
        if choice.tenant in (None, each.tenant_id) and choice.profile in (None, each.pk)
    ]


def _end_of(profile: Profile, day: date) -> datetime:
    """Return the first moment of the next day, found minute by minute."""
    terms = terms_of(profile, ())
    at = datetime.combine(day, time(0), tzinfo=UTC) - timedelta(days=1)
    while terms.day(at) <= day:
        at += timedelta(minutes=30)
    return at


def _by_hand_told(found: dict[date, Day], choice: Choice) -> None:
    standing: dict[tuple[date, str, int, int], Decimal] = {}
    for row in (r for r in all_of(Reconciliation, choice) if in_span(r, choice)):
        day = found[row.day]
        day.told += 1
        is_told = row.state in ("resolved", "approved") and row.reason_code
        day.explained += bool(is_told or row.state == "closed")
        if row.internal_id is not None and row.state != "closed":
            place = (row.day, row.currency, row.profile_id, row.internal_id)
            amount = row.amount or Decimal(0)
            standing[place] = max(standing.get(place, Decimal(0)), amount)
    for (of_day, currency, _, _), amount in standing.items():
        found[of_day].standing += 1
        found[of_day].at_stake[currency] += amount


def choices(profiles: list[Profile]) -> list[Choice]:
    first, last = SPAN.first, SPAN.last
    return [
        SPAN,
        Choice(first=first, last=last, tenant="t1"),
        Choice(first=first, last=last, profile=profiles[1].pk),
        Choice(first=first, last=last, tenant="t2", profile=profiles[1].pk),
    ]


def test_the_days_are_those_counted_by_hand(profiles: list[Profile]):
    for choice in choices(profiles):
        with all_tenants(reason="test"):
            found = {day.day: day for day in days(choice)}

        expected = by_hand(choice)

        for day, told in found.items():
            assert told.amounts == expected[day].amounts
            assert told == expected[day], (choice, day)


def test_a_currency_is_never_added_to_another(profiles: list[Profile]):
    with all_tenants(reason="test"):
        found = days(SPAN)

    assert currencies(found) == ["INR", "USD"]
    for day in found:
        assert set(day.at_stake) <= {"INR", "USD"}


def test_ages_are_those_counted_by_hand(profiles: list[Profile]):
    for choice in choices(profiles):
        with all_tenants(reason="test"):
            found = ageing(selectors.open_by_age(choice, now=NOW))

        expected: dict[str, list[tuple[int, Decimal]]] = defaultdict(list)
        for row in all_of(Reconciliation, choice):
            if row.state in ("open", "assigned"):
                terms = terms_of(row.profile, ())
                since = row.day or terms.day(row.created_at)
                age = max(0, (terms.day(NOW) - since).days)
                expected[row.currency].append((age, row.amount or Decimal(0)))
        assert [row.currency for row in found] == sorted(expected)
        for row in found:
            _compare_ages(row, expected[row.currency])


def _compare_ages(row: Any, expected: list[tuple[int, Decimal]]) -> None:
    bounds = [(0, 1), (2, 7), (8, 30), (31, 90), (91, 10**6)]
    groups = [[a for a in expected if low <= a[0] <= top] for low, top in bounds]
    assert len(BUCKET_NAMES) == len(bounds)
    assert row.counts == [len(group) for group in groups]
    assert row.amounts == [sum(amount for _, amount in group) for group in groups]
    weight = sum(amount for _, amount in expected)
    average = sum(age * amount for age, amount in expected) / weight
    assert row.average_days == pytest.approx(float(average))


def test_types_and_movements_are_those_counted_by_hand(profiles: list[Profile]):
    for choice in choices(profiles):
        with all_tenants(reason="test"):
            types = by_type(choice)
            moved = {row.day: row for row in selectors.moved_by_day(choice)}

        rows = all_of(Reconciliation, choice)
        told: dict[str, Counter[str]] = defaultdict(Counter)
        found: Counter[date] = Counter()
        settled: Counter[date] = Counter()
        for row in rows:
            if in_span(row, choice):
                told[row.mismatch_type][row.state] += 1
            zone = ZoneInfo(row.profile.time_zone)
            found[row.created_at.astimezone(zone).date()] += 1
            if row.state in ("resolved", "approved", "closed"):
                settled[row.resolved_at.astimezone(zone).date()] += 1
        assert types == told
        for day in choice.days:
            row = moved.get(day)
            assert (row.found if row else 0) == found[day]
            assert (row.settled if row else 0) == settled[day]


def test_a_day_without_rows_has_no_rate():
    make_tenant("t1")
    make_profile("t1")
    with all_tenants(reason="test"):
        (day,) = days(Choice(first=DAY, last=DAY))

    assert (day.match_rate, day.timeliness, day.explainability) == (None, None, None)
    assert (day.completeness, day.has_both_sides) == (0.0, False)


# --- The page -------------------------------------------------------------------------


def url() -> str:
    return reverse("admin:reconciliation_overview")


@pytest.fixture
def today() -> date:
    return timezone.localtime().date()


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def test_the_page_shows_one_tenant_and_one_currency(browser: Client, today: date):
    for slug, currency, amount in (("t1", "INR", 300), ("t2", "USD", 70)):
        make_tenant(slug)
        profile = make_profile(slug, name=f"profile of {slug}")
        file = make_file(slug, job=make_job(slug), source="LEDGER")
        make_file_day(profile, file.pk, day=today, currency=currency, amount=amount)
        make_mismatch(
            profile, day=today, currency=currency, amount=amount, internal_id=1
        )

    page = browser.get(url(), {"tenant": "t1"})

    text = page.content.decode()
    assert "profile of t1" in text
    assert "profile of t2" not in text
    assert [row["currency"] for row in page.context["ages"]] == ["INR"]
    assert page.context["days"][0]["match_rate"] == "90.00%"
    assert "of 10 rows of ours" in text
    value = json.loads(page.context["charts"][1]["data"])["datasets"]
    assert [each["data"][-1] for each in value] == [0.0, 300.0]
    both = browser.get(url())
    assert len(both.context["currencies"]) == 2


def test_figures_lead_to_the_mismatches_that_they_count(browser: Client, today: date):
    make_tenant("t1")
    profile, other = make_profile("t1"), make_profile("t1", name="other")
    for number, state in enumerate(("open", "closed"), start=1):
        make_mismatch(profile, day=today, state=state, internal_id=number)
    make_mismatch(other, day=today, internal_id=3)
    make_mismatch(profile, day=today - timedelta(days=40), internal_id=4)

    page = browser.get(f"{url()}?tenant=t1&profile={profile.pk}").context

    now = next(card for card in page["cards"] if "url" in card)
    for figure, address in (
        (now["value"], now["url"]),
        (page["days"][0]["told"], page["days"][0]["url"]),
    ):
        assert figure == "2"
        rows = browser.get(address).context["cl"].result_list
        assert len(rows) == 2
        assert {row.profile for row in rows} == {profile}
    assert not page["days"][1]["url"]


@pytest.mark.parametrize(
    "query",
    [
        {"days": "x", "profile": "²", "currency": "rupees"},
        {"days": "7", "profile": "9" * 30, "tenant": "nobody"},
        {"tenant": "<script>alert(1)</script>"},
    ],
)
def test_what_nothing_can_match_is_no_error(browser: Client, query: dict[str, str]):
    page = browser.get(url(), query)

    assert page.status_code == 200
    assert "<script>alert(1)" not in page.content.decode()


def test_days_of_the_past_are_shown(browser: Client, today: date):
    make_tenant("t1")
    profile = make_profile("t1")
    file = make_file("t1", job=make_job("t1"), source="LEDGER")
    for currency in ("INR", "USD"):
        make_file_day(profile, file.pk, day=DAY, currency=currency)

    asked = {"tenant": "t1", "days": "7", "until": str(DAY), "currency": "USD"}
    page = browser.get(url(), asked)

    shown = [row["day"] for row in page.context["days"]]
    assert shown == [str(DAY - timedelta(days=shift)) for shift in range(7)]
    assert page.context["days"][0]["ours"] == "20"
    assert f'name="until" value="{DAY}" max="{today}"' in page.content.decode()
    assert page.context["latest"] is None
    for _, link, _ in page.context["spans"] + page.context["currencies"]:
        assert f"until={DAY}" in link
        assert "tenant=t1" in link
    assert [is_chosen for *_, is_chosen in page.context["spans"]] == [
        True,
        False,
        False,
    ]


def test_a_span_without_rows_leads_to_the_latest_that_there_are(
    browser: Client, today: date
):
    for slug in ("t1", "t2", "t3"):
        make_tenant(slug)
    profile, other = make_profile("t1"), make_profile("t2")
    make_profile("t3")
    for shift, owner in ((60, profile), (50, profile), (45, other), (-1, profile)):
        file = make_file(
            owner.tenant_id, job=make_job(owner.tenant_id), path=f"{shift}"
        )
        make_file_day(owner, file.pk, day=today - timedelta(days=shift))
    make_file_day(profile, file.pk, day=today - timedelta(days=40), rows=0)
    latest = today - timedelta(days=50)

    page = browser.get(f"{url()}?profile={profile.pk}&days=7")

    assert f"The latest rows are of {latest}: " in page.content.decode()
    day, link = page.context["latest"]
    assert day == latest
    led = browser.get(link).context
    assert (led["days"][0]["day"], led["days"][0]["ours"]) == (str(latest), "10")
    assert (led["choice"].profile, led["span"], led["latest"]) == (profile.pk, 7, None)
    for asked, ago in (({"tenant": "t2"}, 45), ({}, 45), ({"tenant": "t3"}, None)):
        found = browser.get(url(), asked).context["latest"]
        assert (found and (today - found[0]).days) == ago


@pytest.mark.parametrize(
    ("until", "told"),
    [
        ("x", "Until: write it like 2026-01-31."),
        ("2026-02-30", "Until: write it like 2026-01-31."),
        ("0001-01-01", "is too long ago"),
        ("9999-12-31", "is still to come"),
    ],
)
def test_a_day_that_no_span_ends_with_is_told(
    browser: Client, today: date, until: str, told: str
):
    page = browser.get(url(), {"until": until})

    assert told in page.content.decode()
    assert page.context["choice"].last == today
    assert not any("until" in link for _, link, _ in page.context["spans"])


def test_what_there_is_not_is_told(browser: Client):
    make_tenant("t1")

    for tenant, told in (
        ("t9", "There is no tenant &#x27;t9&#x27;."),
        ("t1", "No profile says what is compared with what for t1."),
        ("", "No profile says what is compared with what."),
    ):
        assert told in browser.get(url(), {"tenant": tenant}).content.decode()
    make_profile("t1")
    page = browser.get(url(), {"tenant": "t1"}).content.decode()
    assert "No profile says" not in page
    assert "There is no" not in page


def test_who_may_not_see_mismatches_sees_no_figures(client: Client):
    person = User.objects.create_user("new", is_staff=True)
    client.force_login(person)
    assert client.get(url()).status_code == 403

    right = Permission.objects.get(codename="view_reconciliation")
    person.user_permissions.add(right)
    assert client.get(url()).status_code == 200
