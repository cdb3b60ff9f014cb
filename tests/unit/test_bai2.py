"""BAI2: what becomes of every record, and what is refused with which words."""

import gzip
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from ingestion.sources import bai2
from ingestion.sources.base import (
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
FILE = "01,SENDER,RECEIVER,260106,0200,1,,,2/"
GROUP = "02,RECEIVER,ORIGINATOR,1,260105,2359,USD,2/"
ACCOUNT = "03,0099887766,,010,1000,,/"
DETAIL = "16,195,250000,,BANK-1,INV-17,Invoice 17"


def read(*lines, end="\n"):
    data = end.join([*lines, ""]).encode()
    return [one.record for one in records(bai2.read, [data])]


def of(kind, found):
    return [record for record in found if isinstance(record, kind)]


def detail(*lines, account=ACCOUNT, group=GROUP):
    """Return the one row of an account with this transaction."""
    (record,) = of((Row, Reject), read(FILE, group, account, *lines))
    assert isinstance(record, Row), record
    return record


def reject(*lines, account=ACCOUNT, group=GROUP):
    (record,) = of((Row, Reject), read(FILE, group, account, *lines))
    assert isinstance(record, Reject)
    return record.column, record.reason.value


def raw(*lines):
    return json.loads(detail(*lines).raw_row)


def faults(*lines):
    found = of(Fault, read(*lines))
    return [(f.line, f.control.value, f.expected, f.found) for f in found]


def account_faults(*lines, total="", count=""):
    """Return what does not hold of an account within sound trailers."""
    tail = (f"49,{total},{count}/", "98,,,/", "99,,,/")
    return [one[1:] for one in faults(FILE, GROUP, *lines, *tail)]


def file_error(data):
    with pytest.raises(SourceError) as caught:
        records(bai2.read, [data])
    return caught.value


def test_a_transaction_in_full():
    row = detail(DETAIL)
    assert row._asdict() | {"row_hash": None, "raw_row": None} == {
        "line": 4,
        "txn_id": "BAI2:0099887766:260105T2359/2:1",
        "source_txn_id": "BANK-1",
        "reference_id": "INV-17",
        "account_id": "0099887766",
        "counterparty_account": None,
        "vpa_or_ifsc": None,
        "amount": Decimal("2500.00"),
        "currency": "USD",
        "status": "SUCCESS",
        "direction": "C",
        "txn_timestamp": datetime(2026, 1, 4, 18, 30, tzinfo=UTC),
        "raw_row": None,
        "row_hash": None,
        "flags": (),
    }
    assert json.loads(row.raw_row) == {
        "as_of_date": "260105",
        "as_of_time": "2359",
        "as_of_date_modifier": "2",
        "group_status": "1",
        "file": "260106-0200-1",
        "type_code": "195",
        "amount": "250000",
        "funds_type": "",
        "availability": [],
        "bank_reference": "BANK-1",
        "customer_reference": "INV-17",
        "text": "Invoice 17",
    }


def test_an_account_in_full():
    account = ("03,0099887766,EUR,010,1000,,,015,2000,,/", "16,195,1500,,,/")
    rest = ("16,475,500,,,/", "49,5000,4/", "98,5000,1,6/", "99,5000,1,8/")
    found = read(FILE, GROUP, *account, *rest)
    assert of(Fault, found) == []
    assert of(Statement, found) == [
        Statement(
            line=6,
            account_id="0099887766",
            statement_id="260105T2359/2",
            number=None,
            currency="EUR",
            opening=Decimal("10.00"),
            closing=Decimal("20.00"),
            opening_date=date(2026, 1, 5),
            closing_date=date(2026, 1, 5),
            rows=2,
            credits=Decimal("15.00"),
            debits=Decimal("5.00"),
        )
    ]


@pytest.mark.parametrize(
    ("code", "direction"),
    [
        *(("108", "C"), ("399", "C"), ("409", "D"), ("699", "D")),
        *(("721", "C"), ("760", "D"), ("827", "C"), ("828", "D")),
        *(("920", "C"), ("959", "C"), ("960", "D"), ("999", "D")),
    ],
)
def test_types_say_the_direction(code, direction):
    assert detail(f"16,{code},100,,,/").direction == direction


def test_a_sign_decides_for_types_of_a_bank_own():
    row = detail("16,925,-100,,,/")
    assert (row.direction, row.amount) == ("D", Decimal("1.00"))
    assert detail("16,925,+100,,,/").direction == "C"


@pytest.mark.parametrize("code", ["252", "395", "552", "558", "694"])
def test_types_of_reversals(code):
    row = detail(f"16,{code},100,,,/")
    assert (row.status, row.direction) == ("REVERSED", "D" if code > "399" else "C")


@pytest.mark.parametrize(
    ("currency", "text", "amount"),
    [
        ("USD", "1", "0.01"),
        ("USD", "+000000000002500", "25.00"),
        ("JPY", "2500", "2500.00"),
        ("KWD", "2500", "2.50"),
        ("USD", "999999999999999999", "9999999999999999.99"),
    ],
)
def test_decimals_are_implied_by_the_currency(currency, text, amount):
    row = detail(f"16,195,{text},,,/", account=f"03,17,{currency},,,,/")
    assert (row.amount, row.currency) == (Decimal(amount), currency)


def test_the_currency_is_of_the_account_or_the_group_or_dollars():
    group = "02,R,O,1,260105,,gbp,/"
    assert detail(DETAIL, account="03,17,EUR,/", group=group).currency == "EUR"
    assert detail(DETAIL, account="03,17,,/", group=group).currency == "GBP"
    assert detail(DETAIL, group="02,R,O,1,260105,,,/").currency == "USD"


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ("16,195,25.00,,,/", "amount", "invalid_amount"),
        ("16,195,1e5,,,/", "amount", "invalid_amount"),
        ("16,195,\u0661\u0662,,,/", "amount", "invalid_amount"),
        ("16,195,-2500,,,/", "amount", "negative_amount"),
        ("16,195,1000000000000000000,,,/", "amount", "amount_too_large"),
        (f"16,195,{'9' * 5000},,,/", "amount", "invalid_amount"),
        ("16,010,2500,,,/", "type_code", "invalid_type"),
        ("16,905,2500,,,/", "type_code", "invalid_type"),
        ("16,XYZ,2500,,,/", "type_code", "invalid_type"),
        ("16,,2500,,,/", "type_code", "invalid_type"),
        ("16", "type_code", "invalid_type"),
        ("16,890,,,,,news/", "type_code", "no_money"),
        ("16,195,100,,,,a\0b/", "16", "nul_byte"),
        (f"16,195,100,,,,{'x' * 70000}/", "16", "field_too_long"),
        ("16,195,100,,,,x\n" + "88,y\n" * 10_000, "16", "field_too_long"),
    ],
)
def test_a_bad_transaction_is_refused(line, column, reason):
    assert reject(line) == (column, reason)


def test_a_thousandth_cannot_be_kept():
    account = "03,17,KWD,,,,/"
    assert reject("16,195,2501,,,/", account=account) == (
        "amount",
        "unsupported_precision",
    )
    assert reject(DETAIL, account="03,17,XYZ,/") == ("currency", "invalid_currency")


@pytest.mark.parametrize(
    ("group", "column", "reason"),
    [
        ("02,R,O,1,,,,/", "as_of_date", "missing_value"),
        ("02,R,O,1,260231,,,/", "as_of_date", "invalid_timestamp"),
        ("02,R,O,1,261305,,,/", "as_of_date", "invalid_timestamp"),
        ("02,R,O,1,yesterday,,,/", "as_of_date", "invalid_timestamp"),
        ("02,R,O,2,260105,,,/", "group_status", "not_booked"),
        ("02,R,O,4,260105,,,/", "group_status", "not_booked"),
    ],
)
def test_groups_that_transactions_cannot_be_taken_from(group, column, reason):
    assert reject(DETAIL, group=group) == (column, reason)


def test_a_day_may_have_its_century():
    row = detail(DETAIL, group="02,R,O,1,20260105,,,/")
    assert row.txn_timestamp == datetime(2026, 1, 4, 18, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("funds", "availability"),
    [
        ("", []),
        ("0", []),
        ("1", []),
        ("2", []),
        ("Z", []),
        ("z", []),
        ("V,260107,", ["260107", ""]),
        ("V,260107,1200", ["260107", "1200"]),
        ("S,100,200,300", ["100", "200", "300"]),
        ("S,,200,300", ["", "200", "300"]),
        ("D,2,0,100,1,200", ["2", "0", "100", "1", "200"]),
        ("D,0", ["0"]),
    ],
)
def test_funds_types_and_the_fields_behind_them(funds, availability):
    line = f"16,195,600,{funds},BANK-2,INV-18,text, with/commas/"
    told = raw(line)
    assert told["availability"] == availability
    assert (told["bank_reference"], told["customer_reference"]) == ("BANK-2", "INV-18")
    assert told["text"] == "text, with/commas"
    assert detail(line).flags == ()


@pytest.mark.parametrize(
    "told",
    [
        *("S,1,2,W", "V,260431,", "V,260105,2", "V,2601,", "V,x,"),
        *("D,3,0,5,1,5,W,C", "D,1,x,5"),
    ],
)
def test_an_availability_that_is_none_is_flagged(told):
    """Fields behind it may have been taken for a part of it."""
    flags = detail(f"16,195,600,{told},B,C,t/").flags
    assert [flag.column for flag in flags] == ["funds_type"]


@pytest.mark.parametrize("told", ["S,1,,3", "V,260105,", "V,260105,2400", "D,1,0,600"])
def test_a_sound_availability_is_not(told):
    assert detail(f"16,195,600,{told},B,C,t/").flags == ()


def test_an_unknown_funds_type_is_flagged():
    assert detail("16,195,600,Q,B,C,t/").flags == (
        Flag("funds_type", Reason.MALFORMED_FIELD, "Q"),
    )
    assert detail("16,195,600,D,x,B,C,t/").flags[0].column == "funds_type"


def test_a_record_goes_on_in_the_next_ones():
    told = raw(
        "16,115,10000000,S,5000000,4000000,1000000/",
        "88,AX13612,B096132,AMALGAMATED CORP. LOCKBOX",
        "88,DEPOSIT-MISC. RECEIVABLES, 1/2",
    )
    assert told["availability"] == ["5000000", "4000000", "1000000"]
    assert (told["bank_reference"], told["customer_reference"]) == (
        "AX13612",
        "B096132",
    )
    assert told["text"] == "AMALGAMATED CORP. LOCKBOX\nDEPOSIT-MISC. RECEIVABLES, 1/2"


def test_text_that_goes_on_without_a_code_is_kept_and_flagged():
    row = detail("16,195,600,,,,first", "second line", "88,third/")
    assert json.loads(row.raw_row)["text"] == "first\nsecond line\nthird"
    assert row.flags[0][:2] == ("text", Reason.OUTSIDE_FIELD)


@pytest.mark.parametrize(
    ("line", "reference"),
    [
        ("16,195,600,,BANK,INV-17,text/", "INV-17"),
        ("16,195,600,,BANK,,text/", None),
        ("16,195,600,,BANK,0000000,text/", None),
        ("16,195,600,,BANK,INV-17,x\n88,EREF: E2E-17\n88,CRNM: A", "E2E-17"),
        (
            "16,195,600,,BANK,INV-17,RTGS HDFCR52026010512345678/",
            "HDFCR52026010512345678",
        ),
    ],
)
def test_references(line, reference):
    row = detail(line)
    assert (row.reference_id, row.source_txn_id) == (reference, "BANK")


def test_a_transaction_of_nothing_is_flagged():
    assert detail("16,195,,,,/").flags == (Flag("amount", Reason.ZERO_AMOUNT, ""),)


def test_the_same_account_again_is_told_from_the_first():
    trailer = "49,,/"
    found = read(FILE, GROUP, ACCOUNT, DETAIL, trailer, ACCOUNT, DETAIL, trailer)
    assert [row.txn_id for row in of(Row, found)] == [
        "BAI2:0099887766:260105T2359/2:1",
        "BAI2:0099887766:260105T2359/2.2:1",
    ]


def test_records_that_share_a_line_are_lines_of_their_own():
    shared = "/ ".join((FILE[:-1], GROUP[:-1], ACCOUNT[:-1], "16,142,25,Z,,,A/B 1/ 2"))
    found = records(
        bai2.read, [f"{shared}/  49,1025,3/\t98,1025,1,5/ 99,1025,1,7/".encode()]
    )
    row, statement = (one.record for one in found)
    assert json.loads(row.raw_row)["text"] == "A/B 1/ 2"
    assert (row.line, statement.line) == (4, 5)


def test_summaries_in_all_their_forms():
    lines = (
        "03,17,,010,+100,,,100,50,2,V,260105,,400,30,1,S,10,10,10/",
        "88,015/",
        "88,120,,,072,0,3,D,2,0,1,1,2,,074,5/",
        "88,040,7/",
    )
    assert account_faults(*lines, total="312", count="5") == []
    (statement,) = of(Statement, read(FILE, GROUP, *lines, "49,,/"))
    assert (statement.opening, statement.closing) == (Decimal("1"), Decimal("1.2"))


def test_a_summary_that_makes_no_sense_is_reported():
    for fields in ("010,1.00,,", "abc,100,,", "010,100,,,17,5,,"):
        assert reject(account=f"03,17,,{fields}/") == ("03", "malformed_field")


@pytest.mark.parametrize(
    ("lines", "total", "count", "found"),
    [
        ((ACCOUNT, DETAIL), "251000", "3", []),
        ((ACCOUNT, DETAIL), "+00251000", "0003", []),
        ((ACCOUNT, DETAIL), "251001", "3", [("total_sum", "251001", "251000")]),
        ((ACCOUNT, DETAIL), "2.51", "3", [("total_sum", "2.51", "251000")]),
        ((ACCOUNT, DETAIL), "251000", "2", [("row_count", "2 records", "3 records")]),
        ((ACCOUNT, DETAIL, "88,more"), "251000", "4", []),
        ((ACCOUNT, DETAIL, "more without a code"), "251000", "3", []),
        ((ACCOUNT,), "", "", []),
    ],
)
def test_totals_of_an_account(lines, total, count, found):
    assert account_faults(*lines, total=total, count=count) == found


@pytest.mark.parametrize(
    ("summary", "found"),
    [
        ("010,0,,,015,250000,,", []),
        ("010,0,,,015,250001,,", [("closing_balance", "2500.01 USD", "2500.00 USD")]),
        ("010,0,,,015,300000,,,100,300000,2,", []),
        ("100,300000,2,", []),
        ("100,300000,,", []),
        ("100,300000,1,", [("credit_sum", "3000.00 USD", "2500.00 USD")]),
        ("100,200000,,", [("credit_sum", "2000.00 USD", "2500.00 USD")]),
        ("100,0,0,", [("credit_sum", "0.00 USD", "2500.00 USD")]),
        ("400,0,0,", []),
    ],
)
def test_balances_and_totals_of_an_account(summary, found):
    assert account_faults(f"03,17,,{summary}/", DETAIL) == found


def test_balances_without_movements_told_are_not_checked():
    assert account_faults("03,17,,010,5,,,015,9,,/") == []


def test_totals_of_groups_and_files():
    account = (ACCOUNT, DETAIL, "49,251000,3/")
    sound = (FILE, GROUP, *account, "98,251000,1,5/", "99,251000,1,7/")
    assert faults(*sound) == []
    assert faults(*sound[:-2], "98,251001,2,6/", "99,251000,1,7/") == [
        (6, "total_sum", "251001", "251000"),
        (6, "row_count", "2 accounts", "1 accounts"),
        (6, "row_count", "6 records", "5 records"),
    ]
    assert faults(*sound[:-1], "99,1,3,9/") == [
        (7, "total_sum", "1", "251000"),
        (7, "row_count", "3 groups", "1 groups"),
        (7, "row_count", "9 records", "7 records"),
    ]
    assert faults(*sound, *sound) == []


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        ((FILE, GROUP, ACCOUNT, DETAIL), ["49", "98", "99"]),
        ((FILE, GROUP, ACCOUNT, ACCOUNT, "49,,/", "98,,,/", "99,,,/"), ["49"]),
        ((FILE, GROUP, ACCOUNT, "98,,,/", "99,,,/"), ["49"]),
        ((FILE, GROUP, ACCOUNT, "49,,/", GROUP, "98,,,/", "99,,,/"), ["98"]),
        ((FILE, GROUP, ACCOUNT, "49,,/", "98,,,/", FILE, "99,,,/"), ["99"]),
    ],
)
def test_missing_trailers(lines, missing):
    found = [one for one in of(Fault, read(*lines)) if one.control == "unfinished"]
    assert [one.expected for one in found] == missing
    assert len(of(Statement, read(*lines))) == sum(
        line.startswith("03") for line in lines
    )


@pytest.mark.parametrize(
    ("lines", "column", "reason"),
    [
        ((FILE, GROUP, DETAIL), "16", "outside_statement"),
        ((FILE, GROUP, "49,,/"), "49", "outside_statement"),
        ((FILE, "98,,,/"), "98", "outside_statement"),
        ((FILE, "99,,,/", "99,,,/"), "99", "outside_statement"),
        ((FILE, ACCOUNT), "03", "outside_statement"),
        ((FILE, "99,,,/", GROUP), "02", "outside_statement"),
        ((FILE, GROUP, "what is this"), None, "outside_field"),
        ((FILE, GROUP, "20,17,5/"), None, "outside_field"),
        (("junk before", FILE, GROUP), None, "outside_field"),
        (("88,more", FILE, GROUP), "88", "outside_field"),
        ((FILE, GROUP + "x" * 70000), "02", "field_too_long"),
    ],
)
def test_records_out_of_place_are_reported(lines, column, reason):
    (found,) = of(Reject, read(*lines))
    assert (found.column, found.reason.value) == (column, reason)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_blanks_and_a_mark_do_not_matter(end):
    lines = [FILE + "  ", "", GROUP, "  " + ACCOUNT, DETAIL, "\x1a"]
    data = b"\xef\xbb\xbf" + end.join(lines).encode()
    row = next(one.row for one in records(bai2.read, [data]) if one.row)
    assert (row.line, row.currency) == (5, "USD")


def test_a_file_without_a_header_is_refused():
    error = file_error(b"date,amount\n2026-01-05,100\n")
    assert error.code is FileFault.WRONG_FORMAT
    assert "date,amount" in error.message
    assert file_error(GROUP.encode()).code is FileFault.WRONG_FORMAT
    assert file_error(b"").code is FileFault.EMPTY_FILE
    assert file_error(gzip.compress(FILE.encode())).code is FileFault.COMPRESSED_FILE
    assert file_error(b"x\n" * (1 << 20)).code is FileFault.WRONG_FORMAT


def test_equal_transactions_have_equal_hashes_and_others_do_not():
    row = detail(DETAIL)
    assert detail(DETAIL).row_hash == row.row_hash
    for other in ("16,195,250001,,BANK-1,INV-17,Invoice 17", DETAIL + "8"):
        assert detail(other).row_hash != row.row_hash


def test_work_grows_with_the_file_alone():
    def a_file(transactions):
        lines = (DETAIL, "88,more of it, and more", "88,EREF: E2E-17")
        return "\n".join([FILE, GROUP, ACCOUNT, *lines * transactions]).encode()

    assert_work_is_linear(bai2.read, a_file)


def test_a_summary_of_many_types_is_read_in_one_pass():
    def a_file(lines):
        more = ["88,072,1,,,074,1,,"] * lines
        return "\n".join([FILE, GROUP, "03,17,,", *more, "49,,/"]).encode()

    assert_work_is_linear(bai2.read, a_file)


def test_the_good_sample():
    data = (SAMPLES / "bai2_small.txt").read_bytes()
    found = [one.record for one in records(source_get("BAI2").read, [data])]
    assert of((Reject, Fault), found) == []
    assert [row.reference_id for row in of(Row, found)] == ["E2E-0017", "000123", None]


def test_the_samples_page_lists_the_rejects_and_faults():
    data = (SAMPLES / "bai2_bad.txt").read_bytes()
    found = of((Reject, Fault), [one.record for one in records(bai2.read, [data])])
    expected = [
        (str(one.line), str(one.reason if isinstance(one, Reject) else one.control))
        for one in found
    ]
    page = (SAMPLES / "README.md").read_text()
    section = page.split("### bai2_bad.txt")[1].split("\n#")[0]
    listed = re.findall(r"^\| ([0-9]+) \|.*\| `(\w+)` \|$", section, re.MULTILINE)
    assert listed == expected


def test_a_nul_in_a_header_is_dropped():
    group = GROUP.replace("2359", "23\x0059")
    assert json.loads(detail(DETAIL, group=group).raw_row)["as_of_time"] == "2359"


def test_the_reject_of_a_line_comes_before_what_the_line_ends():
    """A load that goes on takes no reject of a line up to which rows were written."""
    bad = "03,0099887766,,010,x,,/"
    found = read(FILE, GROUP, ACCOUNT, DETAIL, bad)
    of_line = [type(record) for record in found if record.line == 5]
    assert of_line[0] is Reject
    assert {Fault, Statement} <= {*of_line}
