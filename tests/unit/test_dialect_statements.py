"""Statements: what stands around the rows, balances, and rows without ids."""

from datetime import date
from decimal import Decimal

import pytest

from ingestion.sources.base import Fault, Reject, Row, Statement
from ingestion.sources.dialect.occurrences import MAX_DIGESTS, Occurrences
from tests.dialects import HEADER, PAYMENTS, STATEMENT, read, source, told

pytestmark = pytest.mark.unit
BANK = source(STATEMENT)


def records(*lines, of=BANK):
    return list(told(read(of, "\n".join(lines))))


def rows(found):
    return [record for record in found if isinstance(record, Row)]


def rejects(found):
    return [(r.line, r.column, str(r.reason)) for r in found if isinstance(r, Reject)]


def faults(found):
    return [
        (r.line, str(r.control), r.expected, r.found)
        for r in found
        if isinstance(r, Fault)
    ]


def statement(found):
    (made,) = [record for record in found if isinstance(record, Statement)]
    assert made is found[-1]
    return made


WHOLE = (
    "Some Bank Ltd.",
    'Account No :,"00112233 SAVINGS"',
    "Opening Balance: Rs. 1000.00",
    "",
    HEADER,
    "*****,*****,*****,*****,*****,*****,*****",
    "01/04/2026,UPI/609112345678/tea,,01/04/2026,100.00,,900.00",
    "02-Apr-2026,NEFT/HDFCN26092000123/ACME,000501,,,2500.00,3400.00",
    ",LIMITED,,,,,",
    ",,,,,,",
    "Total,,,,100.00,2500.00,",
    "Closing Balance,,,,,,3400.00",
    "End of statement",
    "call us, day, or night",
)


def test_a_whole_statement():
    found = records(*WHOLE)
    first, second = rows(found)
    assert (first.account_id, first.reference_id) == ("00112233", "609112345678")
    assert (second.direction, second.amount) == ("C", Decimal("2500.00"))
    assert second.reference_id == "HDFCN26092000123"
    assert second.source_txn_id == "000501"
    assert '"Narration":"NEFT/HDFCN26092000123/ACME\\nLIMITED"' in second.raw_row
    assert statement(found) == Statement(
        14,
        "00112233",
        "2026-04-01..2026-04-02",
        None,
        "INR",
        Decimal("1000.00"),
        Decimal("3400.00"),
        date(2026, 4, 1),
        date(2026, 4, 2),
        2,
        Decimal("2500.00"),
        Decimal("100.00"),
    )
    assert len(found) == 3


# --- What is a row --------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "",
        ",,,,,,",
        "-----,-----,,,,,",
        "*" * 40,
        HEADER,
        HEADER.upper(),
        "Opening Balance,500.00",
        ",,OPENING BALANCE,,,,500.00",
        "01/04/2026,Opening Balance,,,,,500.00",
        "01/04/2026,Opening Balance,,,0,0,500.00",
    ],
)
def test_ornament_and_balances_between_rows_are_no_rows(line):
    found = records(HEADER, "01/04/2026,a,,,,500.00,1000.00", line)
    assert len(rows(found)) == 1
    assert rejects(found) == []


@pytest.mark.parametrize(
    ("line", "reject"),
    [
        ("GARBAGE ROW", (2, None, "wrong_field_count")),
        ("01/04/2026,a,b,c,,1.00", (2, None, "wrong_field_count")),
        ("01/04/2026,a,,,,1.00,1.00,x", (2, None, "wrong_field_count")),
        (",a,,,,1.00,", (2, "Date", "missing_value")),
        (",,ref alone,,,,", (2, "Date", "missing_value")),
        (",a,,,,,5.00", (2, "Date", "missing_value")),
        ("soon,a,,,,1.00,", (2, "Date", "invalid_timestamp")),
        ("01/04/2026,a,,,,,5.00", (2, "Debit (INR)", "missing_value")),
        ('01/04/2026,"a,,,,1.00,', (2, None, "unclosed_quote")),
        ('01/04/2026,a"b,,,,1.00,', (2, None, "malformed_csv")),
    ],
)
def test_what_is_neither_row_nor_ornament_is_refused(line, reject):
    found = records(HEADER, line, "02/04/2026,b,,,,1.00,")
    assert rejects(found) == [reject]
    assert [row.line for row in rows(found)] == [3]


def test_a_narration_goes_on_only_in_a_dialect_that_says_so():
    found = records(HEADER, "01/04/2026,a,,,,1.00,", ",b,,,,,", ",c")
    assert '"Narration":"a\\nb\\nc"' in rows(found)[0].raw_row
    plain = source(STATEMENT, continued=False)
    found = records(HEADER, "01/04/2026,a,,,,1.00,", ",b,,,,,", of=plain)
    assert rejects(found) == [(3, "Date", "missing_value")]


def test_a_narration_has_no_row_to_go_on_with_at_the_start():
    found = records(HEADER, ",b,,,,,", "01/04/2026,a,,,,1.00,")
    assert rejects(found) == [(2, "Date", "missing_value")]


def test_what_continues_a_refused_row_goes_with_it():
    found = records(HEADER, "01/04/2026,a,,,x,,", ",b,,,,,", "01/04/2026,c,,,,1.00,")
    assert rejects(found) == [(2, "Debit (INR)", "invalid_amount")]
    assert '"Narration":"c"' in rows(found)[0].raw_row


def test_references_are_looked_for_in_the_whole_narration():
    found = records(HEADER, "01/04/2026,UPI PAYMENT,,,,1.00,", ",609112345678/tea,,,,,")
    assert rows(found)[0].reference_id == "609112345678"


def test_a_narration_does_not_go_on_for_ever():
    found = records(HEADER, "01/04/2026,a,,,,1.00,", *[",b,,,,,"] * 60)
    assert rejects(found)[0] == (53, "Date", "missing_value")


def test_extra_blank_cells_behind_the_columns_do_no_harm():
    found = records(HEADER + ",", "01/04/2026,a,,,,1.00,1.00,", of=BANK)
    assert len(rows(found)) == 1
    found = records(HEADER, "01/04/2026,a,,,,1.00,1.00,,,", of=BANK)
    assert len(rows(found)) == 1


def test_behind_the_trailer_anything_may_stand_but_a_row_is_a_row():
    found = records(
        HEADER,
        "01/04/2026,a,,,,1.00,1.00",
        "End of statement",
        "Legends,and,more",
        'a stray " quote',
        "1800 266 2666,call us,,,,,",
        "02/04/2026,b,,,,1.00,2.00",
        "oops,c,,,,1.00,3.00",
    )
    assert [row.line for row in rows(found)] == [2, 7]
    assert rejects(found) == [(8, "Date", "invalid_timestamp")]


def test_a_damaged_row_behind_the_trailer_is_still_refused():
    found = records(
        *(HEADER, "01/04/2026,a,,,,1.00,1.00", "End of statement"),
        *("02/04/2026,b,,,1.00,2.00", "x2/04/2026,b,,,,1.00,2.00"),
        '02/04/2026,"b,,,,1.00,2.00',
    )
    assert [line for line, _, _ in rejects(found)] == [4, 5, 6]


# --- Balances and totals --------------------------------------------------------------


def test_a_break_of_the_running_balance_is_told_behind_its_row():
    found = records(
        HEADER,
        "01/04/2026,a,,,,100.00,1100.00",
        "02/04/2026,b,,,50.00,,1000.00",
        "03/04/2026,c,,,50.00,,950.00",
    )
    assert faults(found) == [(3, "running_balance", "1050.00", "1000.00")]
    assert [record.line for record in found] == [2, 3, 3, 4, 4]


def test_the_newest_row_may_come_first():
    lines = ("03/04/2026,c,,,50.00,,950.00", "02/04/2026,b,,,,100.00,1000.00")
    found = records(HEADER, *lines, "01/04/2026,a,,,,100.00,900.00")
    assert faults(found) == []
    made = statement(found)
    assert (made.opening, made.closing) == (Decimal("800.00"), Decimal("950.00"))
    oldest_first = source(STATEMENT, order="oldest_first")
    assert len(faults(records(HEADER, *lines, of=oldest_first))) == 1


def test_rows_of_one_day_may_stand_either_way():
    lines = ("01/04/2026,b,,,50.00,,1050.00", "01/04/2026,a,,,,100.00,1100.00")
    found = records(HEADER, "01/04/2026,c,,,50.00,,1000.00", *lines)
    assert faults(found) == []
    made = statement(found)
    assert (made.opening, made.closing) == (Decimal("1000.00"), Decimal("1000.00"))


def test_a_row_that_is_missing_does_not_turn_the_order():
    """Read the other way round, the second balance would follow from the first."""
    lines = ("01/04/2026,a,,,,100.00,1100.00", "02/04/2026,b,,,50.00,,1000.00")
    found = records(HEADER, *lines, "03/04/2026,c,,,50.00,,950.00")
    assert faults(found) == [(3, "running_balance", "1050.00", "1000.00")]


def test_a_balance_may_be_left_out_for_some_rows():
    found = records(
        HEADER,
        "01/04/2026,a,,,,100.00,",
        "01/04/2026,b,,,,100.00,1200.00",
        "01/04/2026,c,,,50.00,,",
        "01/04/2026,d,,,50.00,,1100.00",
        "01/04/2026,e,,,100.00,,",
    )
    assert faults(found) == []
    made = statement(found)
    assert (made.opening, made.closing) == (Decimal("1000.00"), Decimal("1000.00"))


def test_an_overdrawn_balance_is_negative():
    of = source(STATEMENT, columns={"balance_direction": ["Side"]})
    found = records(
        HEADER + ",Side",
        "01/04/2026,a,,,,100.00,100.00,CR",
        "02/04/2026,b,,,150.00,,50.00,DR",
        "03/04/2026,c,,,50.00,,100.00 Dr,",
        of=of,
    )
    assert faults(found) == []
    assert statement(found).closing == Decimal("-100.00")


def test_a_refused_row_counts_with_what_can_be_read_of_it():
    found = records(
        HEADER,
        "01/04/2026,a,,,,100.00,1100.00",
        "32/04/2026,b,,,50.00,,1050.00",
        "03/04/2026,c,,,50.00,,1000.00",
        "Rows: 3",
    )
    assert rejects(found) == [(3, "Date", "invalid_timestamp")]
    assert faults(found) == []


def test_a_row_that_cannot_be_read_at_all_breaks_the_balance():
    found = records(
        HEADER,
        "01/04/2026,a,,,,100.00,1100.00",
        "02/04/2026,b,,50.00,,1050.00",
        "03/04/2026,c,,,50.00,,1000.00",
    )
    assert faults(found) == [(4, "running_balance", "1050.00", "1000.00")]


def test_a_garbled_balance_is_flagged_and_passed_over():
    found = records(
        HEADER,
        "01/04/2026,a,,,,100.00,1100.00",
        "02/04/2026,b,,,50.00,,x",
        "03/04/2026,c,,,50.00,,1000.00",
    )
    assert faults(found) == []
    assert [str(flag.reason) for flag in rows(found)[1].flags] == ["invalid_amount"]


ROWS = ("01/04/2026,a,,,,100.00,1100.00", "02/04/2026,b,,,50.00,,1050.00")


@pytest.mark.parametrize(
    ("stated", "fault"),
    [
        ("Opening Balance,1000.00", None),
        ("Opening Balance,999.99", (4, "closing_balance", "1050.00", "1049.99")),
        ("Closing Balance: INR 1050.00 Cr", None),
        ("Closing Balance,1050.01", (4, "closing_balance", "1050.01", "1050.00")),
        ("Closing Balance as on 02/04/2026,Rs. 1050.00", None),
        ("Debits,50.00", None),
        ("Debits,50.01", (4, "debit_sum", "50.01", "50.00")),
        ("Debits,(50.00)", None),
        ("Credits,100.01", (4, "credit_sum", "100.01", "100.00")),
        ("Rows,2", None),
        ("Rows : 3", (4, "row_count", "3", "2")),
        ("Total,,,,50.00,100.00,", None),
        ("Total,,,,50.00,100.50,", (4, "credit_sum", "100.50", "100.00")),
        ("Debits,Credits\n50.00,99.00", (5, "credit_sum", "99.00", "100.00")),
    ],
)
def test_what_the_end_states_is_checked(stated, fault):
    found = records(HEADER, *ROWS, stated)
    assert faults(found) == ([fault] if fault else [])
    assert rejects(found) == []


def test_what_the_beginning_states_is_checked_at_the_end():
    found = records("Opening Balance,999.00", "Rows,2", HEADER, *ROWS)
    assert faults(found) == [(1, "closing_balance", "1050.00", "1049.00")]


def test_two_trailers_must_both_hold():
    found = records(HEADER, *ROWS, "Rows,2", "Rows,3")
    assert faults(found) == [(5, "row_count", "3", "2")]


def test_rows_behind_a_trailer_are_counted():
    found = records(HEADER, ROWS[0], "Rows,1", ROWS[1])
    assert faults(found) == [(3, "row_count", "1", "2")]


def test_a_trailer_that_must_come_is_missed():
    wanting = source(STATEMENT, trailer_required=True)
    found = records(HEADER, *ROWS, of=wanting)
    assert [fault[1] for fault in faults(found)] == ["unfinished"]
    assert faults(records(HEADER, *ROWS, "Rows,2", of=wanting)) == []


def test_a_trailer_by_places():
    of = source(PAYMENTS, labels={"row_count": ["T@2"], "total_sum": ["T@3"]})
    header = "Txn ID,Amount,Status,Date"
    lines = ("1,5.00,OK,2026-01-05", "2,x,OK,2026-01-05", "T,2,7.00")
    found = records(header, *lines, of=of)
    assert faults(found) == [(4, "total_sum", "7.00", "5.00")]
    assert faults(records(header, *lines[:2], "T,2,5.00", of=of)) == []


def test_payments_that_moved_nothing_leave_the_balance_alone():
    of = source(
        PAYMENTS, columns={"balance": ["Remarks"], "currency": None}, order="auto"
    )
    header = "Txn ID,Amount,Status,Date,Remarks"
    found = records(
        header,
        "1,5.00,OK,2026-01-05,95.00",
        "2,5.00,NO,2026-01-05,95.00",
        "3,5.00,WAIT,2026-01-05,95.00",
        "4,5.00,OK,2026-01-05,90.00",
        of=of,
    )
    assert faults(found) == []
    assert statement(found).closing == Decimal("90.00")


def test_an_empty_statement_is_one():
    found = records("Opening Balance,5.00", HEADER, "Closing Balance,5.00")
    assert found == [statement(found)]
    assert statement(found).rows == 0


# --- Ids by content -------------------------------------------------------------------


def ids(*lines, of=BANK, account="00112233"):
    return [
        r.txn_id for r in rows(records(f"Account No {account}", HEADER, *lines, of=of))
    ]


DAY_1 = (
    "01/04/2026,a,,,,100.00,1100.00",
    "01/04/2026,b,,,100.00,,1000.00",
    "01/04/2026,a,,,,100.00,1100.00",
)
DAY_2 = ("02/04/2026,a,,,,100.00,1200.00",)


def test_an_id_names_dialect_account_day_and_content():
    (made,) = ids(DAY_2[0])
    name, account, day, digest = made.split(":")
    assert (name, account, day) == ("BANK", "00112233", "2026-04-02")
    assert len(digest) == 16


def test_a_real_repeat_of_one_day_is_numbered():
    first, _, third = ids(*DAY_1)
    assert third == f"{first}.2"


def test_overlapping_exports_name_the_same_rows_alike():
    assert ids(*DAY_1, *DAY_2)[3:] == ids(*DAY_2)
    assert set(ids(*reversed(DAY_1))) == set(ids(*DAY_1))


@pytest.mark.parametrize(
    "same",
    [
        "01-Apr-2026,a,,,,100.00,1100.00",
        '01/04/2026,a ,,,0.00,"100.00",Rs. 1100.00 Cr',
        '01/04/2026,"\ta",-,,,100,1100.00',
        "01/04/2026,a,0000000000,-,,100,1100.00",
    ],
)
def test_the_same_row_of_another_export_has_the_same_id_and_hash(same):
    (first,) = rows(records(HEADER, DAY_1[0]))
    (other,) = rows(records(HEADER, same))
    assert (first.txn_id, first.row_hash) == (other.txn_id, other.row_hash)


@pytest.mark.parametrize(
    "other",
    [
        "02/04/2026,a,,,,100.00,1100.00",
        "01/04/2026,a,,,,100.01,1100.00",
        "01/04/2026,a,,,100.00,,1100.00",
        "01/04/2026,a,,,,100.00,1100.01",
        "01/04/2026,ab,,,,100.00,1100.00",
        "01/04/2026,a,501,,,100.00,1100.00",
    ],
)
def test_another_row_has_another_id(other):
    assert ids(other) != ids(DAY_1[0])


@pytest.mark.parametrize(
    "other",
    [
        "01/04/2026 09:00,a,,,,100.00,1100.00",
        "01/04/2026,a,,02/04/2026,,100.00,1100.00",
    ],
)
def test_what_some_exports_leave_out_makes_a_conflict_and_not_another_row(other):
    (first,) = rows(records(HEADER, DAY_1[0]))
    (second,) = rows(records(HEADER, other))
    assert first.txn_id == second.txn_id
    assert first.row_hash != second.row_hash


def test_accounts_do_not_share_ids():
    assert ids(DAY_2[0], account="1111") != ids(DAY_2[0], account="2222")
    assert ids(DAY_2[0], of=source(STATEMENT, account="9")) == [
        i.replace("00112233", "9") for i in ids(DAY_2[0])
    ]


def test_what_a_dialect_learns_to_find_changes_no_id():
    line = "01/04/2026,UPI/609112345678/tea,,,,100.00,1100.00"
    assert ids(line, of=source(STATEMENT, extractors=[])) == ids(line)


def test_a_row_without_account_has_an_id_too():
    (row,) = rows(records(HEADER, DAY_2[0]))
    assert row.account_id is None
    assert row.txn_id.startswith("BANK:-:2026-04-02:")


def test_what_was_seen_longest_ago_is_forgotten_first():
    seen = Occurrences()
    for number in range(MAX_DIGESTS):
        assert seen.number("2026-04-01", number.to_bytes(8)) == 1
    assert seen.number("2026-04-01", (0).to_bytes(8)) == 2
    assert seen.number("2026-04-01", MAX_DIGESTS.to_bytes(8)) == 1
    assert seen.number("2026-04-01", (0).to_bytes(8)) == 3
    assert seen.number("2026-04-01", (1).to_bytes(8)) == 1


def test_days_may_be_mixed():
    seen = Occurrences()
    for count in (1, 2, 3):
        for day in ("2026-04-01", "2026-04-02", "2026-04-03", "2026-04-04"):
            assert seen.number(day, b"8 bytes.") == count


@pytest.mark.parametrize(("stated", "is_fault"), [("99", False), ("98", True)])
def test_a_cent_counts_whatever_the_sum(stated: str, is_fault: bool):
    """So large an amount is the same float with one cent more or less."""
    net = source(PAYMENTS, labels={"debit_sum": ["Sum"]}, trailer=["Sum"])
    header = "Txn ID,Amount,Status,Date,RRN"
    row = "T1,9999999999999999.99,OK,2026-04-01,412345678901"
    found = read(net, f"{header}\n{row}\nSum,9999999999999999.{stated}\n")
    assert len([r for r in told(found) if isinstance(r, Row)]) == 1
    assert any(isinstance(r, Fault) for r in told(found)) is is_fault
