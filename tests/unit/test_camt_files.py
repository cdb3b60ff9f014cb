"""The camt reader: statements and their totals, and which files it takes at all."""

import gzip
import sys
from collections import Counter
from datetime import date
from decimal import Decimal

import pytest

from ingestion.sources.base import (
    Control,
    Fault,
    FileFault,
    Position,
    Reject,
    Row,
    SourceError,
    Statement,
)
from ingestion.sources.camt import markup, names, walk
from ingestion.sources.registry import source_get
from tests import camt_files as camt
from tests.camt_files import ACCOUNT, balance, document, entry, nested, one, tag
from tests.readings import Found, records

pytestmark = pytest.mark.unit
PENDING = "<Sts><Cd>PDNG</Cd></Sts>"
FIRST_LINE = '<?xml version="1.0" encoding="{}"?>'


def found(data: str | bytes, kind: str = "053") -> list[Found]:
    data = data.encode() if isinstance(data, str) else data
    return records(source_get(f"CAMT{kind}").read, [data])


def every(data: str | bytes, kind: str = "053") -> list:
    return [each.record for each in found(data, kind)]


def rows(data: str | bytes, kind: str = "053") -> list:
    return [r for r in every(data, kind) if isinstance(r, Row)]


def statements(data: str | bytes, kind: str = "053") -> list:
    return [r for r in every(data, kind) if isinstance(r, Statement)]


def faults(data: str | bytes, kind: str = "053") -> list:
    said = [r for r in every(data, kind) if isinstance(r, Fault)]
    return [(str(f.control), f.expected, f.found) for f in said]


def flags(some) -> list:
    return [(flag.column, str(flag.reason)) for flag in some.flags]


def error(data: str | bytes, kind: str = "053"):
    with pytest.raises(SourceError) as caught:
        found(data, kind)
    assert caught.value.message.endswith(".")
    return caught.value.code, caught.value.message


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


# --- messages ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["052", "053", "054"])
@pytest.mark.parametrize("other", ["052", "053", "054"])
def test_each_source_reads_its_own_message(kind, other):
    text = one(entry(), kind=kind)
    if kind == other:
        assert rows(text, kind)[0].txn_id.startswith(f"CAMT{kind}:")
        return
    code, message = error(text, other)
    assert code is FileFault.WRONG_MESSAGE
    assert f"as source CAMT{kind}" in message


@pytest.mark.parametrize(
    ("version", "is_known"), [*((f"{v:02}", True) for v in range(1, 14)), ("14", False)]
)
def test_versions(version, is_known):
    (said,) = rows(one(entry(), version=version))
    assert flags(said) == ([] if is_known else [("xmlns", "unknown_version")])


@pytest.mark.parametrize(
    ("namespace", "doubts"),
    [
        ("ISO:camt.053.001.02:APC:STUZZA:payments:003", []),
        ("urn:iso:std:iso:20022:tech:xsd:camt.053.002.03", ["unknown_version"]),
    ],
)
def test_namespaces_of_other_bodies(namespace, doubts):
    (said,) = rows(one(entry(), namespace=namespace))
    assert [str(flag.reason) for flag in said.flags] == doubts


def test_a_message_without_a_namespace_is_flagged():
    first, second = rows(document(camt.statement(entry(), entry()), namespace=""))
    assert flags(first) == [("xmlns", "unknown_version")]
    assert second.flags == ()


def test_the_flags_of_a_statement_come_with_its_first_row():
    text = stated(
        entry("x"), entry("0"), entry(), head="<CpyDplctInd>DUPL</CpyDplctInd>"
    )
    first, second = rows(text)
    assert flags(first) == [
        ("Amt", "zero_amount"),
        ("CpyDplctInd", "copy_or_duplicate"),
    ]
    assert second.flags == ()


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "<Envlp xmlns='urn:e'><AppHdr xmlns='urn:h'><Fr/></AppHdr>{}</Envlp>",
        "<a><b><c>text {} text</c></b></a>",
        "<!-- first -->{}<!-- last --><?pi?>",
        "<a>{0}{0}</a>",
    ],
)
def test_a_message_may_be_wrapped(around):
    text = around.format(one(entry()))
    assert len(rows(text)) == text.count("<Ntry>")


def test_prefixes_do_not_matter():
    plain = one(entry("10.00", reference="R"))
    prefixed = (
        plain.replace("<", "<n:").replace("<n:/", "</n:").replace("xmlns", "xmlns:n")
    )
    assert rows(prefixed) == rows(plain)


def test_documents_may_follow_each_other():
    text = camt.lines(FIRST_LINE.format("UTF-8") + one(entry()))
    said = found(f"{text}\n{text}\n<!-- the end -->\n")
    assert [type(each.record) for each in said] == [Row, Statement] * 2
    assert said[2].line > said[1].line
    padded = text.encode() + b"\r\n\x1a" + b"\0" * 100_000
    assert len(every(padded)) == 2


def test_a_later_document_may_be_wrapped_at_length():
    wrapped = f"<a><h>{'x' * 200_000}</h>{one(entry())}</a>"
    filler = one(*(entry() for _ in range(8000)))
    said = every(filler + wrapped)
    assert sum(isinstance(r, Row) for r in said) == 8001
    assert isinstance(said[-1], Statement)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", FileFault.EMPTY_FILE),
        (b" \r\n", FileFault.EMPTY_FILE),
        (b":20:STARTUMS\r\n", FileFault.NOT_XML),
        (b"txn_id,amount\n", FileFault.NOT_XML),
        (b"<html><body>Error 502</body></html>", FileFault.WRONG_MESSAGE),
        (
            b"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:pain.001.001.09'>",
            FileFault.WRONG_MESSAGE,
        ),
        (b"<a>" + b"<b/>" * 300_000 + b"</a>", FileFault.WRONG_MESSAGE),
        (document(namespace="urn:foreign").encode(), FileFault.WRONG_MESSAGE),
        (document(namespace="urn:x:camt.054.001.08").encode(), FileFault.WRONG_MESSAGE),
        (b"<!-- nothing -->", FileFault.NOT_XML),
        (b"<a><b></a>", FileFault.NOT_XML),
        (b"<Document", FileFault.NOT_XML),
        (gzip.compress(b"<a/>", mtime=0), FileFault.COMPRESSED_FILE),
        (b"PK\x03\x04", FileFault.COMPRESSED_FILE),
        (b"%PDF-1.7\n", FileFault.NOT_TEXT),
        ("<a/>".encode("utf-32"), FileFault.UNSUPPORTED_ENCODING),
        (
            FIRST_LINE.format("Shift_JIS").encode() + b"<a/>",
            FileFault.UNSUPPORTED_ENCODING,
        ),
        (
            FIRST_LINE.format("nonsense").encode() + b"<a/>",
            FileFault.UNSUPPORTED_ENCODING,
        ),
    ],
)
def test_files_refused(data, code):
    assert error(data)[0] is code


# --- encodings --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "codec", "mark"),
    [
        ("UTF-8", "utf-8", b""),
        ("utf-8", "utf-8", b"\xef\xbb\xbf"),
        ("UTF-16", "utf-16-le", b"\xff\xfe"),
        ("UTF-16", "utf-16-be", b"\xfe\xff"),
        ("UTF-16", "utf-16-le", b""),
        ("UTF-16", "utf-16-be", b""),
        ("utf-16", "utf-8", b""),
        ("ISO-8859-1", "latin-1", b""),
        ("iso-8859-15", "iso-8859-15", b""),
        ("windows-1252", "cp1252", b""),
        ("US-ASCII", "ascii", b""),
    ],
)
def test_encodings(declared, codec, mark):
    note = "caf\xe9" if codec != "ascii" else "cafe"
    text = FIRST_LINE.format(declared) + one(entry("1.00", tag("AddtlNtryInf", note)))
    (said,) = rows(mark + text.encode(codec))
    assert f'"{note}"' in said.raw_row


def test_blanks_in_front_are_passed_over():
    text = "\r\n\n \t" + FIRST_LINE.format("UTF-8") + one(entry())
    assert rows(text)[0].line == 3
    assert rows(b"\xef\xbb\xbf" + text.encode()) == rows(text)


# --- safety -----------------------------------------------------------------------

LAUGHS = "<!DOCTYPE d [" + "".join(
    f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "ha"}">' for n in range(12)
)


@pytest.mark.parametrize(
    "head",
    [
        "<!DOCTYPE Document>",
        "<!DOCTYPE Document [ <!ENTITY e 'x'> ]>",
        '<!DOCTYPE d SYSTEM "http://localhost/x.dtd">',
        '<!DOCTYPE d [ <!ENTITY e SYSTEM "file:///etc/passwd"> ]>',
        '<!DOCTYPE d [ <!ENTITY % p SYSTEM "file:///etc/passwd"> %p; ]>',
        f"{LAUGHS}]>",
    ],
)
def test_a_document_type_is_refused(head):
    text = head + one(entry("1.00", "<AddtlNtryInf>&e11;&e;</AddtlNtryInf>"))
    assert error(text)[0] is FileFault.UNSAFE_XML
    assert error(FIRST_LINE.format("UTF-8") + text)[0] is FileFault.UNSAFE_XML


def test_the_entities_are_refused_before_they_are_read():
    """What the parser is fed together with a refused type it would still read."""
    said: Counter[str] = Counter()
    parser = markup.Markup("053", "UTF-8", 0, 1)
    parser._parser.EntityDeclHandler = lambda *_: said.update(["entity"])
    parser.feed(f"{LAUGHS}]><d>&e11;</d>".encode())
    assert isinstance(parser.damage, SourceError)
    assert said == Counter()


@pytest.mark.parametrize(
    "damage",
    [
        "<AddtlNtryInf>&unknown;</AddtlNtryInf>",
        "<x:Amt>1</x:Amt>",
        "<A></B>",
        "a & b",
        "\x01",
        "<d>" * 200,
        "".join(f"<d{n}/>" for n in range(names.MAX_NAMES + 1)),
        "<d " + " ".join(f"a{n}=''" for n in range(walk.MAX_ATTRIBUTES + 1)) + "/>",
        f"<{'d' * (names.MAX_NAME_CHARS + 1)}/>",
        f"<!--{'x' * (markup.MAX_GAP_BYTES + 100_000)}-->",
        f"<d a='{'x' * (markup.MAX_GAP_BYTES + 100_000)}'/>",
        f"<d xmlns:a='{'x' * (markup.MAX_URI_CHARS + 1)}'/>",
    ],
)
def test_what_stands_before_damage_is_kept(damage):
    text = camt.lines(one(entry("1.00"), entry("2.00", damage), entry("3.00")))
    *kept, last = every(text)
    assert [str(r.amount) for r in kept] == ["1.00"]
    assert isinstance(last, Fault)
    assert last.control is Control.UNFINISHED
    assert last.found.startswith("line ")
    assert last.line > kept[-1].line


def test_a_file_that_ends_too_early_says_so():
    text = one(entry("1.00"), entry("2.00"))
    for cut in ("</Document>", "</Stmt>", "<CdtDbtInd>"):
        *kept, last = every(text[: text.rindex(cut)])
        assert {type(r) for r in kept} <= {Row, Statement}
        assert last.control is Control.UNFINISHED
        assert "no element found" in last.found or "unclosed token" in last.found


@pytest.mark.parametrize(
    ("behind", "why"),
    [
        ("rubbish", "no XML"),
        ("<other/>", "no BkToCstmrStmt"),
        (one(entry(), kind="054"), "as source CAMT054"),
        ("<!DOCTYPE d><d/>", "document type"),
    ],
)
def test_rubbish_behind_a_document_is_a_fault(behind, why):
    *kept, last = every(one(entry()) + behind)
    assert [type(r) for r in kept] == [Row, Statement]
    assert last.control is Control.UNFINISHED
    assert why in last.found


def test_a_reading_that_is_over_has_nothing_more():
    reading = source_get("CAMT053").read([one(entry()).encode()])
    assert len(list(reading)) == 2
    assert reading.offset == len(one(entry()))
    assert list(source_get("CAMT053").read([], resume=reading.position)) == []
    fresh = source_get("CAMT053").read(
        [one(entry()).encode()], resume=Position(0, 1, {})
    )
    assert (fresh.position, len(list(fresh))) == (Position(0, 1, {}), 2)


# --- cost -------------------------------------------------------------------------


def _calls(data: bytes) -> int:
    """Return how many functions of the reader are called for a file."""
    calls = 0

    def count(frame, event, _):
        nonlocal calls
        if event == "call" and "sources" in frame.f_code.co_filename:
            calls += 1

    sys.setprofile(count)
    try:
        for _ in source_get("CAMT053").read([data]):
            pass
    finally:
        sys.setprofile(None)
    return calls


def _parsed_bytes(monkeypatch, data: bytes, resume: Position | None = None) -> int:
    """Return how many bytes the reader takes of its blocks before its first record."""
    taken = 0

    def blocks():
        nonlocal taken
        for start in range(0, len(data), 1000):
            taken += 1000
            yield data[start : start + 1000]

    next(iter(source_get("CAMT053").read(blocks(), resume=resume)))
    return taken


@pytest.mark.parametrize("inner", ["", camt.details("10.00")])
def test_the_work_grows_with_the_file_and_not_faster(inner):
    small, large = (
        _calls(one(*(entry("10.00", inner) for _ in range(n))).encode())
        for n in (200, 2000)
    )
    assert large < 10.1 * small


def test_the_work_for_a_batch_grows_with_it_and_not_faster():
    small, large = (
        _calls(
            one(
                entry(f"{n}.00", "".join(camt.details("1.00") for _ in range(n)))
            ).encode()
        )
        for n in (200, 2000)
    )
    assert large < 10.1 * small


def test_resuming_reads_no_more_than_the_rest(monkeypatch):
    data = one(*(entry() for _ in range(2000))).encode()
    said = found(data)
    position = said[1900].position
    assert position.offset > len(data) * 0.9
    assert _parsed_bytes(monkeypatch, data[position.offset :], position) < 0.1 * len(
        data
    )
    assert len(str(position.to_json())) < 2000
