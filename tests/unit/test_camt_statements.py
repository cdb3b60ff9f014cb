"""The camt reader: statements, their balances, pages and totals."""

from datetime import date
from decimal import Decimal

import pytest

from ingestion.sources.base import Fault, Reject, Statement
from tests import camt_files as camt
from tests.camt_files import (
    ACCOUNT,
    balance,
    document,
    entry,
    every,
    nested,
    rows,
    statements,
    tag,
)

pytestmark = pytest.mark.unit
PENDING = "<Sts><Cd>PDNG</Cd></Sts>"


def faults(data: str | bytes, kind: str = "053") -> list:
    said = [r for r in every(data, kind) if isinstance(r, Fault)]
    return [(str(f.control), f.expected, f.found) for f in said]


def stated(*inner: str, kind: str = "053", **how) -> str:
    return document(camt.statement(*inner, kind=kind, **how), kind=kind)


# --- statements and balances ------------------------------------------------------


def test_a_statement_in_full():
    text = camt.lines(
        stated(
            balance("OPBD", "100.00", "CRDT", "2026-01-04"),
            balance("CLBD", "5.50", "DBIT", "2026-01-05"),
            entry("10.00"),
            entry("115.50", way="DBIT"),
            entry("7.00", status=PENDING),
            entry("x"),
            head="<ElctrncSeqNb>000097</ElctrncSeqNb><LglSeqNb>4</LglSeqNb>",
        )
    )
    (said,) = statements(text)
    assert said == Statement(
        line=text[: text.index("</Stmt>")].count("\n") + 1,
        account_id=ACCOUNT,
        statement_id="S1",
        number=97,
        currency="EUR",
        opening=Decimal("100.00"),
        closing=Decimal("-5.50"),
        opening_date=date(2026, 1, 4),
        closing_date=date(2026, 1, 5),
        rows=4,
        credits=Decimal("10.00"),
        debits=Decimal("115.50"),
    )
    assert faults(text) == []


def test_a_statement_is_mute_about_what_it_does_not_say():
    (said,) = statements(stated(currency=None))
    assert said[2:9] == ("S1", None, "XXX", None, None, None, None)
    (said,) = statements(stated(entry(), kind="054", currency=None), "054")
    assert (said.currency, said.opening, said.closing) == ("EUR", None, None)
    assert (said.rows, said.credits) == (1, Decimal("10.00"))
    number = stated(head="<LglSeqNb>12</LglSeqNb>")
    assert statements(number)[0].number == 12


@pytest.mark.parametrize(
    ("balances", "opening", "closing"),
    [
        ((("OPBD", "1"), ("CLBD", "2")), 1, 2),
        ((("PRCD", "1"), ("OPBD", "3"), ("CLBD", "4")), 3, 4),
        ((("PRCD", "1"), ("CLBD", "2")), 1, 2),
        ((("OPBD", "1"), ("CLBD", "2"), ("OPBD", "2"), ("CLBD", "2")), 1, 2),
        ((("OPBD", "1"), ("ITBD", "2")), 1, 2),
        ((("ITBD", "1"), ("ITBD", "2")), 1, 2),
        ((("ITBD", "1"), ("CLBD", "2")), 1, 2),
        ((("OPBD", "1"), ("ITBD", "9"), ("CLBD", "2")), 1, 2),
        ((("ITBD", "2"),), None, 2),
        ((("OPAV", "1"), ("CLAV", "2"), ("FWAV", "2")), None, None),
    ],
)
def test_which_balances_count(balances, opening, closing):
    (said,) = statements(stated(*(balance(*each) for each in balances)))
    assert (said.opening, said.closing) == (opening, closing)


def test_a_report_has_no_closing_balance_until_it_says_so():
    interim = stated(balance("OPBD", "1"), balance("ITBD", "9"), kind="052")
    assert statements(interim, "052")[0].closing is None
    assert faults(interim, "052") == []
    closed = stated(balance("OPBD", "1"), balance("CLBD", "9"), kind="052")
    assert faults(closed, "052") == [("closing_balance", "9.00", "1.00")]


def test_movements_must_lead_to_the_closing_balance():
    text = stated(balance("OPBD", "18.15"), balance("CLBD", "27.05"), entry("8.85"))
    assert faults(text) == [("closing_balance", "27.05", "27.00")]
    assert faults(text.replace("27.05", "27.000")) == []


def test_pending_entries_move_nothing():
    balances = balance("OPBD", "1.00"), balance("CLBD", "11.00")
    assert faults(stated(*balances, entry("10.00"), entry("5", status=PENDING))) == []
    info = entry("5", status="<Sts>INFO</Sts>")
    assert faults(stated(*balances, entry("10.00"), info)) == []


def test_a_refused_entry_counts_as_far_as_it_can_be_read():
    balances = balance("OPBD", "1.00000"), balance("CLBD", "2.00001")
    text = stated(*balances, entry("1.00001"))
    assert faults(text) == []
    assert statements(text)[0].closing == Decimal("2.00001")
    assert [type(r) for r in every(text)] == [Reject, Statement]
    unreadable = stated(*balances, entry("1,00001"))
    assert faults(unreadable) == [("closing_balance", "2.00001", "1.00")]


def test_sums_are_exact_beyond_the_usual_precision():
    huge = "9" * 16 + ".99"
    entries = [entry(huge) for _ in range(3)]
    (said,) = statements(stated(*entries, entry("0.00001")))
    assert said.credits == Decimal("29999999999999999.97001")


def test_each_currency_has_its_own_statement():
    text = stated(
        balance("OPBD", "1.00"),
        balance("OPBD", "5.00").replace("EUR", "USD"),
        balance("CLBD", "2.00"),
        balance("CLBD", "9.00").replace("EUR", "USD"),
        entry("1.00"),
        entry("3.00", currency="USD"),
        entry("2.00", currency="SEK"),
        currency="USD",
    )
    assert [(s.currency, s.rows) for s in statements(text)] == [
        ("USD", 1),
        ("EUR", 1),
        ("SEK", 1),
    ]
    assert faults(text) == [("closing_balance", "9.00", "8.00")]


@pytest.mark.parametrize(
    "damage",
    [("1.00", "1,00"), ("EUR", "EURO"), ("CRDT", "PLUS"), ("1.00", "-1.00")],
)
def test_a_balance_that_cannot_be_read_is_a_fault(damage):
    text = stated(balance("OPBD", "1.00").replace(*damage), entry())
    (fault,) = faults(text)
    assert fault[0] == "unreadable"
    assert statements(text)[0].opening is None


def test_balances_have_the_form_of_version_one_too():
    old = balance("OPBD", "1").replace("<CdOrPrtry>", "").replace("</CdOrPrtry>", "")
    assert statements(stated(old))[0].opening == 1


# --- pages ------------------------------------------------------------------------


def page(number: int, last: bool, *inner: str) -> str:
    told = tag("PgNb", number) + tag("LastPgInd", str(last).lower())
    return camt.statement(*inner, head=tag("StmtPgntn", told))


def test_pages_carry_their_balance_on():
    text = document(
        page(1, False, balance("OPBD", "1.00"), entry("1.00")),
        page(2, False, entry("2.00")),
        page(3, True, entry("3.00"), balance("CLBD", "8.00")),
    )
    assert [s.statement_id for s in statements(text)] == ["S1", "S1/2", "S1/3"]
    assert [s.opening for s in statements(text)] == [1, 2, 4]
    assert faults(text) == [("closing_balance", "8.00", "7.00")]
    assert len({r.txn_id for r in rows(text)}) == 3


def test_pages_of_another_statement_carry_nothing_on():
    text = document(
        page(1, False, balance("OPBD", "1.00")),
        page(3, True, balance("CLBD", "8.00")),
    )
    assert [s.opening for s in statements(text)] == [1, None]


def test_a_message_may_be_a_page_too():
    header = tag("GrpHdr", tag("MsgId", "M"), nested("MsgPgntn/PgNb", "2"))
    text = document(page(3, True), camt.statement(), header=header)
    assert [s.statement_id for s in statements(text)] == ["S1/3", "S1/2"]
    text = document(page(3, True), camt.statement())
    assert [s.statement_id for s in statements(text)] == ["S1/3", "S1"]


# --- declared totals --------------------------------------------------------------


def summary(**totals: str) -> str:
    return tag(
        "TxsSummry", *(nested(k.replace("_", "/"), v) for k, v in totals.items())
    )


def with_totals(**totals: str) -> str:
    entries = entry("10.00"), entry("4.00", way="DBIT"), entry("1.00", status=PENDING)
    return stated(summary(**totals), *entries)


@pytest.mark.parametrize(
    ("name", "right", "control"),
    [
        ("TtlNtries_NbOfNtries", ("3", "2"), "row_count"),
        ("TtlNtries_Sum", ("15", "14.00"), "total_sum"),
        ("TtlNtries_TtlNetNtryAmt", ("7.00", "6.0"), "total_sum"),
        ("TtlNtries_TtlNetNtry_Amt", ("7.00", "6.00000"), "total_sum"),
        ("TtlCdtNtries_NbOfNtries", ("2", "1"), "row_count"),
        ("TtlCdtNtries_Sum", ("11.00", "10"), "credit_sum"),
        ("TtlDbtNtries_NbOfNtries", ("1",), "row_count"),
        ("TtlDbtNtries_Sum", ("4.00",), "debit_sum"),
    ],
)
def test_declared_totals(name, right, control):
    for text in right:
        assert faults(with_totals(**{name: text})) == []
    ((found_control, expected, _),) = faults(with_totals(**{name: "99"}))
    assert (found_control, expected[:2]) == (control, "99")
    ((found_control, expected, _),) = faults(with_totals(**{name: "many"}))
    assert (found_control, expected) == ("unreadable", "many")


def test_a_net_total_has_a_direction():
    for path in ("TtlNtries/TtlNetNtry", "TtlNtries"):
        name = "Amt" if path.endswith("Ntry") else "TtlNetNtryAmt"
        way = tag("CdtDbtInd", "DBIT")
        net = tag("TxsSummry", nested(path, tag(name, "5.00") + way))
        assert faults(stated(net, entry("5.00", way="DBIT"))) == []
        assert faults(stated(net, entry("5.00"))) == [("total_sum", "-5.00", "5.00")]


def test_totals_of_one_page_are_not_those_of_the_statement():
    text = document(page(1, False, summary(TtlNtries_NbOfNtries="99"), entry()))
    assert faults(text) == []
