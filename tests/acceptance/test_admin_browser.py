"""The admin as an operator sees it: a real browser on the running product."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.browser import signed_in
from tests.acceptance.product import ROOT, Product, wait_for

PAGES = [
    *(
        "",
        "fair-share/",
        "jobs/job/",
        "jobs/deadletter/",
        "jobs/attempt/",
        "jobs/usageevent/",
    ),
    *("jobs/worker/", "jobs/leaderlease/", "tenants/tenant/", "tenants/tenant/add/"),
    *("tenants/tier/", "tenants/membership/", "tenants/membership/add/"),
    *("tenants/apikey/", "tenants/apikey/add/", "ingestion/ingestedfile/"),
    "ingestion/ingestedfile/upload/",
    *("ingestion/transaction/", "ingestion/keptoutrow/"),
    *("ingestion/dialectprofile/", "ingestion/dialectprofile/add/"),
    *("reconciliation/reconciliation/", "reconciliation/match/"),
    "django_celery_beat/periodictask/",
    *(
        "django_celery_beat/periodictask/add/",
        "django_celery_beat/crontabschedule/add/",
    ),
    *("django_celery_results/taskresult/", "auth/user/", "auth/user/add/"),
    *("auth/group/", "auth/group/add/", "password_change/"),
]


@pytest.fixture(scope="module")
def dead_job(embedded: Product) -> str:
    """The id of a job that died."""
    key = embedded.create_tenant("lookout")
    body = {"tenant_id": "lookout", "seconds": 0, "steps": 1, "fail": "permanent"}
    _, job = embedded.call(key, "/enqueue/sleep", body)
    assert embedded.wait_for_end(key, job["id"])["state"] == "dead"
    return str(job["id"])


@pytest.fixture
def page(chromium: str, embedded: Product) -> Iterator[Page]:
    """A signed-in browser whose console must stay free of errors."""
    with signed_in(chromium, embedded) as (page, errors):
        page.set_default_timeout(20_000)
        yield page
    assert errors == []


@pytest.fixture
def admin(embedded: Product) -> str:
    return f"http://127.0.0.1:{embedded.port}/admin/"


def test_no_page_has_an_error_or_runs_over_the_edge(
    page: Page, admin: str, dead_job: str
):
    one = (f"jobs/job/{dead_job}/change/", f"jobs/deadletter/{dead_job}/edit/")
    for path in (*PAGES, *one):
        page.set_viewport_size({"width": 1440, "height": 900})
        response = page.goto(admin + path)
        assert response is not None
        assert response.status == 200, path
        page.wait_for_load_state("networkidle")
        _fits(page)
        page.set_viewport_size({"width": 390, "height": 900})
        _fits(page)


def test_it_is_dark_where_the_person_has_it_dark(chromium: str, embedded: Product):
    with signed_in(chromium, embedded, color_scheme="dark") as (page, errors):
        assert page.evaluate("document.documentElement.classList.contains('dark')")
    assert errors == []


def test_an_operator_retries_a_dead_letter(page: Page, admin: str, dead_job: str):
    page.goto(admin)
    expect(page.get_by_test_id("leader")).to_contain_text("leads")
    expect(page.get_by_test_id("shares")).to_contain_text("lookout")
    page.get_by_test_id("card-dead").click()
    page.wait_for_url("**/jobs/deadletter/")
    expect(page.get_by_test_id("groups")).to_contain_text("asked_to_fail")

    page.goto(f"{admin}jobs/deadletter/{dead_job}/change/")
    expect(page.get_by_test_id("timeline")).to_contain_text("Attempt 1")
    page.get_by_text("Traceback").first.click()
    expect(page.get_by_test_id("timeline")).to_contain_text("PermanentError")
    page.get_by_role("link", name="replay Retry").click()
    page.get_by_role("button", name="Retry 1 job(s)").click()
    page.wait_for_url(f"**/jobs/job/{dead_job}/change/")
    expect(page.get_by_text("1 dead letter(s) queued again.")).to_be_visible()
    # The page refreshes by itself until the job has ended, dead once more.
    expect(page.get_by_test_id("timeline")).to_contain_text("Attempt 2")
    expect(page.locator("#job-live")).not_to_have_attribute("hx-get", re.compile("."))


def test_an_operator_mends_a_payload(page: Page, admin: str, embedded: Product):
    key = embedded.create_tenant("mender")
    embedded.manage("upload", "mender", ROOT / "samples" / "upi_small.csv")
    job_id = embedded.enqueue_ingest(key, "mender", "upi_smal.csv")
    assert embedded.wait_for_end(key, job_id)["error"]["code"] == "object_missing"
    page.goto(f"{admin}jobs/deadletter/{job_id}/change/")
    page.get_by_role("link", name="Edit and retry").click()
    payload = page.get_by_label("Payload, as JSON")
    payload.fill('{"s3_path": "/upi_small.csv", "source": "UPI"}')
    page.get_by_label("Reason").fill("a typo")
    page.get_by_role("button", name="Look at the change").click()
    expect(page.get_by_test_id("flaws")).to_contain_text("drop the leading '/'")
    payload.fill('{"s3_path": "upi_small.csv", "source": "UPI"}')
    page.get_by_role("button", name="Look at the change").click()
    expect(page.get_by_test_id("changes")).to_contain_text('"upi_smal.csv"')
    page.get_by_role("button", name="Retry with this payload").click()
    page.wait_for_url(f"**/jobs/job/{job_id}/change/")
    expect(page.get_by_test_id("original")).to_contain_text("upi_smal.csv")
    assert embedded.wait_for_end(key, job_id)["state"] == "succeeded"


def test_an_ingest_is_followed_from_its_job_to_its_rows_on_a_phone(
    chromium: str, embedded: Product, admin: str
):
    key = embedded.create_tenant("courier")
    embedded.manage("upload", "courier", ROOT / "samples" / "upi_small.csv")
    job_id = embedded.enqueue_ingest(key, "courier", "upi_small.csv")
    job = embedded.wait_for_end(key, job_id)
    assert job["state"] == "succeeded"
    size = {"width": 390, "height": 844}
    with signed_in(chromium, embedded, viewport=size) as (page, errors):
        page.goto(f"{admin}jobs/job/{job_id}/change/")
        expect(page.get_by_test_id("job-summary")).to_contain_text("succeeded")
        inserted = f"{job['result']['inserted']} inserted"
        expect(page.get_by_test_id("job-summary")).to_contain_text(inserted)
        page.get_by_role("link", name="upi_small.csv").click()
        page.wait_for_url("**/ingestion/ingestedfile/*/change/")
        _fits(page)
        page.goto(f"{admin}ingestion/transaction/?tenant=courier")
        page.locator("#result_list th a").first.click()
        page.wait_for_url("**/ingestion/transaction/*/change/**")
        expect(page.locator("pre")).to_contain_text("***@")
        _fits(page)
    assert errors == []


def test_a_file_is_dropped_and_followed_to_its_end(
    page: Page, admin: str, embedded: Product
):
    key = embedded.create_tenant("sender")
    page.goto(f"{admin}ingestion/ingestedfile/")
    page.get_by_role("link", name="Upload a file").click()
    page.wait_for_url("**/ingestion/ingestedfile/upload/")
    page.get_by_label("Tenant", exact=True).fill("sender")
    page.get_by_label("Source").select_option("UPI")
    text = (ROOT / "samples" / "upi_small.csv").read_text("utf-8")
    dropped = page.evaluate_handle(
        """text => {
            const dropped = new DataTransfer();
            dropped.items.add(new File([text], "upi_small.csv", {type: "text/csv"}));
            return dropped;
        }""",
        text,
    )
    page.dispatch_event("#upload-drop", "drop", {"dataTransfer": dropped})
    expect(page.locator("#upload-chosen")).to_contain_text("upi_small.csv, ")
    page.get_by_role("button", name="Upload and load").click()
    page.wait_for_url("**/jobs/job/*/change/")
    expect(page.get_by_text("upi_small.csv: this job loads it.")).to_be_visible()
    job_id = page.url.split("/")[-3]
    assert embedded.wait_for_end(key, job_id)["result"]["rows"] > 0


def test_a_refused_upload_says_why_and_may_be_sent_again(
    chromium: str, embedded: Product, admin: str, dead_job: str
):
    with signed_in(chromium, embedded) as (page, errors):
        page.goto(f"{admin}ingestion/ingestedfile/upload/")
        page.get_by_label("Tenant", exact=True).fill("nobody")
        page.get_by_label("Source").select_option("UPI")
        sample = ROOT / "samples" / "upi_small.csv"
        page.set_input_files("#upload input[type=file]", sample)
        page.get_by_role("button", name="Upload and load").click()
        flaws = page.get_by_test_id("flaws")
        expect(flaws).to_contain_text("There is no tenant 'nobody'.")
        expect(page.get_by_role("button", name="Upload and load")).to_be_enabled()
        page.evaluate("document.getElementById('upload').dataset.most = 10")
        page.get_by_role("button", name="Upload and load").click()
        expect(flaws).to_contain_text("It is larger than")
        _fits(page)
    # The browser itself notes the answer 400, and nothing else.
    assert [each for each in errors if "400" not in each] == []


def _fits(page: Page) -> None:
    spare = page.evaluate("innerWidth - document.documentElement.scrollWidth")
    assert spare >= 0, page.url


def test_an_operator_pauses_a_tenant(
    page: Page, admin: str, embedded: Product, dead_job: str
):
    page.goto(f"{admin}tenants/tenant/lookout/change/")
    page.locator("a[hx-get$='/pause/']").click()
    dialog = page.locator("#dialog")
    dialog.get_by_label("Reason").fill("the bank called")
    dialog.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("lookout: Paused: the bank called")).to_be_visible()
    page.goto(f"{admin}tenants/tenant/")
    expect(page.locator("#result_list")).to_contain_text("the bank called")
    page.goto(f"{admin}tenants/tenant/lookout/change/")
    page.locator("a[hx-get$='/resume/']").click()
    page.locator("#dialog").get_by_role("button", name="Resume").click()
    wait_for(lambda: not _is_paused(embedded), 20)


def _is_paused(product: Product) -> bool:
    rows = product.query("SELECT is_paused FROM tenants_tenant WHERE slug = 'lookout'")
    return bool(rows[0][0])


def test_a_bank_is_tried_on_a_sample_and_saved_without_code(
    page: Page, admin: str, embedded: Product, dead_job: str
):
    page.goto(f"{admin}ingestion/dialectprofile/")
    page.get_by_role("link", name="KOTAK").click()
    sample = (ROOT / "samples" / "kotak_bad.csv").read_text("utf-8")
    page.locator("#id_sample_text").fill(sample)
    page.get_by_role("button", name="Test on this sample").click()
    expect(page.get_by_test_id("trial-rejects")).to_contain_text("invalid_side")
    expect(page.get_by_test_id("trial-faults")).to_contain_text("closing_balance")
    expect(page.get_by_test_id("trial-rows").locator("tbody tr")).to_have_count(1)

    page.get_by_role("link", name="Copy this profile").click()
    page.wait_for_url("**/ingestion/dialectprofile/add/**")
    page.locator("#id_name").fill("COASTBANK")
    page.locator("#id_debit_words").fill("DR | XX")
    page.set_input_files("#id_sample_file", ROOT / "samples" / "kotak_bad.csv")
    page.get_by_role("button", name="Test on this sample").click()
    expect(page.get_by_test_id("trial-rows").locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/ingestion/dialectprofile/")
    expect(page.locator("#result_list")).to_contain_text("COASTBANK")
    _fits(page)


def test_the_palette_finds_a_job(page: Page, admin: str, dead_job: str):
    page.goto(admin)
    page.keyboard.press("Control+k")
    page.locator("#search-input-command").press_sequentially(dead_job)
    page.locator("#command-results").get_by_text("sleep of lookout").click()
    page.wait_for_url(f"**/jobs/job/{dead_job}/change/")


def test_fair_share_refreshes_itself_and_says_when_it_cannot(
    chromium: str, embedded: Product, dead_job: str, admin: str
):
    with signed_in(chromium, embedded) as (page, errors):
        page.goto(f"{admin}fair-share/?window=1")
        with page.expect_response(lambda answer: "/fair-share/table/" in answer.url):
            pass
        status = page.locator("#fair-share-status")
        expect(status).to_contain_text("Updated")
        assert errors == []
        page.route("**/fair-share/table/**", lambda route: route.fulfill(status=503))
        expect(status).to_contain_text("the server answered 503", timeout=20_000)
        expect(page.get_by_test_id("pool-shared")).to_be_visible()
        page.unroute("**/fair-share/table/**")
        expect(status).to_contain_text("Updated", timeout=20_000)


def test_the_overview_refreshes_itself(page: Page, admin: str, dead_job: str):
    page.goto(admin)
    with page.expect_response(lambda answer: answer.url.endswith("/admin/overview/")):
        pass
    expect(page.get_by_test_id("card-running")).to_be_visible()
