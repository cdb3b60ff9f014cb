"""What may be said in a dialect, and what is said of a wrong one."""

import json

import pytest

from ingestion.sources.dialect.checks import checked
from ingestion.sources.dialect.definition import Dialect, DialectError
from ingestion.sources.dialect.source import source_of
from tests.dialects import PAYMENTS, STATEMENT, definition

pytestmark = pytest.mark.unit


def errors(base=STATEMENT, **changes):
    with pytest.raises(DialectError) as caught:
        checked(Dialect.from_json(definition(base, **changes)))
    return caught.value.errors


@pytest.mark.parametrize("base", [STATEMENT, PAYMENTS])
def test_a_dialect_goes_to_json_and_back(base):
    dialect = checked(Dialect.from_json(base))
    stored = json.loads(json.dumps(dialect.to_json()))
    assert Dialect.from_json(stored) == dialect
    assert base.items() <= stored.items()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], ""),
        ({"name": 1}, "name"),
        ({}, "name"),
        ({"name": "A", "quoted": "yes"}, "quoted"),
        ({"name": "A", "search_lines": True}, "search_lines"),
        ({"name": "A", "search_lines": 1.5}, "search_lines"),
        ({"name": "A", "dates": "DD/MM/YYYY"}, "dates"),
        ({"name": "A", "dates": [1]}, "dates"),
        ({"name": "A", "columns": ["date"]}, "columns"),
        ({"name": "A", "columns": {"date": "Date"}}, "columns"),
        ({"name": "A", "colour": "red"}, "colour"),
    ],
)
def test_wrong_types_and_unknown_fields_are_named(data, field):
    with pytest.raises(DialectError) as caught:
        Dialect.from_json(data)
    assert list(caught.value.errors) == [field]
    assert field in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"name": "my bank"}, "name", "capital letters"),
        ({"delimiters": []}, "delimiters", "at least one"),
        ({"delimiters": ["x"]}, "delimiters", "'x'"),
        ({"delimiters": ["~|~|"]}, "delimiters", "1 to 3"),
        ({"encodings": ["ebcdic"]}, "encodings", "one of utf-8"),
        ({"encodings": []}, "encodings", "at least one"),
        ({"encodings": ["cp1252", "iso-8859-1"]}, "encodings", "any text is both"),
        ({"search_lines": 0}, "search_lines", "1 to 500"),
        ({"search_lines": 501}, "search_lines", "1 to 500"),
        ({"columns": {"colour": ["Colour"]}}, "columns", "'colour'"),
        ({"columns": {"date": None}}, "columns.date", "the date"),
        ({"columns": {"date": []}}, "columns.date", "leave the field out"),
        ({"columns": {"date": [" "]}}, "columns.date", "blank"),
        ({"columns": {"credit": None}}, "columns.credit", "both debits and credits"),
        ({"columns": {"debit": None}}, "columns.debit", "both debits and credits"),
        (
            {"columns": {"credit": None, "debit": None}},
            "columns.amount",
            "column of the amount",
        ),
        ({"columns": {"direction": ["Dr/Cr"]}}, "columns.amount", "direction"),
        ({"columns": {"currency": ["Cur"]}}, "columns.currency", "one currency"),
        ({"required": ["vpa"]}, "required", "vpa has no column"),
        ({"filled": ["balance"]}, "filled", "not one of"),
        ({"filled": ["vpa"]}, "filled", "vpa has no column"),
        ({"txn_prefix": "A:B"}, "txn_prefix", "letters"),
        ({"txn_prefix": "X"}, "txn_prefix", "name their column"),
        ({"account": "a/b"}, "account", "letters and digits"),
        ({"reference_rule": "iban"}, "reference_rule", "one of any"),
        ({"extractors": ["everything"]}, "extractors", "is not one of"),
        ({"direction": "both"}, "direction", "one of sign"),
        ({"credit_words": ["DR"]}, "credit_words", "dr means a debit"),
        ({"decimal": ";"}, "decimal", "';'"),
        ({"currency": "RUPEE"}, "currency", "a known code"),
        ({"status": "MAYBE"}, "status", "one of SUCCESS"),
        ({"status_words": {"MAYBE": ["x"]}}, "status_words", "'MAYBE'"),
        ({"dates": []}, "dates", "at least one"),
        ({"dates": ["DD/MM"]}, "dates", "needs DD"),
        ({"dates": ["DD/MM/YYYY", "MM/DD/YYYY"]}, "dates", "could be two dates"),
        ({"zone": "Mars/Olympus"}, "zone", "Asia/Kolkata"),
        ({"zone": "../../etc/passwd"}, "zone", "Asia/Kolkata"),
        ({"order": "random"}, "order", "one of auto"),
        ({"labels": {"weather": ["Sun"]}}, "labels", "'weather'"),
        ({"labels": {"opening": [" "]}}, "labels.opening", "blank"),
        ({"trailer": [" "]}, "trailer", "blank"),
        ({"labels": {}, "trailer_required": True}, "trailer_required", "a count"),
        ({"title": "x" * 201}, "title", "200 characters"),
        ({"title": "a\0b"}, "title", "printable"),
        ({"trailer": ["x"] * 101}, "trailer", "100 texts"),
        ({"columns": {"narration": None}}, "extractors", "narration"),
        (
            {"columns": {"balance": None, "balance_direction": ["Side"]}},
            "columns.balance",
            "its own",
        ),
    ],
)
def test_what_is_wrong_is_said_at_its_field(changes, field, words):
    found = errors(**changes)
    assert words in " ".join(found[field])


def test_several_faults_are_told_at_once():
    assert errors(name="x y", dates=[]).keys() == {"name", "dates"}


def test_without_a_header_each_field_has_one_place():
    found = errors(PAYMENTS, has_header=False)
    assert "from 1" in found["columns.id"][0]
    found = errors(PAYMENTS, has_header=False, columns={"date": ["1", "2"]})
    assert "one place" in found["columns.date"][0]


def test_a_status_column_needs_its_words():
    assert "which words" in errors(PAYMENTS, status_words={})["status_words"][0]
    twice = {"SUCCESS": ["OK"], "FAILED": ["ok"]}
    assert errors(PAYMENTS, status_words=twice).keys() == {
        "status_words.SUCCESS",
        "status_words.FAILED",
    }


def test_a_prefix_and_an_account_are_for_files_that_lack_them():
    assert "leave this empty" in errors(PAYMENTS, account="1")["account"][0]


def test_totals_are_declared_by_balances_and_labels():
    assert source_of(Dialect.from_json(STATEMENT)).has_totals
    assert not source_of(Dialect.from_json(PAYMENTS)).has_totals
    counted = definition(PAYMENTS, labels={"row_count": ["Records"]})
    assert source_of(Dialect.from_json(counted)).has_totals
    only_account = definition(PAYMENTS, labels={"account": ["Account"]})
    assert not source_of(Dialect.from_json(only_account)).has_totals


def test_a_wrong_dialect_makes_no_source():
    with pytest.raises(DialectError):
        source_of(Dialect(name="x"))
