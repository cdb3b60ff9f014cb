"""The matches in the admin: suggested ones first, accepted, refused, taken apart."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from reconciliation.models import Match, Profile
from tenants.scoping import all_tenants
from tests.arrange import make_tenant
from tests.integration.reconciling import (
    OURS,
    THEIRS,
    again,
    make_match,
    make_mismatch,
    make_pair,
    make_person,
    make_profile,
    make_row,
)

pytestmark = pytest.mark.django_db

LIST = "admin:reconciliation_match_changelist"
SEE = "view_match"


@pytest.fixture
def profile() -> Profile:
    make_tenant("t1")
    return make_profile()


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_person("asha", SEE, "resolve_reconciliation"))
    return client


def url(name: str, match: Match) -> str:
    return reverse(f"admin:reconciliation_match_{name}", args=[match.pk])


def state(match: Match) -> str:
    with all_tenants(reason="test"):
        return str(Match.objects.get(pk=match.pk).state)


def found(browser: Client, **asked: Any) -> list[int]:
    answer = browser.get(reverse(LIST), asked)
    assert answer.status_code == 200
    return [match.pk for match in answer.context["cl"].result_list]


def said(answer: Any) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def accept(browser: Client, *matches: Match, **more: Any) -> Any:
    ids = [match.pk for match in matches]
    form = {"action": "accept_selected", "_selected_action": ids, **more}
    return browser.post(reverse(LIST), form, follow=True)


def test_suggested_ones_are_first_and_all_are_filtered(
    browser: Client, profile: Profile
):
    other = make_profile(name="cards")
    pair = make_pair(profile)
    old = make_match(profile, *pair)
    done = make_match(profile, *make_pair(profile), state="confirmed", rule=None)
    late = make_match(other, *make_pair(other), rule=3)
    assert found(browser) == [late.pk, old.pk, done.pk]
    for asked, expected in (
        ({"state__exact": "confirmed"}, [done.pk]),
        ({"profile__id__exact": other.pk}, [late.pk]),
        ({"rule": "hand"}, [done.pk]),
        ({"rule": "3"}, [late.pk]),
        ({"q": pair[1].txn_id}, [old.pk]),
        ({"q": str(done.pk)}, [done.pk]),
        ({"q": "nothing"}, []),
    ):
        assert found(browser, **asked) == expected, asked


def test_a_page_shows_both_sides_and_their_sums(browser: Client, profile: Profile):
    secret = "50100012345678"
    parts = [make_row(profile, OURS, amount=Decimal(n)) for n in (1000, 234)]
    theirs = make_row(profile, THEIRS, amount=Decimal(1234), txn_id=f"H:{secret}:1")
    match = make_match(profile, *parts, theirs)
    answer = browser.get(url("change", match))
    text = answer.content.decode()
    ours, other = answer.context["columns"]
    assert (ours["count"], ours["total"], other["total"]) == (
        *("2", "1,234.00 INR"),
        "1,234.00 INR",
    )
    assert secret not in text
    assert url("accept", match) in text
    assert url("refuse", match) in text
    assert url("undo", match) not in text


def test_one_is_accepted_and_undone(browser: Client, profile: Profile):
    ours, theirs = make_pair(profile)
    told, match = make_mismatch(profile, ours), make_match(profile, ours, theirs)
    assert "belong together" in browser.get(url("accept", match)).content.decode()
    assert state(match) == "suggested"
    browser.post(url("accept", match), {"confirmed": "yes", "note": ""})
    assert (state(match), again(told).state) == ("confirmed", "resolved")
    answer = browser.post(url("undo", match), {"confirmed": "yes", "why": " "})
    assert "This field is required" in answer.content.decode()
    form = {"confirmed": "yes", "why": "another one"}
    answer = browser.post(url("undo", match), form, follow=True)
    assert "another one" in answer.content.decode()
    assert (state(match), again(told).state) == ("undone", "open")
    answer = browser.post(url("undo", match), form, follow=True)
    assert "is undone, and not confirmed" in said(answer)


def test_one_is_refused(browser: Client, profile: Profile):
    match = make_match(profile, *make_pair(profile))
    answer = browser.post(
        url("refuse", match), {"confirmed": "yes", "why": "chance"}, follow=True
    )
    assert "held" in said(answer)
    assert state(match) == "undone"


def test_many_are_previewed_and_accepted(browser: Client, profile: Profile):
    ours, theirs = make_pair(profile)
    good = [make_match(profile, *make_pair(profile)), make_match(profile, ours, theirs)]
    twin = make_match(profile, ours, theirs, rule=3)
    done = make_match(profile, *make_pair(profile), state="confirmed")
    answer = accept(browser, *good, twin, done)
    assert (answer.context["count"], answer.context["left"]) == (
        3,
        "1 decided already",
    )
    assert [(s["kind"], s["count"]) for s in answer.context["stakes"]] == [
        ("upi, rule 2", "2"),
        ("upi, rule 3", "1"),
    ]
    assert [state(match) for match in good] == ["suggested"] * 2
    answer = accept(browser, *good, twin, done, confirmed="yes")
    assert said(answer) == (
        "2 accepted. Left as they were: 1 with a row that is in another match."
    )
    assert [state(match) for match in (*good, twin)] == [
        *("confirmed", "confirmed"),
        "suggested",
    ]


def test_who_may_not_is_refused(client: Client, profile: Profile):
    match = make_match(profile, *make_pair(profile))
    client.force_login(make_person("member", SEE))
    text = client.get(url("change", match)).content.decode()
    for name in ("accept", "refuse", "undo"):
        assert url(name, match) not in text
        assert client.get(url(name, match)).status_code == 403
        form = {"confirmed": "yes", "why": "x"}
        assert client.post(url(name, match), form).status_code == 403
    accept(client, match, confirmed="yes")
    assert state(match) == "suggested"
    client.force_login(make_person("blind", "resolve_reconciliation"))
    assert client.get(url("accept", match)).status_code == 403
    assert client.get(url("change", match)).status_code == 403


# --- Plain matches --------------------------------------------------------------------


def test_a_plain_match_is_found_by_its_key_and_taken_apart(
    browser: Client, profile: Profile
):
    ours, theirs = make_pair(profile)
    make_pair(profile)
    address = reverse("admin:reconciliation_match_apart")
    assert "Rows of this key" not in browser.get(address).content.decode()
    asked = {"profile": str(profile.pk), "key": "none"}
    assert "has no row with this key" in browser.get(address, asked).content.decode()
    address += f"?profile={profile.pk}&key={ours.reference_id}"
    answer = browser.get(address)
    assert [row["pk"] for row in answer.context["rows"]] == [ours.pk, theirs.pk]
    assert "told as one ambiguous mismatch" in answer.content.decode()
    chosen = [ours.pk, theirs.pk, 10**12]
    answer = browser.post(address, {"row": chosen, "why": " "})
    assert "Say why" in said(answer)
    answer = browser.post(address, {"row": [ours.pk], "why": "two payments"})
    assert "one row of ours and one of theirs" in said(answer)
    answer = browser.post(address, {"row": chosen, "why": "two payments"}, follow=True)
    assert "held" in said(answer)
    with all_tenants(reason="test"):
        match = Match.objects.get()
        rows = set(match.rows.values_list("transaction_id", "is_live"))
    assert (match.state, match.note, match.decided_by) == (
        *("undone", "two payments"),
        "asha",
    )
    assert rows == {(ours.pk, False), (theirs.pk, False)}


def test_a_plain_match_is_taken_apart_by_who_may(client: Client, profile: Profile):
    ours, theirs = make_pair(profile)
    address = reverse("admin:reconciliation_match_apart")
    address += f"?profile={profile.pk}&key={ours.reference_id}"
    client.force_login(make_person("member", SEE))
    assert client.get(address).status_code == 403
    form = {"row": [ours.pk, theirs.pk], "why": "x"}
    assert client.post(address, form).status_code == 403
    assert "Take a plain match apart" not in client.get(reverse(LIST)).content.decode()
