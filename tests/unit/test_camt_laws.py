"""Laws of the camt reader that hold for every file, searched with random files."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.sources.base import (
    Control,
    Fault,
    Position,
    Reject,
    Row,
    SourceError,
    Statement,
)
from ingestion.sources.registry import source_get
from tests import camt_files as camt
from tests.readings import Found, records

pytestmark = pytest.mark.unit

name = st.text("abcXYZ019 ./é€", min_size=1, max_size=12)
cents = st.integers(0, 10**9).map(lambda n: f"{n // 100}.{n % 100:02d}")
odd_amount = st.sampled_from(["", "1,50", "1.005", "-1.00", "1e5", "9" * 20, "0"])
amount = st.one_of(cents, cents, odd_amount)
way = st.sampled_from(["CRDT", "DBIT"])
status = st.sampled_from(
    ["<Sts>BOOK</Sts>", "<Sts><Cd>PDNG</Cd></Sts>", "<Sts>INFO</Sts>", "<Sts>X</Sts>"]
)
a_detail = st.builds(
    lambda amount, ref, way: camt.details(
        amount,
        f"<RmtInf><Ustrd>{ref}</Ustrd><Ustrd>again</Ustrd></RmtInf>",
        refs=f"<EndToEndId>{ref}</EndToEndId>",
        way=way,
    ),
    st.none() | cents,
    name,
    st.none() | way,
)
lonely = st.builds(
    camt.entry, amount, way=way, status=status, reference=st.none() | name
)
batch = st.builds(
    lambda parts, way: camt.entry(
        f"{sum(parts) // 100}.{sum(parts) % 100:02d}",
        "<NtryDtls>"
        + "".join(camt.details(f"{n // 100}.{n % 100:02d}") for n in parts)
        + "</NtryDtls>",
        way=way,
    ),
    st.lists(st.integers(1, 10**6), min_size=2, max_size=4),
    way,
)
odd_batch = st.builds(
    lambda amount, inner: camt.entry(amount, f"<NtryDtls>{''.join(inner)}</NtryDtls>"),
    amount,
    st.lists(a_detail, max_size=3),
)
a_balance = st.builds(
    camt.balance,
    st.sampled_from(["OPBD", "PRCD", "ITBD", "CLBD", "CLAV"]),
    amount,
    way,
)
summary = st.builds(
    lambda n, total: (
        f"<TxsSummry><TtlNtries><NbOfNtries>{n}</NbOfNtries><Sum>{total}</Sum>"
        "</TtlNtries></TxsSummry>"
    ),
    st.integers(0, 4),
    amount,
)
odd_item = st.sampled_from(
    [
        "<!-- between -->",
        "<?pi?>",
        "<AddtlStmtInf/>",
        "\n\n",
        "<Own xmlns='urn:o' xmlns:q='urn:q'><q:A>1</q:A></Own>",
    ]
)
item = st.one_of(lonely, lonely, batch, odd_batch, a_balance, summary, odd_item)
a_statement = st.builds(
    lambda items, id_: camt.statement(*items, id=id_),
    st.lists(item, max_size=6),
    st.sampled_from(["S1", "S2", "é"]),
)


def _document(statements: list[str], prefix: str, envelope: bool) -> str:
    text = camt.document(*statements)
    if prefix:
        text = re.sub(r"<(/?)(\w+)(?=[\s/>])", rf"<\1{prefix}:\2", text)
        text = text.replace("xmlns=", f"xmlns:{prefix}=")
    return f'<E xmlns="urn:e"><H/>{text}</E>' if envelope else text


a_document = st.builds(
    _document,
    st.lists(a_statement, min_size=1, max_size=3),
    st.sampled_from(["", "ns2"]),
    st.booleans(),
)
ENCODINGS = {
    "UTF-8": ("", "utf-8"),
    "declared": ('<?xml version="1.0" encoding="UTF-8"?>\n', "utf-8"),
    "latin-1": ('<?xml version="1.0" encoding="ISO-8859-1"?>\r\n', "latin-1"),
    "cp1252": ('<?xml version="1.0" encoding="windows-1252"?>', "cp1252"),
    "UTF-16": ('<?xml version="1.0" encoding="UTF-16"?>\n', "utf-16"),
    "UTF-16BE": ('<?xml version="1.0" encoding="UTF-16"?>\n', "utf-16-be"),
}


def _bytes(text: str, encoding: str, in_lines: bool) -> bytes:
    first, codec = ENCODINGS[encoding]
    text = camt.lines(text) if in_lines else text
    return (first + text).encode(codec, "xmlcharrefreplace")


two_versions = st.builds(
    lambda one, two: (
        "<E>"
        + camt.document(one, version="02")
        + _document([two], "p", False).replace("001.08", "001.13")
        + "</E>"
    ),
    a_statement,
    a_statement,
)
a_file = st.builds(
    _bytes, a_document | two_versions, st.sampled_from(list(ENCODINGS)), st.booleans()
)
plain_file = st.builds(_bytes, a_document, st.just("declared"), st.booleans())
several = st.lists(plain_file, min_size=2, max_size=3).map(b"\n".join)
damaged = st.builds(
    lambda data, at, junk: data[: at % len(data)] + junk + data[at % len(data) + 1 :],
    plain_file,
    st.integers(0, 10**6),
    st.binary(max_size=3) | st.sampled_from([b"<", b"&", b"</Ntry>", b"\xff"]),
)
cut = st.builds(
    lambda data, at: data[: at % len(data)], plain_file, st.integers(0, 10**6)
)
any_file = st.one_of(a_file, several, damaged, cut)


def read(data: bytes, resume: Position | None = None) -> list[Found]:
    return records(source_get("CAMT053").read, [data], resume)


def found_in(data: bytes) -> list[Found] | None:
    try:
        return read(data)
    except SourceError:
        return None


@settings(deadline=None)
@given(any_file, st.lists(st.integers(0, 10**6), max_size=6))
def test_block_sizes_do_not_matter(data, cuts):
    whole = found_in(data)
    if whole is None:
        return
    source = source_get("CAMT053").read
    assert records(source, camt.blocks(data, cuts)) == whole
    assert records(source, (data[i : i + 1] for i in range(len(data)))) == whole


def _stored(found: Found) -> Any:
    return json.loads(json.dumps(found.position.to_json()))


@settings(deadline=None)
@given(any_file)
def test_resuming_after_any_record_gives_the_rest(data):
    found = found_in(data) or []
    for index, each in enumerate(found, 1):
        position = Position.from_json(_stored(each))
        rest = read(data[position.offset :], position)
        assert [each.record for each in rest] == [f.record for f in found[index:]]
        assert [_stored(each) for each in rest] == [_stored(f) for f in found[index:]]


@given(any_file)
def test_lines_rise_and_texts_can_be_stored(data):
    last = 0
    for each in found_in(data) or []:
        record = each.record
        assert record.line >= last
        if isinstance(record, Row | Reject):
            assert record.line > last
        last = record.line
        if isinstance(record, Row):
            texts = (*record[1:7], *(value for flag in record.flags for value in flag))
            assert all(text is None or str(text).isprintable() for text in texts)
            assert record.amount >= 0
            assert record.amount.as_tuple().exponent == -2
            assert len(record.row_hash) == 32


@given(a_file)
def test_a_statement_counts_the_rows_it_has(data):
    rows = 0
    for each in read(data):
        if isinstance(each.record, Row | Reject):
            rows += 1
        elif isinstance(each.record, Statement):
            rows -= each.record.rows
    assert rows == 0


@given(st.binary(max_size=200))
def test_any_bytes_give_records_or_a_source_error(data):
    found_in(data)
    found_in(b"<?xml version='1.0'?>" + data)
    found_in(camt.one(camt.entry()).encode()[:-60] + data)


@given(a_file.filter(lambda data: b"\0" not in data), st.integers(0, 10**6))
def test_what_stands_before_damage_is_kept(data, place):
    """Cut a file anywhere: its records up to there are those of the whole file."""
    whole = read(data)
    at = place % len(data)
    kept = found_in(data[:at])
    if kept is None:
        return
    last = kept.pop()
    assert isinstance(last.record, Fault)
    assert last.record.control is Control.UNFINISHED
    assert [each.record for each in kept] == [
        each.record for each in whole[: len(kept)]
    ]


@given(batch)
def test_a_batch_that_adds_up_is_divided(text):
    found = [each.row for each in read(camt.one(text).encode()) if each.row]
    whole = [each.row for each in read(camt.one(text.replace("TxDtls", "X")).encode())]
    assert len(found) > 1
    assert sum(row.amount for row in found) == whole[0].amount
    assert {row.direction for row in found} == {whole[0].direction}
