"""What operators do in the admin: retry, pause, revoke, create, download."""

from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion import storage
from jobs import dead_messages
from jobs.dead_messages import Found
from jobs.models import DeadMessage, Job, Switch
from jobs.switches import switch_set
from quotas.models import Quota
from tenants.models import ApiKey, Tenant
from tenants.scoping import all_tenants
from tenants.selectors import tenant_get
from tenants.services import api_key_create, tenant_switch, tenant_update
from tests.arrange import make_admin, make_dead_job, make_file, make_tenant, reread
from tests.integration.forms import form_of

pytestmark = pytest.mark.django_db

DEAD_LETTERS = "/admin/jobs/deadletter/"
YES = {"confirmed": "yes"}


@pytest.fixture(autouse=True)
def tenants() -> None:
    make_tenant("t1")
    make_tenant("t2")


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def states(*jobs: Job) -> list[str]:
    return [reread(job).state for job in jobs]


def said() -> list[str]:
    return [entry.change_message for entry in LogEntry.objects.order_by("id")]


# --- Dead letters ---------------------------------------------------------------------


def test_selected_dead_letters_are_retried_after_a_question(browser: Client):
    chosen, other = make_dead_job("t1"), make_dead_job("t1")
    form = {"action": "retry_selected", "_selected_action": [str(chosen.pk)]}
    asked = browser.post(DEAD_LETTERS, form)
    assert "Queue 1 dead letter(s) again?" in asked.content.decode()
    assert states(chosen, other) == ["dead", "dead"]

    done = browser.post(DEAD_LETTERS, {**form, **YES}, follow=True)
    assert "1 dead letter(s) queued again." in done.content.decode()
    assert states(chosen, other) == ["queued", "dead"]
    assert said() == ["Retried."]


def test_all_that_match_the_filter_are_retried_and_no_other(browser: Client):
    same = [make_dead_job(slug, fingerprint="aaaa") for slug in ("t1", "t2")]
    other = make_dead_job("t1", fingerprint="bbbb")
    page = f"{DEAD_LETTERS}retry/?fingerprint=aaaa"
    assert "Queue 2 dead letter(s) again?" in browser.get(page).content.decode()
    browser.post(page, YES)
    assert states(*same, other) == ["queued", "queued", "dead"]
    assert len(said()) == 2


def test_only_what_the_list_shows_is_retried_whatever_is_posted(browser: Client):
    shown = make_dead_job("t1", fingerprint="aaaa")
    posted = make_dead_job("t1", fingerprint="bbbb")
    form = {"action": "retry_selected", "_selected_action": [str(posted.pk)], **YES}
    browser.post(f"{DEAD_LETTERS}?fingerprint=aaaa", form)
    assert states(shown, posted) == ["dead", "dead"]


def test_one_dead_letter_is_retried_from_its_page(browser: Client):
    job, other = make_dead_job("t1"), make_dead_job("t1")
    page = browser.get(f"{DEAD_LETTERS}{job.pk}/change/").content.decode()
    retry = f"{DEAD_LETTERS}{job.pk}/retry/"
    assert retry in page
    browser.get(retry)
    assert states(job) == ["dead"]
    story = browser.post(retry, YES, follow=True).content.decode()
    assert states(job, other) == ["queued", "dead"]
    assert story.index("Attempt 1") < story.index("by operator")


def test_a_filter_that_does_not_exist_retries_nothing(browser: Client):
    job = make_dead_job("t1")
    done = browser.post(f"{DEAD_LETTERS}retry/?fingerprnt=aaaa", YES, follow=True)
    assert "nothing was done" in done.content.decode()
    assert states(job) == ["dead"]


@pytest.mark.parametrize("name", ["retry", "discard", "restore"])
def test_nothing_is_decided_about_a_job_that_does_not_exist(browser: Client, name: str):
    address = f"{DEAD_LETTERS}{UUID(int=7)}/{name}/"
    assert browser.get(address).status_code == 404
    assert browser.post(address, YES | {"reason": "x"}).status_code == 404


def test_a_job_that_does_not_exist_is_not_cancelled(browser: Client):
    address = f"/admin/jobs/job/{UUID(int=7)}/cancel/"
    assert browser.post(address, YES).status_code == 404


@pytest.mark.parametrize("where", ["", "retry/", "{job}/retry/"])
def test_a_viewer_cannot_retry(client: Client, where: str):
    job = make_dead_job("t1")
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_deadletter"))
    client.force_login(viewer)
    form = {"action": "retry_selected", "_selected_action": [str(job.pk)], **YES}
    client.post(DEAD_LETTERS + where.format(job=job.pk), form)
    assert states(job) == ["dead"]
    assert said() == []


def test_dead_letters_are_grouped_by_cause(browser: Client):
    for fingerprint in ("aaaa", "aaaa", "bbbb"):
        make_dead_job("t1", fingerprint=fingerprint)
    groups = browser.get(DEAD_LETTERS).context["groups"]
    assert [(group.fingerprint, group.jobs) for group, _, _ in groups] == [
        ("aaaa", 2),
        ("bbbb", 1),
    ]
    filtered = browser.get(DEAD_LETTERS, {"fingerprint": "bbbb"}).context
    assert filtered["cl"].result_count == 1


# --- Tenants --------------------------------------------------------------------------


def tenant(slug: str) -> Tenant:
    with all_tenants(reason="test"):
        found: Tenant = Tenant.objects.select_related("quota").get(pk=slug)
    return found


def test_a_pause_needs_a_reason_and_is_written_down(browser: Client):
    pause = reverse("admin:tenants_tenant_pause", args=["t1"])
    form = {"_form_submitted": "true"}
    assert "This field is required" in browser.post(pause, form).content.decode()
    assert not tenant("t1").is_paused

    answer = browser.post(pause, {**form, "reason": "the bank called"})
    assert answer.headers["HX-Redirect"] == "/admin/tenants/tenant/t1/change/"
    assert tenant("t1").is_paused
    assert tenant("t1").paused_reason == "the bank called"
    assert "the bank called" in browser.get("/admin/tenants/tenant/").content.decode()

    browser.post(reverse("admin:tenants_tenant_resume", args=["t1"]), form)
    assert not tenant("t1").is_paused
    assert said() == ["Paused: the bank called", "Resumed."]
    assert not tenant("t2").is_paused


QUOTA = {"quota-TOTAL_FORMS": "1", "quota-INITIAL_FORMS": "0"}


def test_a_new_tenant_has_a_quota_even_with_the_defaults(browser: Client):
    fields = {"slug": "t3", "name": "", "tier": "standard", "pool": ""}
    form = {**fields, **QUOTA, "quota-0-weight": "1"}
    assert browser.post("/admin/tenants/tenant/add/", form).status_code == 302
    assert tenant("t3").quota.weight == Decimal(1)


def test_a_weight_is_changed_and_a_slug_is_not(browser: Client):
    form = {
        **{"slug": "other", "name": "New", "tier": "standard", "pool": ""},
        **{**QUOTA, "quota-INITIAL_FORMS": "1", "quota-0-tenant": "t1"},
        "quota-0-weight": "2.5",
    }
    page = "/admin/tenants/tenant/t1/change/"
    assert browser.post(page, form).status_code == 302
    assert tenant("t1").quota.weight == Decimal("2.5")
    with all_tenants(reason="test"):
        assert set(Tenant.objects.values_list("slug", flat=True)) == {"t1", "t2"}
        assert Quota.objects.count() == 2


@pytest.mark.parametrize("is_on", [True, False])
def test_saving_a_tenant_leaves_a_switch_that_was_turned_meanwhile(
    browser: Client, is_on: bool
):
    page = "/admin/tenants/tenant/t1/change/"
    with all_tenants(reason="test"):
        tenant_switch(slug="t1", is_accepting=is_on, is_scheduling=is_on)
    form = form_of(browser.get(page).content.decode())
    with all_tenants(reason="test"):
        tenant_switch(slug="t1", is_accepting=not is_on)
        tenant_update(slug="t1", pool="own")
    assert browser.post(page, form | {"name": "New"}).status_code == 302
    saved = tenant("t1")
    assert (saved.name, saved.pool) == ("New", "own")
    assert (saved.is_accepting, saved.is_scheduling) == (not is_on, is_on)


def test_a_switch_is_turned_on_the_page(browser: Client):
    page = "/admin/tenants/tenant/t1/change/"
    form = form_of(browser.get(page).content.decode())
    del form["is_accepting"]
    assert browser.post(page, form).status_code == 302
    assert (tenant("t1").is_accepting, tenant("t1").is_scheduling) == (False, True)
    form = form_of(browser.get(page).content.decode())
    assert browser.post(page, form | {"is_accepting": "on"}).status_code == 302
    assert tenant("t1").is_accepting


def test_saving_a_kinds_switches_leaves_one_that_was_turned_meanwhile(browser: Client):
    with all_tenants(reason="test"):
        switch = switch_set(scope="kind", name="sleep", is_scheduling=False)
    page = f"/admin/jobs/switch/{switch.pk}/change/"
    form = form_of(browser.get(page).content.decode())
    with all_tenants(reason="test"):
        switch_set(scope="kind", name="sleep", is_accepting=False)
    assert browser.post(page, form | {"reason": "slow"}).status_code == 302
    with all_tenants(reason="test"):
        saved = Switch.objects.get()
    assert (saved.is_accepting, saved.is_scheduling) == (False, False)
    assert (saved.reason, saved.changed_at > switch.changed_at) == ("slow", True)
    on = {"is_accepting": "on", "is_scheduling": "on"}
    form = form_of(browser.get(page).content.decode()) | on
    assert browser.post(page, form).status_code == 302
    with all_tenants(reason="test"):
        assert Switch.objects.get().reason == ""


def test_turning_one_switch_of_a_tenant_does_not_turn_the_other_back(
    monkeypatch: pytest.MonkeyPatch,
):
    def read_before_another_turns(*, slug: str) -> Tenant:
        found = tenant_get(slug=slug)
        Tenant.objects.filter(pk=slug).update(is_scheduling=False, name="New")
        return found

    monkeypatch.setattr("tenants.services.tenant_get", read_before_another_turns)
    with all_tenants(reason="test"):
        tenant_switch(slug="t1", is_accepting=False)
        assert (tenant("t1").is_accepting, tenant("t1").is_scheduling) == (False, False)
        tenant_update(slug="t1", pool="own")
    assert (tenant("t1").pool, tenant("t1").name) == ("own", "New")


# --- API keys -------------------------------------------------------------------------


def test_a_new_key_is_shown_once(browser: Client):
    form = {"tenant": "t1", "name": "nightly", "expires_at_0": "", "expires_at_1": ""}
    answer = browser.post("/admin/tenants/apikey/add/", form)
    with all_tenants(reason="test"):
        key = ApiKey.objects.get()
    secret = f"fq_live_{key.pk}_"
    assert secret in answer.content.decode()
    assert "no-store" in answer.headers["Cache-Control"]
    full = answer.context["secret"]
    for page in ("/admin/tenants/apikey/", f"/admin/tenants/apikey/{key.pk}/change/"):
        assert full not in browser.get(page).content.decode()


def test_keys_are_revoked_after_a_question(browser: Client):
    with all_tenants(reason="test"):
        keys = [api_key_create(slug="t1", now=timezone.now())[0] for _ in range(2)]
    form = {"action": "revoke_selected", "_selected_action": [keys[0].pk]}
    assert "Revoke 1 key(s)?" in (
        browser.post("/admin/tenants/apikey/", form).content.decode()
    )
    browser.post("/admin/tenants/apikey/", {**form, **YES})
    with all_tenants(reason="test"):
        live = ApiKey.objects.filter(revoked_at=None)
        assert [key.pk for key in live] == [keys[1].pk]
    assert said() == ["Revoked."]


# --- Artifacts ------------------------------------------------------------------------


@pytest.fixture
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileSystemStorage:
    """An empty folder as the object store."""
    folder = FileSystemStorage(location=tmp_path)
    monkeypatch.setattr(storage, "storages", {"default": folder})
    return folder


def test_the_rejects_of_a_file_are_streamed(
    browser: Client, objects: FileSystemStorage
):
    objects.save("tenants/t1/rejects/1.csv", ContentFile(b"line,column\n3,amount\n"))
    file = make_file("t1", job=make_dead_job("t1"), rejects_path="rejects/1.csv")
    url = reverse("admin:ingestion_ingestedfile_download", args=[file.pk, "rejects"])
    answer = browser.get(url)
    assert answer.getvalue() == b"line,column\n3,amount\n"
    name = f"rejects-{file.pk}.csv"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_only_a_file_s_own_artifacts_are_served(
    browser: Client, objects: FileSystemStorage
):
    objects.save("tenants/t1/in/upi.csv", ContentFile(b"secret"))
    file = make_file("t1", job=make_dead_job("t1"))
    for what in ("rejects", "conflicts", "path"):
        url = f"/admin/ingestion/ingestedfile/{file.pk}/download/{what}/"
        assert browser.get(url).status_code == 404, what


def test_a_missing_artifact_is_said(browser: Client, objects: FileSystemStorage):
    file = make_file("t1", job=make_dead_job("t1"), rejects_path="rejects/1.csv")
    url = reverse("admin:ingestion_ingestedfile_download", args=[file.pk, "rejects"])
    page = browser.get(url, follow=True).content.decode()
    assert "The store has no tenants/t1/rejects/1.csv." in page


def test_staff_without_the_right_get_no_artifact(client: Client):
    file = make_file("t1", job=make_dead_job("t1"), rejects_path="rejects/1.csv")
    client.force_login(User.objects.create_user("new", is_staff=True))
    url = reverse("admin:ingestion_ingestedfile_download", args=[file.pk, "rejects"])
    assert client.get(url).status_code == 403


# --- Safety ---------------------------------------------------------------------------


def test_a_view_that_fails_leaves_nothing_written(
    browser: Client, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("taskqueue_site.tenants_admin.TenantAdmin._done", fail)
    browser.raise_request_exception = False
    pause = reverse("admin:tenants_tenant_pause", args=["t1"])
    form = {"_form_submitted": "true", "reason": "why"}
    assert browser.post(pause, form).status_code == 500
    assert not tenant("t1").is_paused


# --- Slugs that an address writes in another way --------------------------------------


def test_a_tenant_with_an_underscore_is_previewed_paused_and_resumed(browser: Client):
    make_tenant("a_b")
    page = "/admin/tenants/tenant/a_5Fb/"
    assert "preview_pause" in browser.get(f"{page}change/").content.decode()
    assert browser.get(f"{page}preview_pause/").status_code == 200

    form = {"_form_submitted": "true", "reason": "the bank called"}
    browser.post(f"{page}pause/", form)
    assert tenant("a_b").is_paused
    assert f"{page}resume/" in browser.get(f"{page}change/").content.decode()
    browser.post(f"{page}resume/", form)
    assert not tenant("a_b").is_paused


@pytest.mark.parametrize("action", ["pause", "resume", "preview_pause"])
def test_a_tenant_that_does_not_exist_is_not_found(browser: Client, action: str):
    form = {"_form_submitted": "true", "reason": "none"}
    address = f"/admin/tenants/tenant/nosuch/{action}/"
    assert browser.post(address, form).status_code == 404


# --- What no form of ours sends -------------------------------------------------------

NO_QUOTA_CHANGE = {
    "quota-TOTAL_FORMS": "1",
    "quota-INITIAL_FORMS": "1",
    "quota-0-tenant": "t1",
    "quota-0-weight": "1",
}


@pytest.mark.parametrize("chosen", ["x", "", "99999999999999999999"])
def test_choosing_what_is_no_dead_letter_is_a_bad_request(browser: Client, chosen: str):
    form = {"action": "retry_selected", "_selected_action": chosen, "confirmed": "1"}
    assert browser.post("/admin/jobs/deadletter/", form).status_code == 400


@pytest.mark.parametrize("number", ["sNaN", "NaN", "-sNaN", "Infinity"])
@pytest.mark.parametrize("field", ["weight", "rate_per_second"])
def test_what_is_no_number_is_named_in_the_form(
    browser: Client, field: str, number: str
):
    with all_tenants(reason="test"):
        Quota.objects.update(rate_per_second=1)
    form = {"name": "", "tier": "standard", "pool": "", **NO_QUOTA_CHANGE}
    form[f"quota-0-{field}"] = number
    answer = browser.post("/admin/tenants/tenant/t1/change/", form)
    assert answer.status_code == 200
    assert "Enter a number." in answer.content.decode()


def test_a_name_is_one_line_in_the_form_as_well(browser: Client):
    form = {"name": "a\x1b[31m", "tier": "standard", "pool": ""}
    answer = browser.post("/admin/tenants/tenant/t1/change/", form | NO_QUOTA_CHANGE)
    assert answer.status_code == 200
    assert "Use one line of at most 200 printable" in answer.content.decode()


# --- Dead messages --------------------------------------------------------------------

DEAD_MESSAGES = "/admin/jobs/deadmessage/"


def make_dead_message(body: bytes = b"<script>\x00\xff") -> DeadMessage:
    dead_messages.keep(
        Found(
            queue="jobs.shared",
            reason="undecodable",
            detail="<b>bold</b>",
            body=body,
            content_type="a\0b",
            content_encoding="",
            headers={"<i>": "\0\ud800", "big": "x" * 100_000},
        )
    )
    return DeadMessage.objects.get(sha256=sha256(body).hexdigest())


def test_a_dead_message_is_shown_byte_by_byte_and_harmless(browser: Client):
    message = make_dead_message()
    page = browser.get(f"{DEAD_MESSAGES}{message.pk}/change/").content.decode()
    assert "3c 73 63 72 69 70 74 3e 00 ff" in page
    assert "&lt;script&gt;.." in page
    assert "<script>.." not in page
    assert "&lt;b&gt;bold" in page
    assert "<b>bold" not in page
    big = make_dead_message(b"y" * 200_000)
    assert (len(big.body), big.size) == (65_536, 200_000)
    page = browser.get(f"{DEAD_MESSAGES}{big.pk}/change/").content.decode()
    assert "The first 4,096 of 200,000 bytes." in page


def test_a_dead_message_is_discarded_after_a_question_and_shown_when_it_comes_again(
    browser: Client,
):
    chosen, other = make_dead_message(b"1"), make_dead_message(b"2")
    form = {"action": "discard_selected", "_selected_action": [str(chosen.pk)]}
    asked = browser.post(DEAD_MESSAGES, form).content.decode()
    assert "Discard 1 dead message(s)?" in asked
    assert listed(browser) == {chosen.pk, other.pk}
    browser.post(DEAD_MESSAGES, {**form, **YES})
    assert listed(browser) == {other.pk}
    assert listed(browser, discarded="yes") == {chosen.pk}
    assert said() == ["Discarded."]
    chosen.refresh_from_db()
    assert chosen.discarded_by == "operator"
    assert make_dead_message(b"1").seen_count == 2
    assert listed(browser) == {chosen.pk, other.pk}


def listed(browser: Client, **filters: str) -> set[int]:
    page = browser.get(DEAD_MESSAGES, filters)
    return {row.pk for row in page.context["cl"].result_list}


def test_a_viewer_cannot_discard_a_dead_message(client: Client):
    message = make_dead_message()
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_deadmessage"))
    client.force_login(viewer)
    form = {"action": "discard_selected", "_selected_action": [str(message.pk)], **YES}
    client.post(DEAD_MESSAGES, form)
    message.refresh_from_db()
    assert message.discarded_at is None
