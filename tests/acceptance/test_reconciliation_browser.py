"""Reconciliation as an operator sees it: a real browser on the running product."""

import re
from collections.abc import Iterator
from datetime import date

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance import reconciled_days
from tests.acceptance.browser import signed_in
from tests.acceptance.product import Product

TENANT = "books"
DAY = date(2026, 1, 15)


@pytest.fixture(scope="module")
def mismatches(embedded: Product, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The number of mismatches that a run over the day told."""
    folder = tmp_path_factory.mktemp("days")
    key = reconciled_days.load(embedded, TENANT, {DAY: 5}, folder)
    result = reconciled_days.compare(embedded, key, TENANT, DAY)
    assert result["plain"] == 115
    told: dict[str, int] = result["mismatches"]
    return sum(told.values())


@pytest.fixture
def page(chromium: str, embedded: Product) -> Iterator[Page]:
    """A signed-in browser whose console must stay free of errors."""
    with signed_in(chromium, embedded) as (page, errors):
        page.set_default_timeout(20_000)
        yield page
    assert errors == []


@pytest.fixture
def screens(embedded: Product) -> str:
    return f"http://127.0.0.1:{embedded.port}/admin/reconciliation/"


#: Cells of a list whose content is higher or wider than they are.
_CUT = """[...document.querySelectorAll("#result_list td, #result_list th")]
    .filter((cell) => cell.scrollHeight > cell.clientHeight + 1
        || cell.scrollWidth > cell.clientWidth + 1)
    .map((cell) => cell.textContent)"""
#: How far a list has to be scrolled sideways.
_ASIDE = """
    [...document.querySelectorAll(".simplebar-content-wrapper:has(#result_list)")]
    .map((part) => part.scrollWidth - part.clientWidth).filter((more) => more > 0)"""


def _fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    spare = page.evaluate("innerWidth - document.documentElement.scrollWidth")
    assert spare >= 0, page.url
    assert page.evaluate(_CUT) == [], page.url
    page.set_viewport_size({"width": 1440, "height": 900})
    assert page.evaluate(_ASIDE) == [], page.url


def test_an_operator_resolves_a_mismatch(page: Page, screens: str, mismatches: int):
    page.goto(f"{screens}overview/?tenant={TENANT}")
    card = page.locator(".dtq-counter").filter(has_text="Open now")
    expect(card).to_contain_text(str(mismatches))
    _fits_a_phone(page)
    queue = f"{screens}reconciliation/?tenant__slug__exact={TENANT}"
    page.goto(queue)
    rows = page.locator("#result_list tbody tr")
    expect(rows).to_have_count(mismatches)
    _fits_a_phone(page)
    row = rows.filter(has_text="2.36 apart")
    expect(row).to_contain_text("fee")
    row.locator("th a").first.click()
    page.wait_for_url("**/reconciliation/reconciliation/*/change/**")
    _fits_a_phone(page)
    own = page.url
    page.get_by_role("link", name="task_alt Resolve").click()
    page.get_by_label("Reason").select_option("fee")
    page.locator("#id_note").fill("as the contract says")
    _fits_a_phone(page)
    page.get_by_role("button", name=re.compile("Resolve")).click()
    history = page.get_by_test_id("history")
    expect(history).to_contain_text("A fee that was due. as the contract says")
    page.goto(queue)
    expect(rows).to_have_count(mismatches - 1)
    page.goto(own)
    expect(history).to_contain_text("admin")


def test_an_operator_runs_a_profile_over_a_day(
    page: Page, screens: str, mismatches: int
):
    page.goto(f"{screens}profile/?q={TENANT}")
    page.locator("#result_list tbody th a").first.click()
    _fits_a_phone(page)
    name = page.locator("#header-inner a").filter(has_text=f"UPI daily of {TENANT}")
    assert name.evaluate("(it) => it.scrollWidth <= it.clientWidth")
    expect(page.get_by_role("link", name="science Try rules")).to_be_visible()
    page.get_by_role("link", name="play_arrow Run now").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("From day").fill(str(DAY))
    dialog.get_by_label("To day").fill(str(DAY))
    dialog.get_by_role("button", name="Run").click()
    page.wait_for_url("**/jobs/job/*/change/")
    expect(page.get_by_test_id("job-summary")).to_contain_text("succeeded")
    page.goto(f"{screens}run/?tenant__slug__exact={TENANT}")
    page.locator("#result_list tbody th a").first.click()
    title = re.compile(r"Run \d+ of UPI daily of books")
    expect(page.get_by_text(title).first).to_be_visible()
    _fits_a_phone(page)


def test_lists_fit_a_screen_and_a_phone(page: Page, screens: str, mismatches: int):
    for name in ("reconciliation", "run", "profile", "schedule", "report", "match"):
        page.goto(f"{screens}{name}/")
        page.wait_for_load_state("networkidle")
        _fits_a_phone(page)
