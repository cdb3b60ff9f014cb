"""Amounts, dates and references as dialects read them."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from ingestion.sources.base import FieldError, Reason
from ingestion.sources.dialect import references
from ingestion.sources.dialect.dates import Dates, are_ambiguous, form_fault
from ingestion.sources.dialect.money import Money, read_money
from ingestion.sources.dialect.references import RULES, extract, known

pytestmark = pytest.mark.unit


def refusal(call, *args):
    with pytest.raises(FieldError) as caught:
        call("column", *args)
    assert caught.value.column == "column"
    return str(caught.value.reason)


# --- Money ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "amount", "is_negative", "side"),
    [
        ("1234.50", "1234.50", False, ""),
        ("1", "1.00", False, ""),
        ("0.00", "0.00", False, ""),
        (".5", "0.50", False, ""),
        ("007.10", "7.10", False, ""),
        ("1,234,567.89", "1234567.89", False, ""),
        ("12,34,56,789.00", "123456789.00", False, ""),
        ("9999999999999999.99", "9999999999999999.99", False, ""),
        ("-5.00", "5.00", True, ""),
        ("+5.00", "5.00", False, ""),
        ("\u22125.00", "5.00", True, ""),
        ("- 5.00", "5.00", True, ""),
        ("500.00-", "500.00", True, ""),
        ("(500.00)", "500.00", True, ""),
        ("Rs.(500.00)", "500.00", True, ""),
        ("-,77,65,682.30", "7765682.30", True, ""),
        ("Rs.1,299.00", "1299.00", False, ""),
        ("Rs 100", "100.00", False, ""),
        ("\u20b9 1,234", "1234.00", False, ""),
        ("-\u20b95", "5.00", True, ""),
        ("\u20b9-5", "5.00", True, ""),
        ("INR 5.00", "5.00", False, ""),
        ("5.00\u00a0INR", "5.00", False, ""),
        ("500.00 Dr", "500.00", False, "D"),
        ("2,41,933.51CR", "241933.51", False, "C"),
        ("500.00 (Cr)", "500.00", False, "C"),
        ("500.00 dr.", "500.00", False, "D"),
        ("500 D", "500.00", False, "D"),
        ("Dr 50", "50.00", False, "D"),
        ("-500.00 Dr", "500.00", True, "D"),
    ],
)
def test_money_is_read(text, amount, is_negative, side):
    assert read_money("c", text, "INR") == Money(Decimal(amount), is_negative, side)
    assert str(read_money("c", text, "INR").amount) == amount


@pytest.mark.parametrize("text", ["", "-", "--", "\u2013", "nil", "NIL"])
def test_where_no_amount_is_written_there_is_none(text):
    assert read_money("c", text, "INR") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1e5", "invalid_amount"),
        ("NaN", "invalid_amount"),
        ("Infinity", "invalid_amount"),
        ("1_000", "invalid_amount"),
        ("=1+1", "invalid_amount"),
        ("5.", "invalid_amount"),
        ("1 000.00", "invalid_amount"),
        ("1.234,50", "invalid_amount"),
        ("12,34.00", "invalid_amount"),
        ("1,2345.00", "invalid_amount"),
        ("\uff11\uff12", "invalid_amount"),
        ("\u0661\u0662.00", "invalid_amount"),
        ("(-5.00)", "invalid_amount"),
        ("-5.00-", "invalid_amount"),
        ("5(00)", "invalid_amount"),
        ("(5.00", "invalid_amount"),
        ("-500.00 Cr", "invalid_amount"),
        ("USD 5.00", "invalid_amount"),
        ("INR 5.00 INR", "invalid_amount"),
        ("5.00 Dr Cr", "invalid_amount"),
        ("Opening Balance", "invalid_amount"),
        ("1" * 65, "invalid_amount"),
        ("1.005", "unsupported_precision"),
        ("1.000", "unsupported_precision"),
        ("10000000000000000", "amount_too_large"),
    ],
)
def test_money_is_refused(text, reason):
    assert refusal(read_money, text, "INR") == reason


def test_a_currency_limits_the_decimals_and_has_marks_of_its_own():
    assert refusal(read_money, "5.5", "JPY") == "unsupported_precision"
    assert read_money("c", "JPY 500", "JPY").amount == Decimal("500.00")
    assert refusal(read_money, "Rs. 500", "JPY") == "invalid_amount"
    assert read_money("c", "1.25", "KWD").amount == Decimal("1.25")
    assert refusal(read_money, "1.250", "KWD") == "unsupported_precision"


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1.234,50", "1234.50"),
        ("1 234,5", "1234.50"),
        ("1\u00a0234,50", "1234.50"),
        ("1'000,00", "1000.00"),
        ("12,5", "12.50"),
        ("1.234.567,89 EUR", "1234567.89"),
        ("1.234", "1234.00"),
    ],
)
def test_a_comma_may_be_the_decimal_point(text, amount):
    assert str(read_money("c", text, "EUR", ",").amount) == amount


@pytest.mark.parametrize("text", ["1,234.50", "1.23", "1.234 567,00", "1,2,3"])
def test_then_points_only_group(text):
    assert refusal(read_money, text, "EUR", ",") == "invalid_amount"


# --- Dates ----------------------------------------------------------------------------

FORMS = ("DD/MM/YYYY", "DD/MM/YY", "DD-Mon-YYYY", "DD Mon YY", "YYYY-MM-DD", "YYYYMMDD")


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("05/01/2026", "2026-01-05T00:00:00"),
        ("5/1/2026", "2026-01-05T00:00:00"),
        ("05/01/26", "2026-01-05T00:00:00"),
        ("05-Jan-2026", "2026-01-05T00:00:00"),
        ("5-JANUARY-2026", "2026-01-05T00:00:00"),
        ("5-sept-2026", "2026-09-05T00:00:00"),
        ("5 Jan 26", "2026-01-05T00:00:00"),
        ("29/02/2024", "2024-02-29T00:00:00"),
        ("2026-01-05", "2026-01-05T00:00:00"),
        ("2026-01-05 09:08:07", "2026-01-05T09:08:07"),
        ("2026-01-05T09:08:07.25", "2026-01-05T09:08:07.250000"),
        ("05/01/2026 09:08", "2026-01-05T09:08:00"),
        ("05/01/2026, 9:08 PM", "2026-01-05T21:08:00"),
        ("05/01/2026 12:08 am", "2026-01-05T00:08:00"),
        ("20260105", "2026-01-05T00:00:00"),
        ("20260105090807", "2026-01-05T09:08:07"),
        ("20260105 090807", "2026-01-05T09:08:07"),
    ],
)
def test_dates_are_read_in_their_zone(text, local):
    day, moment = Dates(FORMS, "Asia/Kolkata").moment("c", text)
    assert day == date.fromisoformat(local[:10])
    assert moment == datetime.fromisoformat(local + "+05:30")
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing_value"),
        ("31/02/2026", "invalid_timestamp"),
        ("2026-13-01", "invalid_timestamp"),
        ("01-04-2026", "invalid_timestamp"),
        ("5 Foo 26", "invalid_timestamp"),
        ("05/01/2026 24:00", "invalid_timestamp"),
        ("05/01/2026 09:08:60", "invalid_timestamp"),
        ("05/01/2026 13:08 PM", "invalid_timestamp"),
        ("0001-01-01", "invalid_timestamp"),
        ("Total", "invalid_timestamp"),
        ("\u0660\u0665/01/2026", "invalid_timestamp"),
        ("05/01/2026" + " " * 100 + "x", "invalid_timestamp"),
        ("45231", "excel_serial_date"),
        ("45231.5", "excel_serial_date"),
        ("1767571200000", "invalid_timestamp"),
    ],
)
def test_dates_are_refused(text, reason):
    assert refusal(Dates(FORMS, "Asia/Kolkata").moment, text) == reason


def test_an_offset_stands_over_the_zone():
    dates = Dates(("YYYY-MM-DD",), "Asia/Kolkata")
    for text in ("2026-01-05T03:30:09Z", "2026-01-05 09:00:09+05:30"):
        moment = dates.moment("c", text)[1]
        assert moment == datetime(2026, 1, 5, 3, 30, 9, tzinfo=UTC)


@pytest.mark.parametrize("clock", ["09:00:09", "090009", "9:00:09 AM"])
def test_the_time_may_stand_beside_the_date(clock):
    dates = Dates(("YYYY-MM-DD",), "Asia/Kolkata")
    expected = datetime(2026, 1, 5, 3, 30, 9, tzinfo=UTC)
    assert dates.moment("c", "2026-01-05", clock)[1] == expected
    assert dates.moment("c", "2026-01-05 00:00:00", clock)[1] == expected
    assert refusal(dates.moment, "2026-01-05 10:00:00", clock) == "invalid_timestamp"
    assert refusal(dates.moment, "2026-01-05", "soon") == "invalid_timestamp"


def test_an_hour_that_a_zone_leaves_out_is_refused():
    dates = Dates(("YYYY-MM-DD",), "Europe/Berlin")
    assert refusal(dates.moment, "2026-03-29 02:30:00") == "invalid_timestamp"
    moment = dates.moment("c", "2026-03-29 03:30:00")[1]
    assert moment == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_a_year_before_any_transfer_is_damage():
    dates = Dates(("DD/MM/YYYY",), "Asia/Kolkata")
    assert dates.fits("01/01/1871")
    assert not dates.fits("31/12/1870")
    assert not dates.fits("01/01/0001")


def test_what_is_kept_of_days_is_bounded():
    dates = Dates(("DD/MM/YYYY",), "Asia/Kolkata")
    for year in range(2000, 9000):
        assert dates.day("c", f"01/01/{year}").year == year
    assert len(dates._known) <= 1001


@pytest.mark.parametrize(
    "form", ["DD/MM", "DD/MM/YYYY/YY", "MM/YYYY", "DD/MM-YYYY", "DDMMYY", "DD|MM|YYYY"]
)
def test_a_form_must_name_a_day(form):
    assert form_fault(form)


def test_forms_that_one_text_could_fit_are_ambiguous():
    assert are_ambiguous(["DD/MM/YYYY", "MM/DD/YYYY"])
    assert are_ambiguous(["DD/MM/YY", "YY/MM/DD"])
    assert are_ambiguous(["DDMMYYYY", "YYYYMMDD"])
    assert not are_ambiguous(["DD/MM/YYYY", "YYYY/MM/DD", "DD-MM-YYYY", "Mon/DD/YYYY"])


# --- References -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "text", "read", "is_sure"),
    [
        ("rrn12", "600512345678", "600512345678", True),
        ("rrn12", "0000600512345678", "600512345678", True),
        ("neft_utr", "HDFCN26005000123", "HDFCN26005000123", True),
        ("neft_utr", "n005261234567890", "N005261234567890", True),
        ("neft_utr", "/XUTR/HDFCN26005000123", "HDFCN26005000123", True),
        ("neft_utr", "HDFC0A26005B0012", "HDFC0A26005B0012", False),
        ("neft_utr", "HDFCN52026010500001234", "HDFCN52026010500001234", False),
        ("rtgs_utr", "HDFCR52026010512345678", "HDFCR52026010512345678", True),
        ("utr", "HDFCR52026010512345678", "HDFCR52026010512345678", True),
        ("utr", "HDFCN26005000123", "HDFCN26005000123", True),
        ("any", "whatever", "whatever", True),
    ],
)
def test_references_by_rule(rule, text, read, is_sure):
    assert RULES[rule](text) == (read, is_sure)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("rrn12", "60051234567"),
        ("rrn12", "6005123456789"),
        ("rrn12", "0000000000204314"),
        ("rrn12", "\u0666" * 12),
        ("neft_utr", "HDFC26005"),
        ("rtgs_utr", "HDFCR52026130512345678"),
        ("rtgs_utr", "HDFCN52026010512345678"),
        ("utr", "600512345678"),
    ],
)
def test_what_breaks_a_rule_is_none(rule, text):
    assert RULES[rule](text) is None


def test_a_padded_cheque_number_is_no_reference_of_a_network():
    assert known("0000000000204314") is None
    assert known("0000412345678901") == "412345678901"


ALL = ("rtgs_utr", "neft_utr", "upi_rrn", "imps_rrn")


@pytest.mark.parametrize(
    ("narration", "found"),
    [
        ("UPI/DR/412345678901/SWIGGY/YESB/swiggy8@ybl/Pay", "412345678901"),
        ("UPI-ASHA-asha@ybl-YESB0YBLUPI-412345678901-NOTE", "412345678901"),
        ("TO TRANSFER-UPI/DR/412345678901/X/YESB/x@ybl", "412345678901"),
        ("UPI/919876543210@ybl/412345678901/rent", "412345678901"),
        ("UPI/123456789012/400512345678/rent", "400512345678"),
        ("IMPS/P2A/511110688643/ASHA/ICICIBAN", "511110688643"),
        ("MMT/IMPS/412345678904/RAHUL", "412345678904"),
        ("NEFT/HDFCH00395034887/MARUTI/HDFC BANK", "HDFCH00395034887"),
        ("neft cr-n005261234567890-acme", "N005261234567890"),
        ("NEFT DR-HDFCN52026010500001234-ACME", "HDFCN52026010500001234"),
        ("RTGS CR-HDFCR52026010512345678-ACME", "HDFCR52026010512345678"),
        ("RTGS CR-HDFCR52026139912345678-ACME", None),
        ("NEFT-SBIN0000123-ACME TECHNOLOGIES", None),
        ("POS 412345678901 AMAZON", None),
        ("UPISHOP 412345678901", None),
        ("UPI/4123456789012/x", None),
        ("", None),
    ],
)
def test_references_in_narrations(narration, found):
    day = date(2024, 1, 5)
    assert extract(ALL, narration, day) == found


def test_only_what_a_dialect_asks_for_is_extracted():
    narration = "UPI/DR/412345678901/x"
    assert extract(("neft_utr",), narration, date(2024, 5, 2)) is None
    assert extract((), narration, date(2024, 5, 2)) is None


def test_the_work_on_a_narration_is_bounded():
    """Far behind the beginning nothing is looked for, so its length is no matter."""
    far = "UPI " + "x" * references.MAX_CHARS + " 412345678901"
    assert extract(ALL, far, date(2024, 5, 2)) is None


def test_every_reason_explains_itself():
    assert all(reason.sentence.endswith((".", "-")) for reason in Reason)
