"""The camt reader: which files it takes, in which encodings, and at what cost."""

import gzip
import sys

import pytest

from ingestion.sources.base import (
    Control,
    Fault,
    FileFault,
    Position,
    Row,
    SourceError,
    Statement,
)
from ingestion.sources.camt import markup, names, walk
from ingestion.sources.registry import source_get
from tests import camt_files as camt
from tests.camt_files import document, entry, every, flags, found, one, rows, tag

pytestmark = pytest.mark.unit
FIRST_LINE = '<?xml version="1.0" encoding="{}"?>'


def error(data: str | bytes, kind: str = "053"):
    with pytest.raises(SourceError) as caught:
        found(data, kind)
    assert caught.value.message.endswith(".")
    return caught.value.code, caught.value.message


def stated(*inner: str, **how) -> str:
    return document(camt.statement(*inner, **how))


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
        (b"<html><body>Error 502</body></html>", FileFault.NOT_TEXT),
        (
            b"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:pain.001.001.09'>",
            FileFault.WRONG_MESSAGE,
        ),
        (b"<a>" + b"<b/>" * 300_000 + b"</a>", FileFault.WRONG_MESSAGE),
        (document(namespace="urn:foreign").encode(), FileFault.WRONG_MESSAGE),
        (document(namespace="urn:x:camt.054.001.08").encode(), FileFault.WRONG_MESSAGE),
        (b"<BkToCstmrStmt xmlns='urn:x:camt.054.001.08'/>", FileFault.WRONG_MESSAGE),
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
    data = mark + text.encode(codec)
    first, last = found(data)
    assert f'"{note}"' in first.record.raw_row
    place = first.position
    rest = source_get("CAMT053").read([data[place.offset :]], resume=place)
    assert list(rest) == [last.record]


def test_namespaces_inside_an_entry_end_with_it():
    own = "<Own xmlns='urn:o' xmlns:q='urn:q'><q:A/></Own>"
    text = document(camt.statement(entry("1.00", own)), camt.statement(entry()))
    data = text.encode()
    said = found(data)
    place = said[2].position
    rest = source_get("CAMT053").read([data[place.offset :]], resume=place)
    assert list(rest) == [said[3].record]


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


def test_entities_are_not_even_read():
    """The parser is fed them in one piece with the type that is refused."""
    document_ = markup.Markup("053", "UTF-8", 0, 1)
    document_.feed(f"{LAUGHS}]><d>&e11;</d>".encode())
    assert isinstance(document_.damage, SourceError)
    assert document_._parser.CurrentByteIndex <= LAUGHS.index(">")


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
