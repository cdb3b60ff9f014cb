"""The screens of dialect profiles: the form, the trial on a sample, copies, rights."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import flatten
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from ingestion import profiles
from ingestion.dialect_forms import NEW, DialectProfileForm, inputs_of
from ingestion.models import DialectProfile, Transaction
from ingestion.profiles_admin import DialectProfileAdmin
from ingestion.trials import MAX_BYTES, SHOWN
from tenants.scoping import all_tenants
from tests.arrange import make_admin, make_tenant
from tests.dialects import HEADER, STATEMENT

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]
ADD = reverse("admin:ingestion_dialectprofile_add")
TRY = reverse("admin:ingestion_dialectprofile_try")
ROWS = f"{HEADER}\n01/04/2026,<b>tea</b>,,,1.00,,9.00\n02/04/2026,x,,,x,,8.00\n"


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


def profile(name: str, tenant: str | None = None) -> DialectProfile:
    with all_tenants(reason="test"):
        found: DialectProfile = DialectProfile.objects.get(name=name, tenant=tenant)
    return found


def page_of(row: DialectProfile, page: str = "change") -> str:
    return reverse(f"admin:ingestion_dialectprofile_{page}", args=[row.pk])


def form_of(dialect: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a browser sends for the form of a dialect, changed as asked."""
    form = DialectProfileForm(initial=inputs_of(dialect))
    sent: dict[str, Any] = {}
    for name, field in form.fields.items():
        value = form[name].value()
        shown = field.prepare_value(value)
        if shown is True:
            sent[name] = "on"
        elif shown not in (None, False):
            sent[name] = shown
    return sent | changes


def bank(**changes: Any) -> dict[str, Any]:
    return form_of({**STATEMENT, "name": "COAST", "title": "Coast Bank"}, **changes)


def errors(answer: Any) -> dict[str, list[str]]:
    assert answer.status_code == 200
    found: dict[str, list[str]] = answer.context["adminform"].form.errors
    return found


# --- The form -------------------------------------------------------------------------


def test_a_new_profile_is_made_of_the_form(browser: Client):
    make_tenant("t1")
    answer = browser.post(ADD, bank(tenant="t1"))
    assert answer.status_code == 302, errors(answer)
    made = profile("COAST", "t1")
    assert made.title == "Coast Bank"
    assert made.changed_at is not None
    assert not made.is_built_in
    kept = {name: made.dialect_json[name] for name in STATEMENT if name != "name"}
    assert kept == {name: value for name, value in STATEMENT.items() if name != "name"}
    assert LogEntry.objects.get().object_id == str(made.pk)
    assert profiles.source_for(tenant="t1", name="COAST").has_totals


@pytest.mark.parametrize("name", profiles.built_in())
def test_saving_a_dialect_of_the_product_as_it_is_changes_nothing(
    browser: Client, name: str
):
    row = profile(name)
    answer = browser.post(page_of(row), form_of(row.dialect_json))
    assert answer.status_code == 302, errors(answer)
    assert profile(name).definition == row.definition
    assert not profile(name).is_edited
    assert "No fields changed" in LogEntry.objects.get().get_change_message()


def test_an_edited_dialect_of_the_product_is_restored(browser: Client):
    row = profile("HDFC")
    sent = form_of(row.dialect_json, columns_date="Dated | Date")
    assert browser.post(page_of(row), sent).status_code == 302
    assert profile("HDFC").is_edited
    assert profile("HDFC").definition["columns"]["date"] == ["Dated", "Date"]
    listed = browser.get(reverse("admin:ingestion_dialectprofile_changelist"))
    assert "edited" in listed.content.decode()
    page = browser.get(page_of(row)).content.decode()
    assert "Restore" in page
    restore = reverse("admin:ingestion_dialectprofile_restore", args=[row.pk])
    answer = browser.post(restore, {"_form_submitted": "true"})
    assert answer.headers["HX-Redirect"] == page_of(row)
    assert not profile("HDFC").is_edited
    assert "Restore" not in browser.get(page_of(row)).content.decode()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "coast bank"}, "name"),
        ({"name": "UPI"}, "name"),
        ({"name": ""}, "name"),
        ({"delimiters": "comma slash"}, "delimiters"),
        ({"columns_date": ""}, "columns_date"),
        ({"columns_credit": ""}, "columns_credit"),
        ({"columns_currency": "Cur"}, "columns_currency"),
        ({"dates": "DD/MM/YYYY\nMM/DD/YYYY"}, "dates"),
        ({"zone": "Mars"}, "zone"),
        ({"search_lines": "0"}, "search_lines"),
        ({"search_lines": "many"}, "search_lines"),
        ({"debit_words": "DR | CR"}, "credit_words"),
        ({"labels_opening": "@2"}, "labels_opening"),
        (
            {"status_words_SUCCESS": "OK", "status_words_FAILED": "ok"},
            "status_words_FAILED",
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_input(
    browser: Client, changes: dict[str, str], field: str
):
    answer = browser.post(ADD, bank(**changes))
    assert field in errors(answer)
    assert errors(answer)[field][0] in answer.content.decode().replace("&#x27;", "'")


@pytest.mark.parametrize("tenant", ["", "t1"])
def test_a_name_is_given_once_to_each_owner(browser: Client, tenant: str):
    make_tenant("t1")
    assert browser.post(ADD, bank(tenant=tenant)).status_code == 302
    answer = browser.post(ADD, bank(tenant=tenant))
    assert errors(answer) == {"__all__": ["There is such a profile already."]}


def test_a_delimiter_may_be_named_or_written(browser: Client):
    browser.post(ADD, bank(delimiters="Tab ~|~ ;  comma"))
    assert profile("COAST").definition["delimiters"] == ["\t", "~|~", ";", ","]
    page = browser.get(page_of(profile("COAST"))).content.decode()
    assert 'value="tab ~|~ semicolon comma"' in page


def test_a_copy_begins_with_what_the_other_says(browser: Client):
    row = profile("KOTAK")
    link = reverse("admin:ingestion_dialectprofile_copy", args=[row.pk])
    answer = browser.get(link, follow=True)
    form = answer.context["adminform"].form
    assert form.initial["name"] == "KOTAK"
    assert form["columns_balance_direction"].value() == "Dr / Cr#2 | Dr / Cr"
    assert form["tenant"].value() is None


def test_only_what_people_made_is_deleted(browser: Client):
    browser.post(ADD, bank())
    for name, status in (("HDFC", 403), ("COAST", 302)):
        page = page_of(profile(name), "delete")
        assert browser.post(page, {"post": "yes"}).status_code == status
    with all_tenants(reason="test"):
        names = set(DialectProfile.objects.values_list("name", flat=True))
    assert names == set(profiles.built_in())


# --- The trial ------------------------------------------------------------------------


def tried(browser: Client, sample: str = ROWS, **changes: Any) -> str:
    answer = browser.post(TRY, bank(sample_text=sample, **changes))
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_sample_shows_what_would_become_of_it_and_nothing_is_kept(browser: Client):
    shown = tried(browser)
    assert 'data-testid="trial-rows"' in shown
    assert "COAST:-:2026-04-01:" in shown
    assert "&lt;b&gt;tea" in shown
    assert "<b>tea" not in shown
    for text in ("invalid_amount", "Debit (INR)", "running_balance", "9.00"):
        assert text in shown, text
    with all_tenants(reason="test"):
        assert not DialectProfile.objects.filter(name="COAST").exists()
        assert not Transaction.objects.exists()
    assert not LogEntry.objects.exists()


def test_it_says_what_of_the_dialect_the_file_has(browser: Client):
    """A check whose column is misspelt finds no fault, and neither does one without."""
    names = {"columns_value_date": "Valu Date", "labels_row_count": "Rows read"}
    shown = tried(browser, **names)
    _, _, shown = shown.partition('data-testid="trial-reading"')
    read, _, _ = shown.partition("</dl>")
    lines = {
        head: [re.sub("<.*?>", "", one) for one in re.findall("<span>(.*?)</span>", of)]
        for head, of in re.findall("<dt>(.*?)</dt><dd.*?>(.*?)</dd>", read)
    }
    assert "narration: Narration" in lines["Columns"]
    assert lines["Not found"] == ["value_date"]
    assert lines["Not used"] == ["Value Date"]
    assert "row_count" in lines["Not stated"]


def test_the_form_as_it_stands_is_tried(browser: Client):
    sample = ROWS.replace("Narration", "Told")
    assert "missing_column" in tried(browser, sample)
    shown = tried(browser, sample, columns_narration="Told")
    assert 'data-testid="trial-rows"' in shown


def test_a_profile_that_is_saved_is_tried_too(browser: Client):
    row = profile("AXIS")
    sample = (ROOT / "samples" / "axis_small.csv").read_bytes()
    file = SimpleUploadedFile("a.csv", sample)
    answer = browser.post(TRY, form_of(row.dialect_json, sample_file=file))
    shown = answer.content.decode()
    assert "917010012345678" in shown
    assert "trial-rejects" not in shown
    assert "trial-faults" not in shown


def test_a_dialect_that_is_wrong_is_not_tried(browser: Client):
    shown = tried(browser, columns_date="", name="no name yet")
    assert 'data-testid="trial-flaws"' in shown
    assert "Name the column of the date." in shown
    assert "capital letters" not in shown


def test_a_name_is_not_needed_for_a_trial(browser: Client):
    assert "NEW:-:2026-04-01:" in tried(browser, name="")


def test_a_file_that_is_refused_says_why(browser: Client):
    assert "wrong_header" in tried(browser, "no header at all")


@pytest.mark.parametrize("sample", ["", "x" * 300_000], ids=["none", "long"])
def test_a_sample_of_no_use_is_refused(browser: Client, sample: str):
    shown = tried(browser, sample)
    assert 'data-testid="trial-flaws"' in shown
    assert ("262,144 characters" in shown) == bool(sample)


def test_a_file_that_is_too_large_is_refused(browser: Client):
    file = SimpleUploadedFile("a.csv", b"x" * (MAX_BYTES + 1))
    answer = browser.post(TRY, bank(sample_file=file))
    assert "1,024 KiB" in answer.content.decode()


def test_of_many_rows_the_first_are_shown_and_all_are_counted(browser: Client):
    lines = [f"01/04/2026,row {n},,,1.00,,{200 - n}.00" for n in range(SHOWN + 20)]
    bad = ["01/04/2026,bad,,,x,,"] * (SHOWN + 5)
    shown = tried(browser, "\n".join([HEADER, *lines, *bad]))
    assert shown.count("<td>SUCCESS</td>") == SHOWN
    assert f"<dd>{SHOWN + 20}</dd>" in shown
    assert f">{SHOWN + 5}</dd>" in shown
    assert f"<dd>{SHOWN + 20}.00</dd>" in shown


# --- Rights ---------------------------------------------------------------------------


def test_a_viewer_looks_and_no_more(client: Client):
    viewer = User.objects.create_user("viewer", is_staff=True)
    right = Permission.objects.get(codename="view_dialectprofile")
    viewer.user_permissions.add(right)
    client.force_login(viewer)
    row = profile("HDFC")
    page = client.get(page_of(row)).content.decode()
    assert "Narration" in page
    assert "Test on a sample" not in page
    assert client.post(TRY, bank(sample_text=ROWS)).status_code == 403
    assert client.post(ADD, bank()).status_code == 403
    assert client.post(page_of(row), form_of(row.dialect_json)).status_code == 403
    copy = reverse("admin:ingestion_dialectprofile_copy", args=[row.pk])
    assert client.get(copy).status_code == 403


def test_a_stranger_tries_nothing(client: Client):
    assert client.post(TRY, bank(sample_text=ROWS)).status_code == 302
    client.force_login(User.objects.create_user("member"))
    assert client.post(TRY, bank(sample_text=ROWS)).status_code == 302


# --- The recipe in CONTRIBUTING.md ----------------------------------------------------


def recipe() -> tuple[str, list[tuple[str, str, str]]]:
    """Return the sample of the made-up bank, and each part, input and value."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = page.split("### A bank's export, in the admin")[1].split("\n### ")[0]
    sample = section.split("```")[1].strip("\n")
    rows = re.findall(r"^ +\| ([^|]+) \| ([^|]+) \| (.+) \|$", section, re.MULTILINE)
    return sample, rows[1:]


def named_inputs() -> dict[tuple[str, str], str]:
    """Return the name of each input by the part of the form and its label."""
    fields = DialectProfileForm().fields
    return {
        (str(part or "(top)"), str(fields[name].label)): name
        for part, options in DialectProfileAdmin.fieldsets
        for name in flatten(options["fields"])
        if name in fields
    }


def test_the_recipe_for_a_bank_makes_a_profile_that_works(browser: Client):
    sample, inputs = recipe()
    names, form = named_inputs(), DialectProfileForm()
    new = {name: value for name, value in form_of(NEW).items() if name != "name"}
    for part, label, told in inputs:
        name, texts = names[part, label], re.findall("`([^`]+)`", told)
        choices = getattr(form.fields[name], "choices", [])
        by_text = {str(text): key for key, text in choices}
        if len(texts) > 1:
            new[name] = [by_text[text] for text in texts]
        else:
            new[name] = by_text.get(texts[0], texts[0]) if texts else told
    assert new["name"] == "COASTBANK"

    shown = browser.post(TRY, {**new, "sample_text": sample}).content.decode()
    for text in ("<dd>3</dd>", "609112345678", "HDFCN26092000123", "3000.00"):
        assert text in shown, text
    for text in ("trial-flaws", "trial-rejects", "trial-faults", "trial-refusal"):
        assert text not in shown
    wrong = sample.replace("45,00;;955", "44,00;;955")
    shown = browser.post(TRY, {**new, "sample_text": wrong}).content.decode()
    assert "trial-faults" in shown

    answer = browser.post(ADD, new)
    assert answer.status_code == 302, errors(answer)
    make_tenant("t1")
    assert profiles.source_for(tenant="t1", name="COASTBANK").has_totals
