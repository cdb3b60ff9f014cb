"""The UPI layout: what is accepted, what is refused, and with which words."""

import gzip
import importlib.util
import io
import json
import re
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ingestion.sources import upi
from ingestion.sources.base import (
    MAX_RAW_BYTES,
    Control,
    FileFault,
    Position,
    Reason,
    SourceError,
)
from ingestion.sources.currencies import EXPONENTS
from ingestion.sources.registry import UnknownSourceError, source_get
from samples.generate import Writer
from tests.readings import records

pytestmark = pytest.mark.unit
ROOT = Path(__file__).resolve().parents[2]
HEADER = "txn_id,rrn,payer_vpa,payee_vpa,amount,currency,status,txn_timestamp,remarks"
GOOD = {
    "txn_id": "AXI1",
    "rrn": "600512345678",
    "payer_vpa": "asha@okicici",
    "payee_vpa": "chai.point@ybl",
    "amount": "250.00",
    "currency": "INR",
    "status": "SUCCESS",
    "txn_timestamp": "2026-01-05 09:00:09",
    "remarks": "tea",
}


def cell(text):
    quoted = text.replace('"', '""')
    return f'"{quoted}"' if any(c in text for c in ',"\n') else text


def line(**changes):
    return ",".join(cell(value) for value in (GOOD | changes).values())


def read(*lines, header=HEADER, encoding="utf-8"):
    return records(upi.read, ["\n".join((header, *lines)).encode(encoding)])


def row(**changes):
    (record,) = read(line(**changes))
    assert record.reject is None, record.reject
    return record.row


def reject(**changes):
    (record,) = read(line(**changes))
    assert record.row is None
    return record.reject.column, str(record.reject.reason)


def file_error(*blocks):
    with pytest.raises(SourceError) as caught:
        records(upi.read, blocks)
    assert caught.value.message.rstrip(".")
    return caught.value.code, caught.value.column


def test_a_good_row_in_full():
    (record,) = read(line())
    assert (record.line, record.next_line) == (2, 3)
    assert record.end_offset == len(HEADER) + 1 + len(line())
    assert record.row._asdict() | {"row_hash": None} == {
        "line": 2,
        "txn_id": "AXI1",
        "source_txn_id": "AXI1",
        "reference_id": "600512345678",
        "account_id": "asha@okicici",
        "counterparty_account": None,
        "vpa_or_ifsc": "chai.point@ybl",
        "amount": Decimal("250.00"),
        "currency": "INR",
        "status": "SUCCESS",
        "direction": "D",
        "txn_timestamp": datetime(2026, 1, 5, 3, 30, 9, tzinfo=UTC),
        "raw_row": GOOD,
        "row_hash": None,
        "flags": (),
    }
    assert len(record.row.row_hash) == 32


def test_account_addresses_give_account_and_ifsc():
    found = row(
        payer_vpa="00112233@hdfc0001234.IFSC.npci",
        payee_vpa="NRE99@SBIN0A12345.ifsc.npci",
    )
    assert found.account_id == "00112233"
    assert (found.counterparty_account, found.vpa_or_ifsc) == ("NRE99", "SBIN0A12345")


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("1234.50", "INR", "1234.50"),
        ("1234.5", "INR", "1234.50"),
        ("1234", "INR", "1234.00"),
        ("0.01", "INR", "0.01"),
        ("007.10", "INR", "7.10"),
        ("  12.00  ", "INR", "12.00"),
        ("12,345.67", "INR", "12345.67"),
        ("1,234,567.89", "INR", "1234567.89"),
        ("1,23,456.78", "INR", "123456.78"),
        ("12,34,56,789.00", "INR", "123456789.00"),
        ("9999999999999999.99", "INR", "9999999999999999.99"),
        ("500", "JPY", "500.00"),
        ("1.23", "KWD", "1.23"),
    ],
)
def test_amounts_accepted(text, currency, amount):
    found = row(amount=text, currency=currency).amount
    assert str(found) == amount


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing_value"),
        ("1e5", "invalid_amount"),
        ("NaN", "invalid_amount"),
        ("Infinity", "invalid_amount"),
        ("1_000", "invalid_amount"),
        ("+5", "invalid_amount"),
        ("5.", "invalid_amount"),
        (".50", "invalid_amount"),
        ("1 000.00", "invalid_amount"),
        ("1.234,50", "invalid_amount"),
        ("1,2345.00", "invalid_amount"),
        ("12,34.00", "invalid_amount"),
        ("1,23,4567.00", "invalid_amount"),
        ("123,45,678.00", "invalid_amount"),
        (",123.00", "invalid_amount"),
        ("(100.00)", "invalid_amount"),
        ("100.00-", "invalid_amount"),
        ("100.00 Dr", "invalid_amount"),
        ("Rs.100", "invalid_amount"),
        ("\u20b9100", "invalid_amount"),
        ("\u2212100", "invalid_amount"),
        ("\uff11\uff12.00", "invalid_amount"),
        ("\u0967\u0968.00", "invalid_amount"),
        ("0x10", "invalid_amount"),
        ("--", "invalid_amount"),
        ("-5.00", "negative_amount"),
        ("-0.00", "negative_amount"),
        ("0", "zero_amount"),
        ("0.00", "zero_amount"),
        ("1.005", "unsupported_precision"),
        ("1.500", "unsupported_precision"),
        ("10000000000000000.00", "amount_too_large"),
        ("9" * 5000, "amount_too_large"),
    ],
)
def test_amounts_refused(text, reason):
    assert reject(amount=text) == ("amount", reason)


@pytest.mark.parametrize(
    ("text", "currency"), [("100.0", "JPY"), ("1.234", "KWD"), ("1.2345", "CLF")]
)
def test_decimals_beyond_those_of_the_currency(text, currency):
    assert reject(amount=text, currency=currency) == ("amount", "unsupported_precision")


def test_currency_defaults_to_rupees():
    assert row(currency="").currency == "INR"
    assert row(currency=" usd ").currency == "USD"
    short = line().replace(",INR,", ",")
    (record,) = read(short, header=HEADER.replace(",currency", ""))
    assert record.row.currency == "INR"


@pytest.mark.parametrize("text", ["RUPEE", "XXX", "INX", "\u0131nr", "\u20b9"])
def test_currencies_refused(text):
    assert reject(currency=text) == ("currency", "invalid_currency")


def test_currency_codes_are_three_letters():
    assert len(EXPONENTS) > 150
    assert all(re.fullmatch("[A-Z]{3}", code) for code in EXPONENTS)
    assert (EXPONENTS["JPY"], EXPONENTS["INR"], EXPONENTS["KWD"]) == (0, 2, 3)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        *((text, "SUCCESS") for text in ("SUCCESS", "Success", "s", "00", " S ")),
        *((text, "FAILED") for text in ("FAILED", "Failure", "F")),
        *((text, "PENDING") for text in ("pending", "DEEMED")),
        ("Reversed", "REVERSED"),
    ],
)
def test_statuses_accepted(text, status):
    assert row(status=text).status == status


@pytest.mark.parametrize("text", ["DONE", "0", "01", "SUCCESSFUL", "\u017fuccess"])
def test_statuses_refused(text):
    assert reject(status=text) == ("status", "invalid_status")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-05 00:00:00", "2026-01-04T18:30:00+00:00"),
        ("2026-01-05T00:00:00", "2026-01-04T18:30:00+00:00"),
        ("2026-01-05T00:00:00Z", "2026-01-05T00:00:00+00:00"),
        ("2026-01-05 00:00:00+05:30", "2026-01-04T18:30:00+00:00"),
        ("2026-01-05T00:00:00.5-0800", "2026-01-05T08:00:00.500000+00:00"),
        ("2026-01-05T00:00:00.123456789+00", "2026-01-05T00:00:00.123456+00:00"),
        ("2024-02-29 12:00:00", "2024-02-29T06:30:00+00:00"),
    ],
)
def test_times_accepted(text, utc):
    assert row(txn_timestamp=text).txn_timestamp.astimezone(UTC).isoformat() == utc


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-31 10:00:00",
        "31-02-2026 10:00:00",
        "2025-02-29 10:00:00",
        "2026-13-01 10:00:00",
        "2026-01-05 24:00:00",
        "2026-01-05 10:60:00",
        "2026-01-05T23:59:60Z",
        "2026-01-05",
        "2026-01-05 10:00",
        "20260105T100000Z",
        "2026-W01-1T10:00:00",
        "05/01/2026 10:00:00",
        "1767600000",
        "45231",
        "2026-01-05T10:00:00+25:00",
        "2026-01-05T10:00:00 IST",
        "0001-01-01 00:00:00",
        "9999-12-31T23:59:59-05:00",
        "9999-12-31T18:30:00Z",
        "\u0968\u0966\u0968\u0966-01-05 10:00:00",
    ],
)
def test_times_refused(text):
    assert reject(txn_timestamp=text) == ("txn_timestamp", "invalid_timestamp")


@pytest.mark.parametrize(
    "vpa", ["ab@ok", "A.B-c_9@OkIcici", "9845012345@paytm", f"{'x' * 256}@upi"]
)
def test_addresses_accepted(vpa):
    assert row(payee_vpa=vpa).vpa_or_ifsc == vpa.lower()


@pytest.mark.parametrize("column", ["payer_vpa", "payee_vpa"])
@pytest.mark.parametrize(
    "vpa",
    [
        "nobody",
        "a@ok",
        "asha@",
        "@ybl",
        "asha@ok icici",
        "asha@@ybl",
        "asha@ok.icici",
        "12@HDFC1001234.ifsc.npci",
        "12@HDFC000123.ifsc.npci",
        f"{'1' * 36}@HDFC0001234.ifsc.npci",
        "as\u0127a@ybl",
        "asha@\u212aotak",
        "12@\u212aKBK0001234.ifsc.npci",
        f"{'x' * 257}@upi",
    ],
)
def test_addresses_refused(column, vpa):
    assert reject(**{column: vpa}) == (column, "invalid_vpa")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing_value"),
        ("TXN 1", "invalid_id"),
        ("x" * 65, "invalid_id"),
        ("=1+1", "invalid_id"),
        ("LEDGER:1", "invalid_id"),
        ("TX\u0661", "invalid_id"),
        ("1.23457E+15", "excel_damaged_id"),
        ("1E+15", "excel_damaged_id"),
    ],
)
def test_ids_refused(text, reason):
    assert reject(txn_id=text) == ("txn_id", reason)


def test_ids_keep_case_and_zeros():
    assert row(txn_id=" 00aB.c_d/e-f ").txn_id == "00aB.c_d/e-f"
    assert row(txn_id="x" * 64).source_txn_id == "x" * 64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("12345678901", "invalid_rrn"),
        ("1234567890123", "invalid_rrn"),
        ("60051234567a", "invalid_rrn"),
        ("\u0661" * 12, "invalid_rrn"),
        ("6.00512E+11", "excel_damaged_id"),
        ("", "missing_value"),
    ],
)
def test_rrns_refused(text, reason):
    assert reject(rrn=text) == ("rrn", reason)


def test_an_incomplete_payment_needs_no_rrn():
    assert row(rrn="", status="PENDING").reference_id is None
    assert row(rrn="", status="F").reference_id is None
    assert reject(rrn="", status="REVERSED") == ("rrn", "missing_value")


def test_only_the_first_bad_field_is_named():
    assert reject(amount="x", currency="Y", txn_timestamp="z")[0] == "currency"


def test_columns_in_any_order_case_and_number():
    names = [" Remarks", "TXN_TIMESTAMP ", "Status", "Amount", "payee_VPA"]
    names += ["payer_vpa", "RRN", "Txn_Id", "Branch", ""]
    cells = [GOOD[name.strip().lower()] for name in names[:8]]
    (record,) = read(",".join([*cells, " Pune ", ""]), header=",".join(names))
    assert record.row.txn_id == "AXI1"
    assert record.row.raw_row["Branch"] == " Pune "
    assert record.row.raw_row["column_10"] == ""
    assert list(record.row.raw_row)[:2] == ["Remarks", "TXN_TIMESTAMP"]


def test_remarks_may_be_missing():
    (record,) = read(line(remarks="")[:-1], header=HEADER.replace(",remarks", ""))
    assert record.row.txn_id == "AXI1"


def test_raw_row_keeps_the_text_as_given():
    found = row(amount="12,345.67", remarks="two\nlines")
    assert found.raw_row["amount"] == "12,345.67"
    assert found.raw_row["remarks"] == "two\nlines"


def test_the_same_payment_written_differently_has_the_same_hash():
    plain = row(amount="12345.60", remarks="caf\u00e9")
    other = row(
        amount=" 12,345.6 ",
        currency="inr",
        status="s",
        payer_vpa="ASHA@OKICICI",
        txn_timestamp="2026-01-05T03:30:09.000Z",
        remarks=" cafe\u0301 ",
    )
    assert plain.row_hash == other.row_hash
    assert plain.raw_row != other.raw_row


@pytest.mark.parametrize("column", list(GOOD))
def test_another_value_has_another_hash(column):
    other = {
        "txn_id": "AXI2",
        "rrn": "600512345679",
        "payer_vpa": "ravi@okicici",
        "payee_vpa": "metro@ybl",
        "amount": "250.01",
        "currency": "USD",
        "status": "REVERSED",
        "txn_timestamp": "2026-01-05 09:00:10",
        "remarks": "coffee",
    }
    assert row().row_hash != row(**{column: other[column]}).row_hash


def test_unknown_columns_do_not_count_in_the_hash():
    (record,) = read(line() + ",Pune", header=HEADER + ",branch")
    assert record.row.row_hash == row().row_hash


@pytest.mark.parametrize("prefix", ["", "\ufeff", "\n\r\n", "\ufeff\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_marks_line_ends_and_leading_blanks(prefix, end):
    data = (prefix + end.join((HEADER, line(), "", line(txn_id="B")))).encode()
    first, second = records(upi.read, [data])
    header_line = 1 + prefix.count("\n")
    assert (first.line, second.line) == (header_line + 1, header_line + 3)
    assert first.row.row_hash == row().row_hash
    assert second.end_offset == len(data)


@pytest.mark.parametrize("tail", ["", "\n", "\r\n\r\n"])
def test_a_header_alone_is_a_file_without_rows(tail):
    assert list(records(upi.read, [(HEADER + tail).encode()])) == []


def _zip(name):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, "x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", FileFault.EMPTY_FILE),
        (b"\n \r\n\n", FileFault.EMPTY_FILE),
        (b"\xef\xbb\xbf", FileFault.EMPTY_FILE),
        (b"hello\n", FileFault.WRONG_HEADER),
        (b"<html><body>Error 502</body></html>", FileFault.NOT_TEXT),
        (HEADER.replace(",", ";").encode(), FileFault.WRONG_HEADER),
        (HEADER.replace(",", "\t").encode(), FileFault.WRONG_HEADER),
        (b'"txn_id,rrn\n1,2\n', FileFault.WRONG_HEADER),
        (f"{HEADER}\r{line()}\r".encode(), FileFault.WRONG_HEADER),
        (b"x" * 3_000_000, FileFault.WRONG_HEADER),
        *((HEADER.encode(e), FileFault.UNSUPPORTED_ENCODING) for e in ("utf-16",)),
        *(
            (HEADER.encode(name), FileFault.UNSUPPORTED_ENCODING)
            for name in ("utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
        ),
        (f"caf\xe9,{HEADER}".encode("cp1252"), FileFault.UNSUPPORTED_ENCODING),
        (gzip.compress(HEADER.encode(), mtime=0), FileFault.COMPRESSED_FILE),
        (_zip("upi.csv"), FileFault.COMPRESSED_FILE),
        (_zip("xl/workbook.xml"), FileFault.NOT_TEXT),
        (b"%PDF-1.7\n", FileFault.NOT_TEXT),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 99, FileFault.NOT_TEXT),
        (b"\0" * 10_000, FileFault.NOT_TEXT),
        (b"\n" * 5_000 + b"a\0b\n", FileFault.NOT_TEXT),
    ],
)
def test_files_refused(data, code):
    assert file_error(data) == (code, None)
    singly = (data[i : i + 1] for i in range(min(len(data), 20_000)))
    assert file_error(*singly) == (code, None)


def test_a_missing_column_is_named():
    for name in upi.REQUIRED:
        names = [other for other in HEADER.split(",") if other != name]
        found = file_error(",".join(names).encode())
        assert found == (FileFault.MISSING_COLUMN, name)


@pytest.mark.parametrize("extra", ["amount", " Amount ", "note,NOTE"])
def test_a_duplicate_column_is_named(extra):
    code, column = file_error(f"{HEADER},{extra}".encode())
    assert code is FileFault.DUPLICATE_COLUMN
    assert column in {"amount", "note"}


def test_resume_checks_the_header_of_the_position():
    with pytest.raises(SourceError):
        records(upi.read, [b"1,2\n"], Position(10, 2, {"header": ["txn_id", "x"]}))


def test_positions_survive_json():
    position = Position(12, 3, {"header": ["txn_id", "r\u00e9f"]})
    assert Position.from_json(json.loads(json.dumps(position.to_json()))) == position


def test_the_registry_knows_upi():
    assert source_get("UPI") is upi.SOURCE
    with pytest.raises(UnknownSourceError, match="UPI"):
        source_get("upi2")


def test_sources_import_without_django():
    probe = "import sys, ingestion.sources.registry; sys.exit('django' in sys.modules)"
    subprocess.run([sys.executable, "-c", probe], cwd=ROOT, check=True)


HEADINGS = {
    Reason: "Reasons",
    FileFault: "Reasons for a whole file",
    Control: "Controls",
}


@pytest.mark.parametrize("codes", HEADINGS)
def test_the_formats_page_lists_every_code(codes):
    page = (ROOT / "docs" / "formats.md").read_text()
    section = page.split(f"### {HEADINGS[codes]}\n")[1].split("\n##")[0]
    listed = re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE)
    assert listed == [(code.value, code.sentence) for code in codes]


def _generator():
    path = ROOT / "samples" / "generate.py"
    spec = importlib.util.spec_from_file_location("samples_generate", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


GENERATE = _generator()


@pytest.mark.parametrize(
    ("name", "seed", "arguments"),
    [
        ("upi_sample.csv", 1, (2000, 400, 250)),
        ("upi_small.csv", 2, (20, 0, 0)),
        ("upi_bad_rows.csv", 3, None),
    ],
)
def test_samples_are_generated_and_read_to_the_truth(name, seed, arguments):
    writer = GENERATE.Writer(seed)
    lines = writer.file(*arguments) if arguments else writer.faults()
    data = (ROOT / "samples" / name).read_bytes()
    assert data == b"".join(lines)
    found_records = records(upi.read, [data])
    rejects = [r.reject for r in found_records if r.reject]
    found = [(r.line, r.column, str(r.reason)) for r in rejects]
    assert found == writer.truth.rejects
    assert len(found_records) == writer.truth.rows
    assert len(found_records) - len(rejects) == writer.truth.good


def test_bad_rows_sample_has_every_reason():
    data = (ROOT / "samples" / "upi_bad_rows.csv").read_bytes()
    reasons = {r.reject.reason for r in records(upi.read, [data]) if r.reject}
    every = list(Reason)  # those behind this one are of other sources
    assert reasons == set(every[: every.index(Reason.INVALID_TIMESTAMP) + 1])


def test_the_samples_page_lists_the_rejects():
    page = (ROOT / "samples" / "README.md").read_text()
    page = page.split("## What is refused in upi_sample.csv")[1].split("\n## ")[0]
    listed = re.findall(r"^\| (\d+) \| `(\w+)` \| `(\w+)` \|$", page, re.MULTILINE)
    data = (ROOT / "samples" / "upi_sample.csv").read_bytes()
    found = [r.reject for r in records(upi.read, [data]) if r.reject]
    assert listed == [(str(r.line), r.column, str(r.reason)) for r in found]


def test_a_conflict_is_planted_where_the_amount_happens_to_be_the_other_one():
    """Row 695 of this seed is of 1.23, which a conflicting row would say too."""
    writer = Writer(int.from_bytes(b"3-3-16.csv"))
    content = b"".join(writer.file(3_064, 190, 70))
    first: dict[str, bytes] = {}
    conflicts = 0
    for record in records(source_get("UPI").read, iter([content])):
        if record.row is not None:
            known = first.setdefault(record.row.txn_id, record.row.row_hash)
            conflicts += known != record.row.row_hash
    assert conflicts == writer.truth.conflicting == 20


# --- What may be corrected and sent again ---------------------------------------------


@pytest.mark.parametrize(
    "head", [b"\xef\xbb\xbf", b"", b"\n\n"], ids=["bom", "plain", "blank"]
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_a_head_is_all_that_stands_before_the_rows(head: bytes, end: bytes):
    begin = head + ",".join(upi.COLUMNS).encode() + end
    assert upi.head([begin, b"a row" + end]) == begin
    assert upi.head([begin[n : n + 1] for n in range(len(begin))]) == begin


def test_a_head_without_a_line_end_gets_one():
    begin = ",".join(upi.COLUMNS).encode()
    assert upi.head([begin]) == begin + b"\n"


def test_a_row_that_is_too_long_is_not_kept_as_it_stood():
    begin = ",".join(upi.COLUMNS).encode() + b"\n"
    short, long = b"a" * MAX_RAW_BYTES, b"b" * (MAX_RAW_BYTES + 1)
    found = [each.reject for each in records(upi.read, [begin + short[1:] + b"\n"])]
    assert found[0].raw == short[1:] + b"\n"
    found = [each.reject for each in records(upi.read, [begin + long])]
    assert found[0].raw is None
