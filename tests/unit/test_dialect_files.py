"""Whole files of dialects: encodings, delimiters, headers, and why one is refused."""

import io
import zipfile
from functools import partial

import pytest

from ingestion.sources.base import FileFault, Row, SourceError
from tests.dialects import HEADER, PAYMENTS, STATEMENT, read, source, told
from tests.statements import assert_work_is_linear, count_calls

pytestmark = pytest.mark.unit
ROW = "01/04/2026,José \u20b9,000501,,100.00,,900.00"
BANK = source(STATEMENT)
ANY = ["utf-8", "cp1252", "utf-16"]


def rows(data, of=BANK):
    return [record for record in told(read(of, data)) if isinstance(record, Row)]


def file_error(data, of=BANK):
    with pytest.raises(SourceError) as caught:
        read(of, data)
    assert caught.value.message.rstrip(".")
    return caught.value


# --- Encodings ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        f"{HEADER}\n{ROW}\n{ROW}".encode(),
        b"\xef\xbb\xbf" + f"{HEADER}\n{ROW}\n{ROW}\n".encode(),
        f"{HEADER}\r\n{ROW}\r\n{ROW}\r\n".encode("utf-16"),
        f"{HEADER}\n{ROW}\n{ROW}".encode("utf-16-le"),
        f"{HEADER}\n{ROW}\n{ROW}".encode("utf-16-be"),
        b"\xfe\xff" + f"{HEADER}\n{ROW}\n{ROW}".encode("utf-16-be"),
    ],
    ids=["utf-8", "bom", "utf-16", "le", "be", "be-bom"],
)
def test_unicode_in_every_dress(raw):
    found = read(BANK, raw)
    assert [item.row.raw_row["Narration"] for item in found[:2]] == ["José \u20b9"] * 2
    assert [item.line for item in found[:2]] == [2, 3]
    assert found[-1].position.offset == len(raw)


def test_the_first_line_beyond_ascii_decides_for_the_file():
    ascii_only = f"{HEADER}\n01/04/2026,plain,,,1.00,,\n".encode()
    utf8 = ROW.encode() + b"\n"
    single = ROW.replace("\u20b9", "\u20ac").encode("cp1252") + b"\n"

    def narrations(raw):
        return [
            item.row.raw_row["Narration"] if item.row else str(item.reject.reason)
            for item in read(BANK, raw)
            if item.row or item.reject
        ]

    found = narrations(ascii_only + utf8 + single + utf8)
    assert found == ["plain", "José \u20b9", "invalid_utf8", "José \u20b9"]
    misread = utf8.decode("cp1252").split(",")[1]
    found = narrations(ascii_only + single + utf8 + single)
    assert found == ["plain", "José \u20ac", misread, "José \u20ac"]


def test_a_reading_goes_on_with_the_encoding_that_was_decided():
    raw = f"{HEADER}\n".encode() + ROW.encode("utf-8") + b"\n"
    raw += b"01/04/2026,caf\xe9,,,1.00,,\n"
    first, second, *_ = read(BANK, raw)
    assert str(second.reject.reason) == "invalid_utf8"
    later = read(BANK, raw[first.position.offset :], first.position)
    assert str(later[0].reject.reason) == "invalid_utf8"


def test_a_cut_line_may_end_within_a_character():
    raw = f"{HEADER}\n".encode() + b"x" + "é".encode() * (1 << 20) + b"\n"
    first, second, *_ = read(BANK, raw + ROW.encode())
    assert first.reject is not None
    assert second.row.raw_row["Narration"] == "José \u20b9"


def test_iso_8859_1_has_no_gaps():
    latin = source(STATEMENT, encodings=["iso-8859-1"])
    raw = f"{HEADER}\n01/04/2026,x\x81y,,,1.00,,".encode("iso-8859-1")
    assert "x\x81y" in rows(raw, latin)[0].raw_row.replace("\\u0081", "\x81")


@pytest.mark.parametrize(
    ("encodings", "raw"),
    [
        (["utf-8"], b"01/04/2026,caf\xe9,,,1.00,,"),
        (["utf-8", "cp1252"], b"01/04/2026,x\x81,,,1.00,,"),
        (["cp1252"], b"01/04/2026,x\x81,,,1.00,,"),
    ],
)
def test_bytes_outside_the_encodings_refuse_their_row(encodings, raw):
    of = source(STATEMENT, encodings=encodings)
    data = HEADER.encode() + b"\n" + raw + b"\n01/04/2026,ok,,,1.00,,"
    first, second, _ = read(of, data)
    assert str(first.reject.reason) == "invalid_utf8"
    assert (first.reject.column, second.row.line) == ("Narration", 3)


def test_half_a_character_at_the_end_refuses_the_last_row():
    raw = f"{HEADER}\n{ROW}\n{ROW}".encode("utf-16") + b"\x41"
    found = read(BANK, raw)
    assert [bool(item.row) for item in found[:2]] == [True, False]
    assert found[-1].position.offset == len(raw)


def test_a_lone_surrogate_refuses_its_row():
    raw = f"{HEADER}\n{ROW}\n01/04/2026,x\ud800y,,,1.00,,".encode(
        "utf-16-le", "surrogatepass"
    )
    assert [bool(item.row) for item in read(BANK, raw)[:2]] == [True, False]


@pytest.mark.parametrize(
    ("encodings", "raw"),
    [
        (["utf-8"], HEADER.encode("utf-16")),
        (["utf-16"], HEADER.encode()),
        (["utf-16"], b"\xef\xbb\xbf" + HEADER.encode()),
        (["cp1252"], b"\xef\xbb\xbf" + HEADER.encode()),
        (ANY, HEADER.encode("utf-32")),
    ],
)
def test_an_encoding_that_is_not_allowed_refuses_the_file(encodings, raw):
    error = file_error(raw, source(STATEMENT, encodings=encodings))
    assert error.code is FileFault.UNSUPPORTED_ENCODING


def zipped(name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", FileFault.EMPTY_FILE),
        (b"\xef\xbb\xbf", FileFault.EMPTY_FILE),
        (b"\n\r\n\n", FileFault.EMPTY_FILE),
        (b"\x1f\x8b\x08", FileFault.COMPRESSED_FILE),
        (zipped("a.csv"), FileFault.COMPRESSED_FILE),
        (zipped("xl/workbook.xml"), FileFault.NOT_TEXT),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileFault.NOT_TEXT),
        (b"%PDF-1.7", FileFault.NOT_TEXT),
        (b" <HTML><table><tr><td>Date</td></tr></table>", FileFault.NOT_TEXT),
        (b"<!DOCTYPE html><p>Error 502", FileFault.NOT_TEXT),
        (b"any words\nbut no header\n", FileFault.WRONG_HEADER),
        (b"Date,Narration,Balance\n", FileFault.MISSING_COLUMN),
        (HEADER.encode() + b",x" * 600, FileFault.TOO_MANY_COLUMNS),
    ],
)
def test_a_file_that_is_none_is_refused(raw, code):
    assert file_error(raw).code is code


# --- Delimiters -----------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "~", "^", "~|~", "||"])
def test_columns_are_divided_by_what_the_dialect_says(delimiter):
    of = source(STATEMENT, delimiters=[delimiter])
    lines = [HEADER.replace(",", delimiter), ROW.replace(",", delimiter)]
    (row,) = rows("\n".join(lines), of)
    assert row.source_txn_id == "000501"


def test_of_several_delimiters_the_one_that_shows_the_header_is_taken():
    of = source(STATEMENT, delimiters=[",", ";", "\t"])
    text = "a,b,c\n" + "\n".join([HEADER, ROW]).replace(",", "\t")
    found = read(of, text)
    assert found[0].row.line == 3
    assert found[0].position.state["delimiter"] == "\t"


def test_without_quotes_a_quote_is_a_character():
    of = source(STATEMENT, delimiters=["\t"], quoted=False)
    line = ROW.replace("José", '5" pipe').replace(",", "\t")
    (row,) = rows(HEADER.replace(",", "\t") + "\n" + line, of)
    assert '5\\" pipe' in row.raw_row


# --- Headers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        HEADER.upper(),
        "txn date,narration,ref no,value date,Debit(INR),Credit ( INR ),balance",
        '" Date ",Narration,Ref.No,Value\u00a0Date,"Debit(INR )",Credit (INR),BALANCE',
        "Date,Narration,Ref No.,Value Date,Debit  (INR),Credit (INR),Balance,,",
    ],
)
def test_names_are_compared_by_their_letters_and_digits(header):
    line = ROW + "," * (header.count(",") - 6)
    (row,) = rows(f"{header}\n{line}")
    assert row.direction == "D"


def test_columns_come_in_any_order_and_others_are_kept():
    header = "Balance,Colour,Credit (INR),Debit (INR),Narration,Date"
    (row,) = rows(f"{header}\n5.00,red,,1.00,x,01/04/2026")
    assert '"Colour":"red"' in row.raw_row


def test_a_repeated_name_is_numbered():
    columns = {
        "debit": None,
        "credit": None,
        "amount": ["Amount"],
        "direction": ["Dr / Cr"],
        "balance_direction": ["Dr / Cr#2"],
    }
    of = source(STATEMENT, columns=columns)
    text = "Date,Narration,Amount,Dr / Cr,Balance,Dr/Cr,\n01/04/2026,x,5,DR,5,CR,"
    (row,) = rows(text, of)
    assert '"Dr / Cr":"DR"' in row.raw_row
    assert '"Dr/Cr":"CR","column_7":""' in row.raw_row
    again = text.replace("Dr/Cr", "Dr / Cr")
    assert '"Dr / Cr#2":"CR"' in rows(again, of)[0].raw_row


def test_the_header_stands_within_the_first_lines_or_nowhere():
    assert len(rows("\n" * 9 + f"{HEADER}\n{ROW}")) == 1
    error = file_error("\n" * 9 + f"x\n{HEADER}\n{ROW}")
    assert error.code is FileFault.WRONG_HEADER
    assert "first 10 lines" in error.message


def test_a_preamble_of_any_shape_does_not_hide_the_header():
    preamble = 'x,y\n"two\nlines"\na "stray quote\n"an open quote\n'
    assert len(rows(f"{preamble}{HEADER}\n{ROW}")) == 1


def test_a_header_that_lacks_a_column_says_which():
    error = file_error("Date,Narration,Debit (INR),Credit (INR)\n")
    assert error.code is FileFault.MISSING_COLUMN
    assert error.column == "Balance"
    assert "it has Date, Narration" in error.message


def test_a_quote_that_swallows_the_header_refuses_the_file():
    text = f'"never closed\n{HEADER}\n' + "".join(f"{ROW}\n" for _ in range(20)) + 'x"'
    assert file_error(text).code is FileFault.WRONG_HEADER


def test_a_header_and_nothing_else_is_a_file_without_rows():
    assert read(source(PAYMENTS), "Txn ID,Amount,Status,Date\n") == []


PLACES = {
    "columns": {
        field: [place] if place else None
        for field, place in {
            **dict.fromkeys(PAYMENTS["columns"]),
            **{"id": "2", "date": "3", "amount": "5", "status": "4"},
        }.items()
    },
    "has_header": False,
}


def test_without_a_header_columns_have_places():
    of = source(PAYMENTS, labels={"row_count": ["T@2"]}, **PLACES)
    text = "H|x|bank\nD|T1|2026-01-05|OK|5.00\nD|T2|2026-01-05|OK|x\nT|3\n"
    found = read(source(PAYMENTS, delimiters=["|"], **PLACES), text)
    assert found[0].row.txn_id == "T1"
    assert found[0].row.raw_row["column_1"] == "D"
    assert found[1].reject.column == "column_5"
    counted = source(
        PAYMENTS, delimiters=["|"], labels={"row_count": ["T@2"]}, **PLACES
    )
    *_, fault = told(read(counted, text))
    assert (fault.line, fault.expected, fault.found) == (4, "3", "2")
    assert of.has_totals


def test_without_a_header_the_rows_begin_with_a_date_and_an_amount():
    of = source(PAYMENTS, **PLACES)
    error = file_error("a,b,c,d,e\n1,2,3,4,5\n", of)
    assert error.code is FileFault.WRONG_HEADER
    assert "a date and an amount in their places" in error.message


# --- Resuming -------------------------------------------------------------------------


def test_reading_before_the_first_record_is_at_the_start():
    reading = BANK.read([b"x"])
    assert (reading.offset, reading.position.to_json()) == (
        0,
        {"offset": 0, "line": 1, "state": {}},
    )


def test_what_the_beginning_stated_is_known_after_a_pause():
    text = f"Account No 00112233\nOpening Balance,1000.00\n{HEADER}\n{ROW}\n{ROW}\n"
    first = read(BANK, text)[0]
    rest = text.encode()[first.position.offset :]
    row, fault, _, statement = told(read(BANK, rest, first.position))
    assert (row.account_id, row.txn_id) == ("00112233", f"{first.row.txn_id}.2")
    assert (fault.line, fault.expected) == (5, "800.00")
    assert str(statement.opening) == "1000.00"


def test_behind_the_trailer_is_behind_it_after_a_pause_too():
    text = f"{HEADER}\nEnd of statement\n01/04/2026,damaged\nany words\n"
    first, statement = read(BANK, text)
    rest = text.encode()[first.position.offset :]
    assert read(BANK, rest, first.position) == [statement]


def test_a_reader_that_was_never_started_again_keeps_its_place():
    first = read(BANK, f"{HEADER}\n{ROW}\n")[0]
    reading = BANK.read([], resume=first.position)
    assert reading.position == first.position
    assert reading.offset == first.position.offset


def test_an_account_that_is_stated_too_late_is_no_rows_on_either_reading():
    """Ids are made of the account: a load that goes on must not change them."""
    found = read(BANK, f"{HEADER}\nAccount No,123456\n{ROW}\n{ROW}\n")
    first, second = found[:2]
    assert (first.row.account_id, second.row.account_id) == (None, None)
    data = f"{HEADER}\nAccount No,123456\n{ROW}\n{ROW}\n".encode()
    rest = read(BANK, data[first.position.offset :], first.position)
    assert rest == found[1:]


def test_the_work_is_linear_in_the_file():
    """Twice the lines take twice the calls."""
    lines = [f"01/04/2026,x{n},,,1.00,," for n in range(400)]
    files = ["\n".join([HEADER, *lines[:n]]).encode() for n in (100, 200, 400)]
    one, two, four = (count_calls(partial(list, BANK.read([data]))) for data in files)
    assert 1.9 < (four - two) / (two - one) < 2.1


@pytest.mark.parametrize(
    "line", ["more of it", ",more of it,,,,,", '"more\nof it",,,,,,']
)
def test_the_work_on_lines_that_go_on_is_linear(line: str):
    def a_file(times: int) -> bytes:
        return "\n".join([HEADER, ROW, *[line] * times, ROW]).encode()

    assert_work_is_linear(BANK.read, a_file)


def test_the_work_on_a_quote_that_is_never_closed_is_linear():
    def a_file(times: int) -> bytes:
        return "\n".join([HEADER, ROW, '01/04/2026,"x', *[ROW] * times]).encode()

    assert_work_is_linear(BANK.read, a_file)
