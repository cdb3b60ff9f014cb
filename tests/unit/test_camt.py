"""The camt reader: what is accepted, what is refused, and with which words."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from ingestion.sources.base import (
    Reject,
    Row,
    Statement,
)
from ingestion.sources.camt import raw, walk
from tests import camt_files as camt
from tests.camt_files import (
    ACCOUNT,
    OTHER,
    entry,
    every,
    flags,
    found,
    money,
    nested,
    one,
    tag,
)

pytestmark = pytest.mark.unit
BOOKED_AT = datetime(2026, 1, 4, 18, 30, tzinfo=UTC)


def rows(text: str | bytes, kind: str = "053") -> list:
    return [each.row for each in found(text, kind) if each.row]


def row(*inner: str, kind: str = "053", **changes):
    (only,) = rows(one(entry("10.00", *inner, **changes), kind=kind), kind)
    return only


def reject(text: str, kind: str = "053"):
    (only,) = [r for r in every(one(text, kind=kind), kind) if isinstance(r, Reject)]
    return only.column, str(only.reason)


def in_details(*inner: str, **how) -> str:
    return tag("NtryDtls", camt.details(None, *inner, **how))


# --- rows -------------------------------------------------------------------------


def test_a_good_row_in_full():
    inner = in_details(
        camt.side("Dbtr", OTHER, "ABNANL2A"),
        "<RmtInf><Ustrd>invoice 7</Ustrd></RmtInf>",
        refs="<EndToEndId>E2E-7</EndToEndId>",
    )
    said = row(inner, reference="BANK-1")
    assert said._asdict() | {"row_hash": None} == {
        "line": 1,
        "txn_id": f"CAMT053:{ACCOUNT}:S1:1",
        "source_txn_id": "BANK-1",
        "reference_id": "E2E-7",
        "account_id": ACCOUNT,
        "counterparty_account": OTHER,
        "vpa_or_ifsc": "ABNANL2A",
        "amount": Decimal("10.00"),
        "currency": "EUR",
        "status": "SUCCESS",
        "direction": "C",
        "txn_timestamp": BOOKED_AT,
        "raw_row": {
            "Amt": "10.00",
            "Amt/@Ccy": "EUR",
            "CdtDbtInd": "CRDT",
            "Sts": "BOOK",
            "BookgDt/Dt": "2026-01-05",
            "AcctSvcrRef": "BANK-1",
            "NtryDtls/TxDtls/Refs/EndToEndId": "E2E-7",
            "NtryDtls/TxDtls/RltdPties/DbtrAcct/Id/IBAN": OTHER,
            "NtryDtls/TxDtls/RltdAgts/DbtrAgt/FinInstnId/BICFI": "ABNANL2A",
            "NtryDtls/TxDtls/RmtInf/Ustrd": "invoice 7",
        },
        "row_hash": None,
        "flags": (),
    }
    assert len(said.row_hash) == 32


def test_ids_count_the_entries_of_a_statement():
    text = camt.document(
        camt.statement(entry(), entry("x"), entry(), id="A"),
        camt.statement(entry(), id="B"),
    )
    assert [r.txn_id.split(":", 2)[2] for r in rows(text)] == ["A:1", "A:3", "B:1"]
    assert rows(text)[0].source_txn_id == rows(text)[0].txn_id


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("12.5", "EUR", "12.50"),
        ("12.50000", "EUR", "12.50"),
        ("8.850", "EUR", "8.85"),
        ("200000", "SEK", "200000.00"),
        ("000000000000149.87", "EUR", "149.87"),
        (" 7.00\n", "EUR", "7.00"),
        ("+7.", "EUR", "7.00"),
        (".5", "EUR", "0.50"),
        ("100.00", "JPY", "100.00"),
        ("1.230", "KWD", "1.23"),
        ("9999999999999999.99", "EUR", "9999999999999999.99"),
    ],
)
def test_amounts_accepted(text, currency, amount):
    (said,) = rows(one(entry(text, currency=currency)))
    assert str(said.amount) == amount


@pytest.mark.parametrize(
    ("text", "currency", "reason"),
    [
        ("12.12345", "EUR", "unsupported_precision"),
        ("12.001", "EUR", "unsupported_precision"),
        ("100.50", "JPY", "unsupported_precision"),
        ("1.234", "KWD", "unsupported_precision"),
        ("10000000000000000.00", "EUR", "amount_too_large"),
        ("-5.00", "EUR", "negative_amount"),
        ("-0.00", "EUR", "negative_amount"),
        ("1,234.00", "EUR", "invalid_amount"),
        ("12,50", "EUR", "invalid_amount"),
        ("1e5", "EUR", "invalid_amount"),
        ("NaN", "EUR", "invalid_amount"),
        ("\u0661\u0662", "EUR", "invalid_amount"),
        (".", "EUR", "invalid_amount"),
        ("", "EUR", "missing_value"),
    ],
)
def test_amounts_refused(text, currency, reason):
    assert reject(entry(text, currency=currency)) == ("Amt", reason)


def test_an_amount_of_zero_is_flagged():
    (said,) = rows(one(entry("0")))
    assert (str(said.amount), flags(said)) == ("0.00", [("Amt", "zero_amount")])


def test_the_currency_of_the_account_stands_in():
    (said,) = rows(one(entry(currency=None)))
    assert (said.currency, flags(said)) == ("EUR", [("Amt/@Ccy", "missing_value")])
    bare = camt.document(camt.statement(entry(currency=None), currency=None))
    (refused,) = [r for r in every(bare) if isinstance(r, Reject)]
    assert (refused.column, str(refused.reason)) == ("Amt/@Ccy", "missing_value")
    assert reject(entry(currency="EURO")) == ("Amt/@Ccy", "invalid_currency")
    assert reject(entry(currency="XXX")) == ("Amt/@Ccy", "invalid_currency")


@pytest.mark.parametrize(
    ("status", "becomes", "doubts"),
    [
        ("<Sts>BOOK</Sts>", "SUCCESS", []),
        ("<Sts><Cd>BOOK</Cd></Sts>", "SUCCESS", []),
        ("<Sts> BOOK\n</Sts>", "SUCCESS", []),
        ("<Sts>PDNG</Sts>", "PENDING", []),
        ("<Sts><Cd>FUTR</Cd></Sts>", "PENDING", []),
        ("<Sts><Cd>INFO</Cd></Sts>", "PENDING", [("Sts", "information_only")]),
        ("", "SUCCESS", [("Sts", "missing_value")]),
        ("<RvslInd>false</RvslInd><Sts>BOOK</Sts>", "SUCCESS", []),
        ("<RvslInd>true</RvslInd><Sts>BOOK</Sts>", "REVERSED", []),
        ("<RvslInd>1</RvslInd><Sts>PDNG</Sts>", "PENDING", []),
        (
            "<RvslInd>yes</RvslInd><Sts>BOOK</Sts>",
            "SUCCESS",
            [("RvslInd", "invalid_status")],
        ),
    ],
)
def test_statuses(status, becomes, doubts):
    said = row(status=status)
    assert (said.status, flags(said)) == (becomes, doubts)


def test_a_reversal_moves_money_the_way_it_says():
    said = row(way="DBIT", status="<RvslInd>true</RvslInd><Sts>BOOK</Sts>")
    assert (said.direction, said.status) == ("D", "REVERSED")


def test_a_report_without_a_status_may_be_pending():
    assert row(status="", kind="052").status == "PENDING"
    assert row(status="", kind="054").status == "PENDING"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"way": None}, ("CdtDbtInd", "missing_value")),
        ({"way": "CREDIT"}, ("CdtDbtInd", "invalid_direction")),
        ({"status": "<Sts>DONE</Sts>"}, ("Sts", "invalid_status")),
        ({"status": "<Sts><Prtry>X</Prtry></Sts>"}, ("Sts", "invalid_status")),
        ({"booked": "05.01.2026"}, ("BookgDt", "invalid_timestamp")),
        ({"booked": "2026-02-30"}, ("BookgDt", "invalid_timestamp")),
        ({"booked": "9999-12-31T23:59:59-05:00"}, ("BookgDt", "invalid_timestamp")),
        ({"booked": None}, ("BookgDt", "missing_value")),
    ],
)
def test_entries_refused(change, why):
    assert reject(entry(**change)) == why


@pytest.mark.parametrize("twice", ["Amt", "CdtDbtInd", "Sts"])
def test_an_entry_that_contradicts_itself_is_refused(twice):
    assert reject(entry("10.00", tag(twice, "99.00"))) == (twice, "told_twice")


@pytest.mark.parametrize(
    ("dates", "utc"),
    [
        (nested("BookgDt/Dt", "2026-01-05"), "2026-01-04T18:30:00"),
        (nested("BookgDt/Dt", "2026-01-05Z"), "2026-01-05T00:00:00"),
        (nested("BookgDt/Dt", "2026-01-05+01:00"), "2026-01-04T23:00:00"),
        (nested("BookgDt/DtTm", "2026-01-05T10:15:00"), "2026-01-05T04:45:00"),
        (nested("BookgDt/DtTm", "2026-01-05T10:15:00+01:00"), "2026-01-05T09:15:00"),
        (
            nested("BookgDt/DtTm", "2026-01-05T10:15:00.123456789Z"),
            "2026-01-05T10:15:00.123456",
        ),
        (nested("BookgDt/Dt", "2026-01-05T10:15:00Z"), "2026-01-05T10:15:00"),
        (nested("BookgDt/DtTm", "2026-01-05T24:00:00Z"), "2026-01-06T00:00:00"),
        (tag("BookgDt", "2026-01-05"), "2026-01-04T18:30:00"),
    ],
)
def test_dates_accepted(dates, utc):
    said = row(dates, booked=None)
    assert said.txn_timestamp == datetime.fromisoformat(f"{utc}+00:00")
    assert said.flags == ()


def test_other_dates_stand_in_for_that_of_the_booking():
    value = nested("ValDt/Dt", "2026-01-06")
    said = row(value, booked=None)
    assert said.txn_timestamp == datetime(2026, 1, 5, 18, 30, tzinfo=UTC)
    assert flags(said) == [("BookgDt", "missing_value")]
    assert row(value, booked=None, status="<Sts>PDNG</Sts>").flags == ()
    head = "<CreDtTm>2026-01-07T08:00:00Z</CreDtTm>"
    (said,) = rows(camt.document(camt.statement(entry(booked=None), head=head)))
    assert said.txn_timestamp == datetime(2026, 1, 7, 8, tzinfo=UTC)
    assert flags(said) == [("BookgDt", "missing_value")]


# --- who and what -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("refs", "reference"),
    [
        ("<EndToEndId>E</EndToEndId><TxId>T</TxId>", "E"),
        ("<EndToEndId>NOTPROVIDED</EndToEndId><TxId>T</TxId>", "T"),
        ("<EndToEndId> notprovided </EndToEndId><InstrId>I</InstrId>", "I"),
        ("<InstrId>I</InstrId><UETR>u-1</UETR><TxId>T</TxId>", "u-1"),
        ("<EndToEndId>/XUTR/SBIN526005123456</EndToEndId>", "SBIN526005123456"),
        ("<ChqNb>000123</ChqNb>", "000123"),
        ("<MndtId>M</MndtId>", None),
        ("<EndToEndId>two\n  lines</EndToEndId>", "two lines"),
    ],
)
def test_references(refs, reference):
    assert row(in_details(refs=refs)).reference_id == reference


def test_the_reference_of_the_bank_is_the_source_id():
    inner = in_details(refs="<AcctSvcrRef>DETAIL</AcctSvcrRef>")
    assert row(inner).source_txn_id == "DETAIL"
    assert row(inner, reference="ENTRY").source_txn_id == "ENTRY"


def test_a_structured_reference_counts():
    strd = nested("RmtInf/Strd/CdtrRefInf/Ref", "RF18539007547034")
    assert row(in_details(strd)).reference_id == "RF18539007547034"


@pytest.mark.parametrize(
    ("way", "sides", "other"),
    [
        ("CRDT", camt.sides(OTHER, "MINE"), OTHER),
        ("DBIT", camt.sides("MINE", OTHER), OTHER),
        ("CRDT", camt.side("Cdtr", "MINE"), None),
        ("CRDT", camt.sides(ACCOUNT, OTHER), OTHER),
        ("CRDT", camt.side("Dbtr", "NL91 ABNA 0417 1643 00"), OTHER),
        ("CRDT", nested("RltdPties/DbtrAcct/Id/Othr/Id", "0011"), "0011"),
    ],
)
def test_the_other_side_is_found_by_the_direction(way, sides, other):
    assert row(in_details(sides), way=way).counterparty_account == other


def test_a_returned_payment_may_keep_its_parts():
    inner = in_details(camt.side("Dbtr", OTHER, "ABNANL2A"))
    said = row(inner, way="DBIT", status="<RvslInd>true</RvslInd><Sts>BOOK</Sts>")
    assert (said.counterparty_account, said.vpa_or_ifsc) == (OTHER, "ABNANL2A")
    returned = in_details(camt.side("Dbtr", OTHER), nested("RtrInf/Rsn/Cd", "AC06"))
    assert row(returned, way="DBIT").counterparty_account == OTHER


@pytest.mark.parametrize(
    ("agent", "found_"),
    [
        (nested("FinInstnId/BIC", "COBADEFF370"), "COBADEFF370"),
        (nested("FinInstnId/BICFI", "cobadeff"), "COBADEFF"),
        (nested("FinInstnId/ClrSysMmbId/MmbId", "HDFC0001234"), "HDFC0001234"),
        (nested("FinInstnId/ClrSysMmbId/MmbId", "09000"), None),
        (nested("FinInstnId/Nm", "A bank"), None),
    ],
)
def test_the_bank_of_the_other_side(agent, found_):
    inner = in_details(nested("RltdAgts/DbtrAgt", agent))
    assert row(inner).vpa_or_ifsc == found_


def test_an_address_is_no_account():
    inner = in_details(nested("RltdPties/DbtrAcct/Id/Othr/Id", "asha@okaxis"))
    said = row(inner)
    assert (said.counterparty_account, said.vpa_or_ifsc) == (None, "asha@okaxis")
    proxy = in_details(nested("RltdPties/DbtrAcct/Prxy/Id", "asha@okaxis"))
    assert row(proxy).vpa_or_ifsc == "asha@okaxis"


@pytest.mark.parametrize("name", ["Dbtr/Nm", "Dbtr/Pty/Nm"])
def test_the_new_and_the_old_forms_of_parties_are_the_same(name):
    account = nested("DbtrAcct/Id/IBAN", OTHER)
    said = row(in_details(tag("RltdPties", nested(name, "Asha"), account)))
    assert said.raw_row[f"NtryDtls/TxDtls/RltdPties/{name}"] == "Asha"
    assert said.counterparty_account == OTHER


@pytest.mark.parametrize(
    ("path", "account"),
    [
        ("Id/IBAN", "DE89 3704 0044 0532 0130 00"),
        ("Id/Othr/Id", "50000000054910000003"),
        ("Id/BBAN", "BARC20658255555555"),
        ("Id/PrtryAcct/Id", "12345"),
    ],
)
def test_accounts(path, account):
    text = camt.document(
        tag("Stmt", tag("Id", "S"), tag("Acct", nested(path, account)), entry())
    )
    (said,) = rows(text)
    assert said.account_id == account.replace(" ", "")
    assert said.txn_id == f"CAMT053:{said.account_id}:S:1"


def test_a_statement_without_account_or_id_is_flagged_once():
    text = camt.document(camt.statement(entry(), entry(), account=None, id=None))
    first, second = rows(text)
    assert flags(first) == [("Acct/Id", "missing_value"), ("Id", "missing_value")]
    assert (first.account_id, second.flags) == (None, ())
    assert first.txn_id == "CAMT053:-:M1:1"


def test_raw_rows_keep_everything_apart():
    said = row(
        "<Chrgs><Rcrd><Amt Ccy='EUR'>1</Amt></Rcrd>"
        "<Rcrd><Amt Ccy='SEK'>2</Amt></Rcrd></Chrgs>"
        "<AddtlNtryInf>a &lt;&amp; <![CDATA[<Ntry>]]> b</AddtlNtryInf><Empty/>"
        "<x:Own xmlns:x='urn:x'>y</x:Own><Mixed>one<br/>two</Mixed>"
    )
    assert said.raw_row["Chrgs/Rcrd/Amt"] == "1"
    assert said.raw_row["Chrgs/Rcrd[2]/Amt"] == "2"
    assert said.raw_row["Chrgs/Rcrd[2]/Amt/@Ccy"] == "SEK"
    assert said.raw_row["AddtlNtryInf"] == "a <& <Ntry> b"
    assert said.raw_row["Empty"] == ""
    assert said.raw_row["{urn:x}Own"] == "y"
    assert said.raw_row["Mixed"] == "one two"


def test_raw_rows_are_json_whatever_they_say():
    told = row('<AddtlNtryInf>a "b" \\ %s %% \t\n\u2028 é</AddtlNtryInf><Qu-100.x/>')
    assert told.raw_row["AddtlNtryInf"] == 'a "b" \\ %s %% \t\n\u2028 é'
    formats = raw.RawRows()
    for n in range(2 * raw.MAX_FORMATS):
        said = {f"a%{n}": '"', "b": "c"}
        assert json.loads(formats.json(said)) == said
        assert len(formats) <= raw.MAX_FORMATS
    before = len(formats)
    long = {"a" * (raw.MAX_FORMAT_CHARS + 1): "b"}
    assert json.loads(formats.json(long)) == long
    assert len(formats) == before


def test_equal_payments_have_equal_hashes():
    plain = row(reference="R").row_hash
    assert row(reference=" R ").row_hash == plain
    assert rows(one(entry("10.0", reference="R")))[0].row_hash == plain
    assert row(booked="2026-01-05T00:00:00+05:30", reference="R").row_hash == plain
    for other in ({"reference": "Q"}, {"way": "DBIT"}, {"booked": "2026-01-06"}):
        assert row(**({"reference": "R"} | other)).row_hash != plain
    noted = row("<AddtlNtryInf>note</AddtlNtryInf>", reference="R")
    assert noted.row_hash != plain


# --- batches ----------------------------------------------------------------------


def batch(*details: str, head: str = "") -> str:
    return tag("NtryDtls", head, *details)


def test_a_batch_that_adds_up_is_a_row_for_each():
    inner = batch(
        camt.details(
            "6.00", camt.side("Dbtr", OTHER), refs="<EndToEndId>A</EndToEndId>"
        ),
        camt.details(
            "4.00", refs="<EndToEndId>B</EndToEndId><AcctSvcrRef>R</AcctSvcrRef>"
        ),
        head="<Btch><PmtInfId>P</PmtInfId><NbOfTxs>2</NbOfTxs></Btch>",
    )
    first, second = rows(one(entry("10.00", inner, reference="WHOLE")))
    assert [first.txn_id[-4:], second.txn_id[-4:]] == [":1.1", ":1.2"]
    assert [str(first.amount), str(second.amount)] == ["6.00", "4.00"]
    assert [first.reference_id, second.reference_id] == ["A", "B"]
    assert [first.source_txn_id, second.source_txn_id] == [first.txn_id, "R"]
    assert [first.counterparty_account, second.counterparty_account] == [OTHER, None]
    assert first.flags == second.flags == ()
    assert first.raw_row["NtryDtls/TxDtls/Refs/EndToEndId"] == "A"
    assert second.raw_row["NtryDtls/TxDtls/Refs/EndToEndId"] == "B"
    assert second.raw_row["AcctSvcrRef"] == "WHOLE"


@pytest.mark.parametrize("name", ["TxAmt", "CntrValAmt", "InstdAmt"])
def test_the_amounts_of_a_batch_may_stand_deeper(name):
    inner = "".join(
        camt.details(None, nested(f"AmtDtls/{name}", money(a))) for a in ("7", "3.00")
    )
    said = rows(one(entry("10.00", tag("NtryDtls", inner))))
    assert [str(r.amount) for r in said] == ["7.00", "3.00"]


def test_every_transaction_may_have_details_of_its_own():
    inner = batch(camt.details("6.00")) + batch(camt.details("4.00"))
    assert len(rows(one(entry("10.00", inner)))) == 2


def test_a_batch_with_both_directions():
    inner = batch(camt.details("12.00", way="CRDT"), camt.details("2.00", way="DBIT"))
    first, second = rows(one(entry("10.00", inner)))
    assert (first.direction, str(first.amount)) == ("C", "12.00")
    assert (second.direction, str(second.amount)) == ("D", "2.00")


def test_a_batch_told_from_the_other_side():
    inner = batch(camt.details("6.00", way="DBIT"), camt.details("4.00", way="DBIT"))
    first, second = rows(one(entry("10.00", inner)))
    assert first.direction == second.direction == "C"
    column = "NtryDtls/TxDtls/CdtDbtInd"
    assert (flags(first), second.flags) == ([(column, "invalid_direction")], ())


@pytest.mark.parametrize(
    ("details", "doubts"),
    [
        ([camt.details("6.00"), camt.details("3.99")], ["details_differ"]),
        ([camt.details("6.00"), camt.details(None)], ["details_differ"]),
        ([camt.details(None), camt.details(None)], ["details_differ"]),
        (
            [camt.details("5.005"), camt.details("4.995")],
            ["unsupported_precision", "unsupported_precision", "details_differ"],
        ),
    ],
)
def test_a_batch_that_does_not_add_up_stays_whole(details, doubts):
    head = "<Btch><PmtInfId>P</PmtInfId></Btch>"
    (said,) = rows(one(entry("10.00", batch(*details, head=head))))
    assert (str(said.amount), said.txn_id[-2:]) == ("10.00", ":1")
    assert said.reference_id == "P"
    assert [reason for _, reason in flags(said)] == doubts
    kept = [key for key in said.raw_row if key.startswith("NtryDtls/TxDtls[1]/Amt")]
    assert bool(kept) == ("<Amt" in details[0])


def test_a_batch_that_is_not_listed_is_flagged():
    inner = batch(head="<Btch><PmtInfId>P</PmtInfId><NbOfTxs>3</NbOfTxs></Btch>")
    (said,) = rows(one(entry("10.00", inner)))
    assert said.reference_id == "P"
    assert flags(said) == [("NtryDtls/Btch/NbOfTxs", "detail_count")]
    alone = batch(head="<Btch><NbOfTxs>1</NbOfTxs></Btch>")
    assert rows(one(entry("10.00", alone)))[0].flags == ()


def test_one_transaction_of_another_amount_is_flagged():
    (said,) = rows(one(entry("594.05", batch(camt.details("564.05")))))
    assert str(said.amount) == "594.05"
    assert flags(said) == [("NtryDtls/TxDtls", "details_differ")]
    other = nested("AmtDtls/InstdAmt", money("3255", "USD"))
    assert row(in_details(other)).flags == ()


def test_version_one_has_its_transactions_in_the_entry():
    text = one(
        entry("10.00", camt.details("6.00"), camt.details("4.00")), version="01"
    ).replace("BkToCstmrStmt", "BkToCstmrStmtV01")
    assert [str(r.amount) for r in rows(text)] == ["6.00", "4.00"]


def test_a_batch_of_one_line_has_a_line_for_each_row():
    inner = batch(*(camt.details("1.00") for _ in range(10)))
    said = found(one(entry("10.00", inner), entry()))
    assert [each.line for each in said] == [*range(1, 12), 11]


# --- what is too long -------------------------------------------------------------


def test_an_entry_that_is_too_long_is_refused_alone():
    long = tag("AddtlNtryInf", "x" * walk.MAX_PART_BYTES)
    many = "<E/>" * (walk.MAX_PART_BYTES // 4)
    said = every(one(entry("1.00", long), entry("2.00"), entry("3.00", many), entry()))
    assert [type(r) for r in said] == [Reject, Row, Reject, Row, Statement]
    assert {str(r.reason) for r in said if isinstance(r, Reject)} == {"entry_too_long"}
    assert said[-1].rows == 4
    assert said[-1].credits == Decimal("12.00")


def test_an_entry_may_repeat_itself_often():
    many = "<Strd><A>1</A><B>2</B></Strd>" * (walk.MAX_NODES // 2 + 1)
    said = row(many)
    assert said.raw_row[f"Strd[{walk.MAX_NODES // 2 + 1}]/B"] == "2"


def test_transactions_that_are_too_long_are_left_out():
    long = nested("RmtInf/Ustrd", "x" * walk.MAX_PART_BYTES)
    inner = batch(camt.details("6.00", long), camt.details("4.00"))
    after = "<AddtlNtryInf>kept</AddtlNtryInf>"
    first, second = rows(one(entry("10.00", inner, after), entry("2.00")))
    assert flags(first) == [("NtryDtls/TxDtls", "details_left_out")]
    assert first.raw_row["AddtlNtryInf"] == "kept"
    assert str(second.amount) == "2.00"


def test_a_batch_that_is_too_long_is_one_row(monkeypatch):
    monkeypatch.setattr(walk, "MAX_DETAILS_BYTES", 1000)
    inner = batch(*(camt.details("1.00", refs="<TxId>T</TxId>") for _ in range(20)))
    first, second = rows(one(entry("20.00", inner), entry("2.00")))
    assert flags(first) == [("NtryDtls/TxDtls", "details_left_out")]
    assert (str(first.amount), str(second.amount)) == ("20.00", "2.00")
    monkeypatch.setattr(walk, "MAX_DETAILS_BYTES", 10_000)
    assert len(rows(one(entry("20.00", inner)))) == 20
    monkeypatch.setattr(walk, "MAX_DETAIL_VALUES", 10)
    assert len(rows(one(entry("20.00", inner)))) == 1
