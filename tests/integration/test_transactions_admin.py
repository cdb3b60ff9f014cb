"""Transactions in the admin: what finds them, what it costs, and the export."""

import csv
import io
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingestion import transaction_export, transaction_search
from ingestion.models import IngestedFile, Transaction
from ingestion.terms import read_term
from tenants.scoping import all_tenants, tenant_scope
from tests.arrange import make_admin, make_file, make_job, make_tenant, make_transaction
from tests.integration import ingesting
from tests.integration.ingesting import Ingest, row, text

pytestmark = pytest.mark.django_db

LIST = "admin:ingestion_transaction_changelist"
EXPORT = "admin:ingestion_transaction_export"


@pytest.fixture
def browser(client: Client) -> Client:
    client.force_login(make_admin())
    return client


@pytest.fixture
def file() -> IngestedFile:
    """The file of t1 with one recent row and one of long ago."""
    made = file_of("t1")
    make_transaction(made)
    make_transaction(
        made,
        txn_id="OLD1",
        reference_id="UTROLD",
        amount=Decimal("77.00"),
        account_id="900000009999",
        txn_timestamp=timezone.now() - timedelta(days=90),
    )
    return made


def file_of(tenant: str) -> IngestedFile:
    make_tenant(tenant)
    return make_file(tenant, job=make_job(tenant))


def page_of(browser: Client, **asked: Any) -> str:
    answer = browser.get(reverse(LIST), asked)
    assert answer.status_code == 200
    return answer.content.decode()


def ids_of(browser: Client, **asked: Any) -> set[str]:
    answer = browser.get(reverse(LIST), asked)
    assert answer.status_code == 200
    return {row.txn_id for row in answer.context["cl"].result_list}


def export(browser: Client, **asked: Any) -> list[list[str]]:
    answer = browser.post(f"{reverse(EXPORT)}", query_params=asked)
    assert answer.status_code == 200
    text = answer.getvalue().decode()
    return list(csv.reader(io.StringIO(text)))


# --- Search and filters ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("UPI00000001", {"UPI00000001"}),
        ("upi00000001", {"UPI00000001"}),
        ("600000000001", {"UPI00000001"}),
        ("UTROLD", {"OLD1"}),
        ("NAVIN@okbank", {"UPI00000001"}),
        ("50100012345678", {"UPI00000001"}),
        ("…5678", {"UPI00000001"}),
        ("5678", {"UPI00000001"}),
        ("1,234.50", {"UPI00000001"}),
        ("9999", set()),
        ("UPI0000000", set()),
    ],
)
def test_a_term_finds(browser: Client, file: IngestedFile, term: str, found: set[str]):
    assert ids_of(browser, q=term) == found


@pytest.mark.parametrize("address", ["asha@okbank", "SHOP@okbank"])
def test_both_sides_of_a_upi_payment_find_it(
    browser: Client, ingest: Ingest, address: str
):
    other = row(2, payer_vpa="ravi@okbank", payee_vpa="cafe@okbank")
    file = ingesting.file_of(ingest(text(row(1), other)))
    assert ids_of(browser, q=address, file__id__exact=file.pk) == {"T1"}


def test_what_is_older_is_found_by_its_dates_or_its_file(
    browser: Client, file: IngestedFile
):
    page = page_of(browser, q="9999")
    assert "Looked only through the last 31 days" in page
    assert "a whole transaction id, UTR, RRN" in page
    day = timezone.localtime() - timedelta(days=91)
    since = {"txn_timestamp_from_0": f"{day:%Y-%m-%d}"}
    assert ids_of(browser, q="9999", **since) == {"OLD1"}
    assert ids_of(browser, q="9999", file__id__exact=file.pk) == {"OLD1"}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, {"UPI00000001", "OLD1"}),
        ({"amount_from": "1234.50", "amount_to": "1234.50"}, {"UPI00000001"}),
        ({"amount_from": "1234.51"}, set()),
        ({"amount_to": "1,300"}, {"UPI00000001"}),
        ({"status": "FAILED"}, set()),
        ({"source": "UPI"}, {"UPI00000001", "OLD1"}),
        ({"tenant__slug__exact": "t1"}, {"UPI00000001", "OLD1"}),
        ({"txn_timestamp_to_0": "2000-01-01"}, set()),
    ],
)
def test_filters(
    browser: Client, file: IngestedFile, asked: dict[str, str], found: set[str]
):
    assert ids_of(browser, **asked) == found


def test_a_date_alone_is_its_whole_day(browser: Client, file: IngestedFile):
    today = f"{timezone.localtime(time_of_the_recent()):%Y-%m-%d}"
    asked = {"txn_timestamp_from_0": today, "txn_timestamp_to_0": today}
    assert ids_of(browser, **asked) == {"UPI00000001"}


def time_of_the_recent() -> Any:
    with all_tenants(reason="test"):
        return Transaction.objects.get(txn_id="UPI00000001").txn_timestamp


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"amount_from": "many"}, "&#x27;many&#x27; is no amount"),
        ({"amount_from": "2", "amount_to": "1"}, "the first amount is above"),
        ({"txn_timestamp_from_0": "31.02.2026"}, "is no time: write it like"),
        ({"txn_timestamp_to_1": "10:00"}, "choose a date beside"),
        (
            {"txn_timestamp_from_0": "2026-02-02", "txn_timestamp_to_0": "2026-02-01"},
            "the first time is above",
        ),
    ],
)
def test_a_bad_filter_shows_nothing_and_says_why(
    browser: Client, file: IngestedFile, asked: dict[str, str], said: str
):
    assert said in page_of(browser, **asked)
    assert ids_of(browser, **asked) == set()
    answer = browser.post(reverse(EXPORT), query_params=asked)
    assert answer.status_code == 302
    assert not LogEntry.objects.exists()


def test_too_much_is_said_plainly(
    browser: Client, file: IngestedFile, monkeypatch: pytest.MonkeyPatch
):
    def slow(rows: Any, term: Any) -> Any:
        return rows.extra(where=["pg_sleep(2) IS NOT NULL"])

    monkeypatch.setattr(transaction_search, "with_meaning", slow)
    monkeypatch.setattr(transaction_search, "TIMEOUT_SECONDS", 1)
    page = page_of(browser, q="…5678")
    assert "Narrow the dates, choose a tenant or a file" in page
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


@pytest.mark.parametrize("term", ["TX777", "R777"])
def test_an_id_and_a_reference_are_found_by_index(file: IngestedFile, term: str):
    other = file_of("t2")
    with all_tenants(reason="test"), connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO fintech_transactions (tenant_id, file_id, source, txn_id,
                source_txn_id, reference_id, amount, currency, status, direction,
                txn_timestamp, row_hash, raw_row)
            SELECT 't' || 1 + n %% 2, (ARRAY[%s, %s])[1 + n %% 2], 'UPI',
                'TX' || n, 'TX' || n, 'R' || n, n,
                'INR', 'SUCCESS', 'D', now(), '', '{}'
            FROM generate_series(1, 20000) n
            """,
            [file.pk, other.pk],
        )
        cursor.execute("RESET ROLE")
        cursor.execute("ANALYZE fintech_transactions")
    with all_tenants(reason="test"):
        rows = Transaction.objects.order_by("-pk")
        found = transaction_search.with_id(rows, read_term(term))
        assert found.count() == 1
        plan = found[:50].explain()
    assert "Seq Scan on fintech_transactions" not in plan
    for index in ("transaction_once_per_tenant", "transaction_reference"):
        assert index in plan, plan


def test_a_tenant_finds_its_own_alone():
    for tenant in ("t1", "t2"):
        make_transaction(file_of(tenant))
    for term in ("UPI00000001", "…5678"):
        with tenant_scope("t1"):
            find = (
                transaction_search.with_id
                if term.startswith("UPI")
                else transaction_search.with_meaning
            )
            found = find(Transaction.objects.all(), read_term(term))
            assert [row.tenant_id for row in found] == ["t1"]


def test_the_page_of_one_links_to_where_it_came_from(
    browser: Client, file: IngestedFile
):
    with all_tenants(reason="test"):
        row = Transaction.objects.get(txn_id="UPI00000001")
    url = reverse("admin:ingestion_transaction_change", args=[row.pk])
    page = browser.get(url).content.decode()
    for name, key in (
        ("ingestion_ingestedfile", file.pk),
        ("jobs_job", file.job_id),
        ("tenants_tenant", "t1"),
    ):
        assert reverse(f"admin:{name}_change", args=[key]) in page
    assert "as***@okbank" in page
    assert 'name="_save"' not in page


# --- Export ---------------------------------------------------------------------------


def test_an_export_is_the_filter_masked_and_disarmed(
    browser: Client, file: IngestedFile
):
    make_transaction(file, txn_id="=1+1", reference_id="@SUM(A1)", status="FAILED")
    head, *rows = export(browser, status="FAILED")
    (row,) = (dict(zip(head, each, strict=True)) for each in rows)
    assert row["txn_id"] == "'=1+1"
    assert row["reference_id"] == "'@SUM(A1)"
    assert row["amount"] == "1234.50"
    assert row["account_id"] == "••••5678"
    assert row["vpa_or_ifsc"] == "na***@okbank"
    assert row["txn_timestamp"][-6] in "+-"


def test_an_export_is_all_pages_and_is_written_down(
    browser: Client, file: IngestedFile
):
    for number in range(60):
        make_transaction(file, txn_id=f"M{number}")
    assert len(export(browser, q="50100012345678")) == 1 + 61
    entry = LogEntry.objects.get()
    assert entry.user.get_username() == "operator"
    assert entry.change_message == "Exported 61 rows as CSV: q=••••5678"


def test_an_export_has_a_most(
    browser: Client, file: IngestedFile, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transaction_export, "MOST_ROWS", 1)
    monkeypatch.setattr("ingestion.transactions_admin.MOST_ROWS", 1)
    answer = browser.post(reverse(EXPORT), follow=True)
    assert "An export has at most 1 rows" in answer.content.decode()
    assert not LogEntry.objects.exists()


def test_only_who_may_exports(client: Client, file: IngestedFile):
    viewer = User.objects.create_user("viewer", is_staff=True)
    client.force_login(viewer)
    for codes, status in (
        (["view_transaction"], 403),
        (["export_transaction"], 403),
        (["view_transaction", "export_transaction"], 200),
    ):
        viewer.user_permissions.set(Permission.objects.filter(codename__in=codes))
        assert client.post(reverse(EXPORT)).status_code == status
        if "view_transaction" in codes:
            shown = client.get(reverse(LIST)).content.decode()
            assert ("Export these as CSV" in shown) == (status == 200)
    assert client.get(reverse(EXPORT)).status_code == 405
