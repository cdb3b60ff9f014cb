"""MT940 and MT942: what becomes of every field, and what is refused and why."""

import gzip
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ingestion.sources import mt940
from ingestion.sources.base import (
    Control,
    Fault,
    FileFault,
    Flag,
    Reason,
    Reject,
    Row,
    SourceError,
    Statement,
)
from ingestion.sources.registry import source_get
from tests.readings import records
from tests.statements import assert_work_is_linear

pytestmark = pytest.mark.unit
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
HEAD = (":20:REF1", ":25:0099887766", ":28C:5/1", ":60F:C260104EUR1000,00")
FOOT = (":62F:C260105EUR1000,00", "-")
LINE = ":61:2601050105C100,00NTRFINV-17//BANK-1"


def read(*lines, source="MT940", encoding="utf-8"):
    data = "\n".join([*lines, ""]).encode(encoding)
    return [one.record for one in records(source_get(source).read, [data])]


def of(kind, found):
    return [record for record in found if isinstance(record, kind)]


def entry(*lines, head=HEAD, source="MT940"):
    """Return the one row of a statement with this entry."""
    (record,) = of((Row, Reject), read(*head, *lines, source=source))
    assert isinstance(record, Row), record
    return record


def reject(*lines, head=HEAD):
    (record,) = of((Row, Reject), read(*head, *lines))
    assert isinstance(record, Reject)
    return record.column, record.reason.value


def faults(*lines, source="MT940"):
    found = of(Fault, read(*lines, source=source))
    return [(f.line, f.control.value, f.expected, f.found) for f in found]


def raw(row):
    (found,) = [
        one.row for one in records(mt940.read_940, [b"\n".join(row)]) if one.row
    ]
    return found.raw_row


def file_error(data, source="MT940"):
    with pytest.raises(SourceError) as caught:
        records(source_get(source).read, [data])
    return caught.value


def test_an_entry_in_full():
    (row,) = of(Row, read(*HEAD, LINE, "below", ":86:Invoice 17", *FOOT))
    assert row._asdict() | {"row_hash": None, "raw_row": None} == {
        "line": 5,
        "txn_id": "MT940:0099887766:20260104/5/1:1",
        "source_txn_id": "BANK-1",
        "reference_id": "INV-17",
        "account_id": "0099887766",
        "counterparty_account": None,
        "vpa_or_ifsc": None,
        "amount": Decimal("100.00"),
        "currency": "EUR",
        "status": "SUCCESS",
        "direction": "C",
        "txn_timestamp": datetime(2026, 1, 4, 18, 30, tzinfo=UTC),
        "raw_row": None,
        "row_hash": None,
        "flags": (),
    }
    text = "\n".join([*HEAD, LINE, "below", ":86:Invoice 17", *FOOT]).encode()
    assert raw([text]) == {
        "statement_reference": "REF1",
        "value_date": "260105",
        "entry_date": "0105",
        "mark": "C",
        "funds_code": "",
        "amount": "100,00",
        "type": "NTRF",
        "customer_reference": "INV-17",
        "bank_reference": "BANK-1",
        "supplementary_details": "below",
        "details": "Invoice 17",
    }


def test_a_statement_in_full():
    found = read(*HEAD, LINE, ":61:260105D40,NMSCNONREF", ":62F:C260105EUR1060,00")
    assert of(Fault, found) == []
    assert of(Statement, found) == [
        Statement(
            line=7,
            account_id="0099887766",
            statement_id="20260104/5/1",
            number=5,
            currency="EUR",
            opening=Decimal("1000.00"),
            closing=Decimal("1060.00"),
            opening_date=date(2026, 1, 4),
            closing_date=date(2026, 1, 5),
            rows=2,
            credits=Decimal("100.00"),
            debits=Decimal("40"),
        )
    ]


@pytest.mark.parametrize(
    ("mark", "direction", "status"),
    [
        ("C", "C", "SUCCESS"),
        ("D", "D", "SUCCESS"),
        ("CR", "C", "SUCCESS"),
        ("DN", "D", "SUCCESS"),
        ("RC", "D", "REVERSED"),
        ("RD", "C", "REVERSED"),
        ("RCR", "D", "REVERSED"),
        ("EC", "C", "PENDING"),
        ("ED", "D", "PENDING"),
    ],
)
def test_marks_say_the_direction_and_the_status(mark, direction, status):
    row = entry(f":61:2601050105{mark}100,00NTRFX")
    assert (row.direction, row.status) == (direction, status)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("100,00", "100.00"),
        ("100,", "100.00"),
        ("100,5", "100.50"),
        ("0,01", "0.01"),
        (",02", "0.02"),
        ("000000000001213,28", "1213.28"),
        ("9999999999999999,99", "9999999999999999.99"),
    ],
)
def test_amounts_are_exact(text, amount):
    row = entry(f":61:260105C{text}NTRFX")
    assert row.amount == Decimal(amount)
    assert row.flags == ()


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (":61:260105C100.00NTRFX", "amount", "invalid_amount"),
        (":61:260105C1.000,00NTRFX", "amount", "invalid_amount"),
        (":61:260105C100,00,00NTRFX", "amount", "invalid_amount"),
        (":61:260105C100,005NTRFX", "amount", "unsupported_precision"),
        (":61:260105C10000000000000000,NTRFX", "amount", "amount_too_large"),
        (f":61:260105C{'9' * 99},NTRFX", "amount", "amount_too_large"),
        (":61:260105NTRFX", ":61:", "malformed_field"),
        (":61:260105X100,00NTRFX", ":61:", "malformed_field"),
        (":61:26010C100,00NTRFX", ":61:", "malformed_field"),
        (":61:", ":61:", "malformed_field"),
        (":61:261305C100,00NTRFX", "value_date", "invalid_timestamp"),
        (":61:260431C100,00NTRFX", "value_date", "invalid_timestamp"),
        (":61:2601050431C100,00NTRFX", "entry_date", "invalid_timestamp"),
        (":61:260105C1,00NTRFX\n:86:a\0b", ":86:", "nul_byte"),
        (f":61:260105C1,00NTRFX\n:86:{'x' * 70000}", ":61:", "field_too_long"),
    ],
)
def test_a_bad_entry_is_refused(line, column, reason):
    assert reject(line) == (column, reason)


def test_a_refused_entry_keeps_its_number_and_is_part_of_the_balance():
    lines = (":61:260105C100,005NTRFX", LINE, ":62F:C260105EUR1200,005")
    found = read(*HEAD, *lines)
    assert of(Fault, found) == []
    (row,) = of(Row, found)
    assert row.txn_id.endswith(":2")
    (statement,) = of(Statement, found)
    assert statement.rows == 1


def test_yen_have_no_decimals_and_three_of_a_dinar_cannot_be_kept():
    for currency, amount in (("JPY", "5,5"), ("KWD", "1,250")):
        head = (*HEAD[:3], f":60F:C260104{currency}0,")
        assert reject(f":61:260105C{amount}NTRFX", head=head) == (
            "amount",
            "unsupported_precision",
        )


@pytest.mark.parametrize(
    ("dates", "day"),
    [
        ("260105", (2026, 1, 5)),
        ("2601050107", (2026, 1, 7)),
        ("260105    ", (2026, 1, 5)),
        ("2601011231", (2025, 12, 31)),
        ("2512310102", (2026, 1, 2)),
        ("9912310101", (2000, 1, 1)),
        ("800101", (1980, 1, 1)),
        ("1602300301", (2016, 3, 1)),
    ],
)
def test_the_booking_day_counts_and_else_the_value_day(dates, day):
    row = entry(f":61:{dates}C100,00NTRFX")
    year, month, date_ = day
    midnight = datetime(year, month, date_, tzinfo=UTC)
    assert (midnight - row.txn_timestamp).total_seconds() == 5.5 * 3600


def test_thirtieth_february_is_its_last_day_and_flagged():
    row = entry(":61:230230C100,00NTRFX")
    assert row.txn_timestamp == datetime(2023, 2, 27, 18, 30, tzinfo=UTC)
    assert row.flags == (Flag("value_date", Reason.INVALID_TIMESTAMP, "230230"),)


def test_doubts_about_an_amount_are_flagged():
    assert entry(":61:260105C0,00NTRFX").flags == (
        Flag("amount", Reason.ZERO_AMOUNT, "0,00"),
    )
    row = entry(":61:260105C500NTRFX")
    assert row.amount == 500
    assert row.flags == (Flag("amount", Reason.INVALID_AMOUNT, "500"),)


def test_details_are_kept_whole_however_they_are_broken():
    lines = (LINE, ":86:first", ":86:second", ":15:30:00 third", " fourth", "-A fifth")
    text = "\n".join([*HEAD, *lines, ":NS:01more", *FOOT]).encode()
    told = raw([text])
    assert told["details"] == "first\nsecond\n:15:30:00 third\n fourth\n-A fifth"
    assert told["non_swift"] == "01more"


def test_a_time_of_day_at_the_start_of_a_line_begins_no_statement():
    found = read(*HEAD, LINE, ":86:paid at", ":20:15:37 by card", *FOOT)
    assert len(of(Statement, found)) == 1
    assert of(Reject, found) == []


def test_details_of_the_statement_are_of_no_entry():
    lines = (":86:about all", LINE, ":62F:C260105EUR1100,00", ":86:goodbye")
    text = "\n".join([*HEAD, *lines]).encode()
    assert raw([text])["details"] == ""
    assert of((Reject, Fault), read(*HEAD, *lines)) == []


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_envelopes_and_line_ends_do_not_matter(line_end):
    lines = [
        "\x01{1:F01ABNANL2AXXX0000000000}{2:I940ABNANL2AXXXXN}{3:{108:X}}{4:",
        *HEAD,
        LINE,
        ":62F:C260105EUR1100,00",
        "-}{5:{MAC:1234}{CHK:5678}}\x03",
        "ABNANL2A",
        "940",
        "ABNANL2A",
        *HEAD,
        "",
        LINE,
        ":62F:C260105EUR1100,00-}",
        "0000 01INGBNL2AXXXX00001",
        "940 00",
        "{1:F01ABNANL2AXXX0000000000}{2:I940ABNANL2AXXXXN}{4::20:REF1",
        *HEAD[1:],
        ":62F:C260104EUR1000,00",
        "-XXX",
    ]
    found = records(mt940.read_940, [line_end.join(lines).encode()])
    assert [type(one.record) for one in found] == [Row, Statement] * 2 + [Statement]
    assert [one.line for one in found] == [6, 7, 17, 18, 25]


def test_lines_of_home_banking_end_with_at_signs():
    lines = ("", *HEAD, LINE, ":86:mail@@example.org", *FOOT)
    data = "@@".join(lines).encode()
    row, fault, statement = records(mt940.read_940, [data])
    assert json.loads(row.record.raw_row)["details"] == "mail\nexample.org"
    assert (row.line, fault.record.control, statement.line) == (6, "closing_balance", 9)
    for one in (row, fault):
        rest = records(mt940.read_940, [data[one.end_offset :]], one.position)
        assert rest == [fault, statement][(one is fault) :]
    with_ends = "\n".join(lines).encode()
    (kept,) = (one.row for one in records(mt940.read_940, [with_ends]) if one.row)
    assert kept.raw_row["details"] == "mail@@example.org"


def test_text_is_utf8_or_latin1():
    lines = (*HEAD, LINE, ":86:Übertrag", *FOOT)
    for encoding in ("utf-8", "iso-8859-1"):
        assert raw(["\n".join(lines).encode(encoding)])["details"] == "Übertrag"
    found = records(mt940.read_940, [b"\xef\xbb\xbf" + "\n".join(lines).encode()])
    assert found[0].row is not None


@pytest.mark.parametrize(
    ("given", "account"),
    [
        ("517852257 EUR", "517852257"),
        ("1291.99.348EUR", "1291.99.348"),
        ("//AT39364/12345678912/EUR", "//AT39364/12345678912"),
        ("MU17BOMM0101101030300200000MUR", "MU17BOMM0101101030300200000MUR"),
        ("50880050/0194774600888", "50880050/0194774600888"),
        ("A" * 60, "A" * 60),
    ],
)
def test_the_account_is_kept_without_its_currency(given, account):
    row = entry(LINE, head=(HEAD[0], f":25:{given}", *HEAD[2:]))
    assert row.account_id == account


@pytest.mark.parametrize(
    ("head", "statement_id"),
    [
        ((":28C:00004/00002", ":60F:C260104EUR0,"), "20260104/4/2"),
        ((":28:17", ":60F:C260104EUR0,"), "20260104/17"),
        ((":28C:20260104", ":60F:C260104EUR0,"), "20260104/20260104"),
        ((":28C:0", ":60F:C260104EUR0,"), "20260104/0/REF1"),
        ((":60F:C260104EUR0,",), "20260104/REF1"),
    ],
)
def test_the_statement_is_told_from_others(head, statement_id):
    row = entry(LINE, head=(*HEAD[:2], *head))
    assert row.txn_id == f"MT940:0099887766:{statement_id}:1"


def test_without_account_or_currency_no_entry_is_accepted():
    assert reject(LINE, head=(":20:X", *HEAD[2:])) == (":25:", "missing_value")
    assert reject(LINE, head=HEAD[:3]) == ("currency", "missing_value")
    assert reject(":60F:C260104XYZ1,", head=HEAD[:3]) == (":60F:", "invalid_currency")


def test_an_entry_outside_of_a_statement_is_refused():
    found = read(*HEAD, *FOOT, LINE)
    assert of(Row, found) == []
    (late,) = of(Reject, found)
    assert (late.line, late.column) == (7, ":61:")
    assert late.reason is Reason.OUTSIDE_STATEMENT
    assert read(LINE)[0].reason is Reason.OUTSIDE_STATEMENT


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (":99Z:what", None, "unknown_field"),
        (":65F:Dnullnull7414,3", None, "unknown_field"),
        ("stray words", None, "outside_field"),
        (":60F:C260104EUR1,00", ":60F:", "repeated_field"),
        (":25:other", ":25:", "repeated_field"),
        (":28C:x", ":28C:", "malformed_field"),
        (":64:C260105EUR1.00", ":64:", "malformed_field"),
        (":64:C260105EUR1,00 more", ":64:", "malformed_field"),
        (":65:C26010EUR1,00", ":65:", "malformed_field"),
        (":64:C269905EUR1,00", ":64:", "invalid_timestamp"),
        (":64:C26010\u0665EUR1,00", ":64:", "malformed_field"),
        (":90C:9" + "9" * 5000 + "EUR1,", ":90C:", "malformed_field"),
        (":13D:soon", ":13D:", "malformed_field"),
    ],
)
def test_what_is_no_part_of_a_statement_is_reported(line, column, reason):
    assert reject(line) == (column, reason)


def test_balances_that_do_not_add_up():
    assert faults(*HEAD, LINE, *FOOT) == [
        (6, "closing_balance", "1000 EUR", "1100 EUR")
    ]
    assert faults(*HEAD, ":62F:C260105USD1000,00") == [
        (5, "closing_balance", "1000 USD", "1000 EUR")
    ]
    assert faults(*HEAD, ":62F:C260105EUR0000000000000000001000,00") == []
    assert faults(*HEAD, ":61:260105RC2000,NTRFX", ":62F:D260105EUR1000,") == []
    assert faults(*HEAD, ":61:260105EC5,NTRFX", *FOOT) == []


def test_pages_follow_from_each_other():
    first = (*HEAD, LINE, ":62M:C260105EUR1100,00", "-")
    second = (":20:REF1", ":25:0099887766", ":28C:5/2", ":60M:C260105EUR1100,00")
    last = (":61:260105D100,NTRFX", ":62F:C260105EUR1000,00", "-")
    assert faults(*first, *second, *last) == []
    wrong = (*second[:3], ":60M:C260105EUR1100,01", ":62F:C260105EUR1100,01")
    assert faults(*first, *wrong) == [
        (11, "opening_balance", "1100.01 EUR", "1100 EUR")
    ]
    skipped = (*second[:2], ":28C:5/3", *second[3:])
    assert faults(*first, *skipped, *last) == [(10, "page", "2", "3")]


def test_entries_of_pages_without_numbers_are_numbered_on():
    def page(opening, closing):
        head = (*HEAD[:3], f":60F:C260104EUR{opening},", LINE)
        return (*head, f":62F:C260104EUR{closing},")

    found = of(Row, read(*page(1000, 1100), *page(1100, 1200)))
    assert [row.txn_id[-3:] for row in found] == ["1:1", "1:2"]
    again = of(Row, read(*page(1000, 1100), *page(1000, 1100)))
    assert [row.txn_id[-3:] for row in again] == ["1:1", "1:1"]
    second = (*HEAD[:3], ":60M:C260104EUR1100,", LINE, ":62F:C260104EUR1200,")
    assert of(Row, read(*page(1000, 1100), *second))[1].txn_id.endswith("1:2")


def test_a_closing_balance_without_currency_has_that_of_the_opening():
    assert faults(*HEAD, LINE, ":62F:C2601051100,00") == []
    assert reject(":60F:C2601051100,00", head=HEAD[:3])[0] == ":60F:"


def test_missing_balances():
    assert faults(*HEAD[:3], ":62F:C260105EUR0,") == [
        (4, "missing_balance", ":60F:", "")
    ]
    assert faults(*HEAD, LINE, "-", *HEAD, *FOOT) == [
        (5, "missing_balance", ":62F:", "")
    ]
    assert faults(*HEAD, LINE) == [(6, "unfinished", ":62F:", "")]


INTERIM = (":20:I1", ":25:0099887766", ":28C:7/1", ":34F:EUR0,", ":13D:2601051230+0100")


def test_an_interim_report_needs_no_balances():
    found = read(*INTERIM, LINE, ":61:260105ED5,NTRFX", "-", source="MT942")
    first, second, statement = found
    assert first.txn_id == "MT942:0099887766:2601051230+0100/7/1:1"
    assert (second.status, second.direction, second.amount) == ("PENDING", "D", 5)
    assert (statement.line, statement.rows, statement.closing) == (7, 2, None)
    assert (statement.credits, statement.debits) == (100, 0)


@pytest.mark.parametrize(
    ("totals", "expected"),
    [
        ((":90D:0EUR0,", ":90C:1EUR100,00"), []),
        ((":90D:1EUR5,00", ":90C:1EUR100,"), []),
        ((":90C:2EUR100,",), [(8, "row_count", "2", "1")]),
        ((":90C:1EUR100,01",), [(8, "credit_sum", "100.01", "100.00")]),
        ((":90D:1EUR6,",), [(8, "debit_sum", "6", "5")]),
    ],
)
def test_totals_of_an_interim_report(totals, expected):
    lines = (*INTERIM, LINE, ":61:260105ED5,NTRFX", *totals, "-")
    assert faults(*lines, source="MT942") == expected


def test_totals_may_be_of_all_pages():
    first = (*INTERIM, LINE, "-")
    second = (*INTERIM[:2], ":28C:7/2", *INTERIM[3:], LINE, ":90C:2EUR200,")
    assert faults(*first, *second, source="MT942") == []


def test_a_file_without_any_field_is_refused():
    error = file_error(b"date,amount\n2026-01-05,100\n")
    assert error.code is FileFault.WRONG_FORMAT
    assert "date,amount" in error.message
    assert file_error(b"").code is FileFault.EMPTY_FILE
    assert file_error(gzip.compress(b":20:X")).code is FileFault.COMPRESSED_FILE
    assert file_error(b"%PDF-1.7").code is FileFault.NOT_TEXT
    assert file_error(b"x\n" * (1 << 20)).code is FileFault.WRONG_FORMAT


def test_a_file_of_the_other_type_is_refused():
    interim = b"{1:F01X}{2:I942ABNANL2AXXXXN}{4:\n:20:X\n"
    error = file_error(interim)
    assert error.code is FileFault.WRONG_FORMAT
    assert "source MT942" in error.message
    assert records(mt940.read_942, [interim])


def test_equal_entries_have_equal_hashes_and_others_do_not():
    row = entry(LINE, ":86:a")
    assert entry(LINE, ":86:a").row_hash == row.row_hash
    for other in (LINE.replace("C100", "C101"), LINE.replace("C100", "D100")):
        assert entry(other, ":86:a").row_hash != row.row_hash
    assert entry(LINE, ":86:b").row_hash != row.row_hash


def test_work_grows_with_the_file_alone():
    def a_file(entries):
        lines = (LINE, "below", f":86:{'x' * 60}", "y" * 60, ":86:more")
        return "\n".join([*HEAD, *lines * entries]).encode()

    assert_work_is_linear(mt940.read_940, a_file)


def test_an_entry_of_many_lines_is_read_in_one_pass():
    def a_file(lines):
        return "\n".join([*HEAD, LINE, *[":86:x"] * lines]).encode()

    assert_work_is_linear(mt940.read_940, a_file)


def found_in(name, source):
    data = (SAMPLES / name).read_bytes()
    return [one.record for one in records(source_get(source).read, [data])]


def test_the_good_samples():
    found = found_in("mt940_small.sta", "MT940")
    assert of((Reject, Fault), found) == []
    assert [row.reference_id for row in of(Row, found)] == [
        "E2E-0017",
        "600512345678",
        "000123",
        "E2E-0018",
    ]
    found = found_in("mt942_small.sta", "MT942")
    assert of((Reject, Fault), found) == []
    assert len(of(Row, found)) == 3


@pytest.mark.parametrize("source", ["MT940", "MT942"])
def test_the_samples_page_lists_the_rejects_and_faults(source):
    name = f"{source.lower()}_bad.sta"
    found = of((Reject, Fault), found_in(name, source))
    expected = [
        (str(one.line), str(one.reason if isinstance(one, Reject) else one.control))
        for one in found
    ]
    page = (SAMPLES / "README.md").read_text()
    section = page.split(f"### {name}")[1].split("\n#")[0]
    listed = re.findall(r"^\| ([0-9]+) \| .* \| `(\w+)` \|$", section, re.MULTILINE)
    assert listed == expected


def test_controls_have_sentences():
    assert all(control.sentence.endswith(".") for control in Control)
