"""Rows by the rules of a dialect: what becomes of each field, and what is refused."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.dialects import PAYMENTS, STATEMENT, read, source, told

pytestmark = pytest.mark.unit
HEADER = "Txn ID,RRN,From,To,IFSC,VPA,Amount,Currency,Status,Date,Time,Remarks"
GOOD = {
    "id": "T1",
    "rrn": "600512345678",
    "from": "00112233",
    "to": "44556677",
    "ifsc": "hdfc0001234",
    "vpa": "",
    "amount": "1500.50",
    "currency": "",
    "status": "ok",
    "date": "2026-01-05",
    "time": "09:00:09",
    "remarks": "rent",
}


def line(**changes):
    return ",".join(
        f'"{text}"' if "," in text else text for text in (GOOD | changes).values()
    )


def one(of=None, **changes):
    (found,) = read(of or source(PAYMENTS), f"{HEADER}\n{line(**changes)}")
    return found


def row(of=None, **changes):
    found = one(of, **changes)
    assert found.reject is None, found.reject
    return found.row


def reject(of=None, **changes):
    found = one(of, **changes)
    assert found.row is None, found.row
    return found.reject.column, str(found.reject.reason)


def flags(found):
    return [(flag.column, str(flag.reason)) for flag in found.flags]


def test_a_good_row_in_full():
    found = row()
    assert found._asdict() | {"row_hash": None} == {
        "line": 2,
        "txn_id": "T1",
        "source_txn_id": "T1",
        "reference_id": "600512345678",
        "account_id": "00112233",
        "counterparty_account": "44556677",
        "vpa_or_ifsc": "HDFC0001234",
        "amount": Decimal("1500.50"),
        "currency": "INR",
        "status": "SUCCESS",
        "direction": "D",
        "txn_timestamp": datetime(2026, 1, 5, 3, 30, 9, tzinfo=UTC),
        "raw_row": dict(zip(HEADER.split(","), GOOD.values(), strict=True)),
        "row_hash": None,
        "flags": (),
    }
    assert len(found.row_hash) == 32


def test_a_prefix_stands_before_the_id_and_not_before_the_bank_s_own():
    found = row(source(PAYMENTS, txn_prefix="LEDGER"))
    assert (found.txn_id, found.source_txn_id) == ("LEDGER:T1", "T1")


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"id": ""}, "Txn ID", "missing_value"),
        ({"id": "a b"}, "Txn ID", "invalid_id"),
        ({"id": "1.23457E+15"}, "Txn ID", "excel_damaged_id"),
        ({"date": ""}, "Date", "missing_value"),
        ({"date": "45231"}, "Date", "excel_serial_date"),
        ({"date": "2026-02-30"}, "Date", "invalid_timestamp"),
        ({"time": "25:00"}, "Time", "invalid_timestamp"),
        ({"currency": "RUPEE"}, "Currency", "invalid_currency"),
        ({"amount": ""}, "Amount", "missing_value"),
        ({"amount": "0.00"}, "Amount", "zero_amount"),
        ({"amount": "-5.00"}, "Amount", "negative_amount"),
        ({"amount": "1.005"}, "Amount", "unsupported_precision"),
        ({"amount": "5.50", "currency": "JPY"}, "Amount", "unsupported_precision"),
        ({"amount": "five"}, "Amount", "invalid_amount"),
        ({"amount": "5.00 Cr"}, "Amount", "invalid_side"),
        ({"status": ""}, "Status", "missing_value"),
        ({"status": "MAYBE"}, "Status", "invalid_status"),
        ({"remarks": "a\0b"}, "Remarks", "nul_byte"),
        ({"remarks": "x" * 70_000}, "Remarks", "field_too_long"),
    ],
)
def test_a_bad_field_is_named(changes, column, reason):
    assert reject(**changes) == (column, reason)


def test_the_word_of_the_status_is_kept_in_the_raw_row():
    found = row(status="No")
    assert (found.status, found.raw_row["Status"]) == ("FAILED", "No")


# --- References and parties -----------------------------------------------------------


def test_a_reference_that_breaks_its_rule_is_flagged():
    lax = source(PAYMENTS, reference_rule="rrn12")
    found = row(lax, rrn="12345")
    assert (found.reference_id, flags(found)) == (
        "12345",
        [("RRN", "invalid_reference")],
    )
    assert flags(row(lax, rrn="4.12346E+11")) == [("RRN", "excel_damaged_id")]


def test_a_strict_dialect_refuses_it():
    strict = source(PAYMENTS, reference_rule="rrn12", reference_strict=True)
    assert reject(strict, rrn="12345") == ("RRN", "invalid_reference")
    assert reject(strict, rrn="4.12346E+11") == ("RRN", "excel_damaged_id")
    assert row(strict, rrn="").reference_id is None


def test_a_doubtful_reference_is_accepted_with_a_flag_even_by_a_strict_dialect():
    strict = source(PAYMENTS, reference_rule="neft_utr", reference_strict=True)
    found = row(strict, rrn="HDFC0A26005B0012")
    assert flags(found) == [("RRN", "invalid_reference")]


def test_only_a_payment_that_completed_needs_its_reference():
    filled = source(PAYMENTS, filled=["reference"])
    assert reject(filled, rrn="") == ("RRN", "missing_value")
    assert reject(filled, rrn="-") == ("RRN", "missing_value")
    assert row(filled, rrn="", status="WAIT").reference_id is None
    assert row(filled, rrn="", status="NO").reference_id is None


def test_a_cell_that_must_be_filled_is_missed():
    assert reject(source(PAYMENTS, filled=["vpa"])) == ("VPA", "missing_value")
    assert row(source(PAYMENTS, filled=["account"])).account_id == "00112233"


@pytest.mark.parametrize(
    ("rrn", "remarks", "reference"),
    [
        ("0000600512345678", "", "600512345678"),
        ("501", "UPI/600512345678/x", "600512345678"),
        ("600512345670", "UPI/600512345678/x", "600512345670"),
        ("501", "cheque", "501"),
        ("0000000000000000", "cheque", None),
        ("TRANSFER FROM 3199", "cheque", None),
        ("", "UPI/600512345678/x", "600512345678"),
    ],
)
def test_which_reference_is_taken(rrn, remarks, reference):
    of = source(PAYMENTS, extractors=["upi_rrn"])
    assert row(of, rrn=rrn, remarks=remarks).reference_id == reference


def test_addresses_are_lower_case_and_doubtful_ones_flagged():
    assert row(ifsc="", vpa="Asha.Rao@OkIcici").vpa_or_ifsc == "asha.rao@okicici"
    found = row(ifsc="", vpa="Asha")
    assert (found.vpa_or_ifsc, flags(found)) == ("asha", [("VPA", "invalid_vpa")])
    assert row(ifsc="", vpa="-").vpa_or_ifsc is None


def test_an_address_of_an_account_gives_account_and_ifsc():
    found = row(to="", ifsc="", vpa="00112233@hdfc0001234.ifsc.npci")
    assert (found.counterparty_account, found.vpa_or_ifsc) == (
        "00112233",
        "HDFC0001234",
    )


def test_an_ifsc_of_another_form_is_flagged():
    found = row(ifsc="HDFC1001234")
    assert found.vpa_or_ifsc == "HDFC1001234"
    assert flags(found) == [("IFSC", "invalid_ifsc")]


def test_an_account_that_is_too_long_is_left_out_and_flagged():
    found = row(to="9" * 65)
    assert found.counterparty_account is None
    assert flags(found) == [("To", "invalid_account")]


def test_the_account_may_be_the_dialect_s():
    fixed = source(PAYMENTS, account="777", columns={"account": None})
    assert row(fixed).account_id == "777"


# --- Amounts and sides ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "amount", "side"),
    [
        ("sign", "5.00", "C"),
        ("sign", "-5.00", "D"),
        ("sign", "(5.00)", "D"),
        ("sign", "5.00 Dr", "D"),
        ("reversed_sign", "5.00", "D"),
        ("reversed_sign", "-5.00", "C"),
        ("suffix", "5.00 Cr", "C"),
        ("suffix", "5.00Dr", "D"),
        ("credit", "5.00", "C"),
        ("debit", "5.00", "D"),
    ],
)
def test_one_amount_and_how_its_side_is_told(rule, amount, side):
    found = row(source(PAYMENTS, direction=rule), amount=amount)
    assert (found.amount, found.direction) == (Decimal("5.00"), side)


@pytest.mark.parametrize(
    ("rule", "amount", "reason"),
    [
        ("suffix", "5.00", "invalid_side"),
        ("credit", "-5.00", "negative_amount"),
        ("debit", "-5.00", "negative_amount"),
        ("debit", "5.00 Cr", "invalid_side"),
        ("sign", "0.00", "zero_amount"),
    ],
)
def test_a_side_that_is_not_told_is_refused(rule, amount, reason):
    assert reject(source(PAYMENTS, direction=rule), amount=amount)[1] == reason


@pytest.mark.parametrize(
    ("word", "amount", "expected"),
    [
        ("DR", "5.00", "D"),
        ("Cr.", "5.00", "C"),
        ("debit", "5.00", "D"),
        ("DR", "-5.00", "D"),
        ("DR", "5.00 Dr", "D"),
        ("", "5.00", "missing_value"),
        ("??", "5.00", "invalid_side"),
        ("CR", "-5.00", "negative_amount"),
        ("CR", "5.00 Dr", "invalid_side"),
    ],
)
def test_a_column_may_tell_the_side(word, amount, expected):
    of = source(PAYMENTS, columns={"direction": ["Remarks"]})
    found = one(of, amount=amount, remarks=word)
    told_of = found.row.direction if found.row else str(found.reject.reason)
    assert told_of == expected


def statement_row(debit, credit, **changes):
    of = source(STATEMENT, **changes)
    header = "Date,Narration,Debit (INR),Credit (INR),Balance"
    first, *_ = read(of, f"{header}\n05/01/2026,x,{debit},{credit},")
    if first.row:
        return str(first.row.amount), first.row.direction
    return first.reject.column, str(first.reject.reason)


@pytest.mark.parametrize(
    ("debit", "credit", "expected"),
    [
        ("5.00", "", ("5.00", "D")),
        ("", "5.00", ("5.00", "C")),
        ("5.00", "0.00", ("5.00", "D")),
        ("-", "5.00", ("5.00", "C")),
        ("5.00 Dr", "", ("5.00", "D")),
        ("-5.00 Dr", "", ("5.00", "D")),
        ("5.00", "5.00", ("Credit (INR)", "both_sides")),
        ("", "", ("Debit (INR)", "missing_value")),
        ("0.00", "", ("Debit (INR)", "zero_amount")),
        ("", "0", ("Credit (INR)", "zero_amount")),
        ("-5.00", "", ("Debit (INR)", "negative_amount")),
        ("", "-5.00", ("Credit (INR)", "negative_amount")),
        ("5.00 Cr", "", ("Debit (INR)", "invalid_side")),
        ("x", "", ("Debit (INR)", "invalid_amount")),
    ],
)
def test_a_column_for_each_side(debit, credit, expected):
    assert statement_row(debit, credit) == expected


def test_debits_may_carry_a_minus_and_then_all_of_them_do():
    assert statement_row("-5.00", "", negative_debits=True) == ("5.00", "D")
    refused = statement_row("5.00", "", negative_debits=True)
    assert refused == ("Debit (INR)", "invalid_side")
    refused = statement_row("", "-5.00", negative_debits=True)
    assert refused == ("Credit (INR)", "negative_amount")


# --- Duplicates -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "1,500.50"},
        {"date": "2026-01-05 09:00:09", "time": ""},
        {"ifsc": "HDFC0001234"},
        {"status": "00"},
        {"currency": "inr"},
        {"remarks": " rent "},
    ],
)
def test_the_same_payment_written_differently_has_the_same_hash(changes):
    assert row(**changes).row_hash == row().row_hash


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "T2"},
        {"rrn": "600512345679"},
        {"from": "1"},
        {"to": "1"},
        {"ifsc": "HDFC0001235"},
        {"amount": "1500.51"},
        {"currency": "USD"},
        {"status": "NO"},
        {"time": "09:00:10"},
        {"remarks": "rent 2"},
    ],
)
def test_another_payment_has_another_hash(changes):
    assert row(**changes).row_hash != row().row_hash


def test_rows_are_told_in_file_order():
    lines = [line(id=f"T{n}", amount="x" if n % 3 else "1") for n in range(9)]
    found = list(told(read(source(PAYMENTS), "\n".join([HEADER, *lines]))))
    assert [record.line for record in found] == list(range(2, 11))
