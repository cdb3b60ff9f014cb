"""The dialects that the product brings along, on the files of samples/."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ingestion.sources.base import Fault, Reject, Row, Source, Statement
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.source import source_of
from ingestion.sources.registry import SOURCES
from tests.dialects import read, told

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "ingestion" / "dialects").glob("*.json"))
BANKS = ("HDFC", "ICICI", "SBI", "AXIS", "KOTAK")
NETWORKS = ("IMPS", "NEFT", "RTGS", "LEDGER", "UPI_PSP")


def built_in(name: str) -> Source:
    file = ROOT / "ingestion" / "dialects" / f"{name.lower()}.json"
    return source_of(Dialect.from_json(json.loads(file.read_text("utf-8"))))


def sample(name: str, kind: str) -> Path:
    (found,) = (ROOT / "samples").glob(f"{name.lower()}_{kind}.*")
    return found


def records(name: str, data: str | bytes) -> list[Any]:
    return list(told(read(built_in(name), data)))


def test_there_is_a_file_for_each():
    names = {file.stem.upper() for file in FILES}
    assert names == {*BANKS, *NETWORKS}
    assert names.isdisjoint(SOURCES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_a_sound_dialect_under_its_own_name(file: Path):
    dialect = Dialect.from_json(json.loads(file.read_text("utf-8")))
    assert dialect.name == file.stem.upper()
    assert dialect.title
    assert source_of(dialect).has_totals


@pytest.mark.parametrize("name", [*BANKS, *NETWORKS])
def test_the_good_sample_is_read_whole(name: str):
    found = records(name, sample(name, "small").read_bytes())
    assert {type(record) for record in found} <= {Row, Statement}
    rows = [record for record in found if isinstance(record, Row)]
    assert len(rows) >= 2
    assert [row.flags for row in rows] == [()] * len(rows)
    assert len({row.txn_id for row in rows}) == len(rows)
    assert isinstance(found[-1], Statement) == (name in BANKS)


@pytest.mark.parametrize("name", BANKS)
def test_the_good_statement_proves_its_balances(name: str):
    statement = records(name, sample(name, "small").read_bytes())[-1]
    moved = statement.credits - statement.debits
    assert statement.opening + moved == statement.closing
    assert statement.account_id.isalnum()


def listed(heading: str) -> list[tuple[str, ...]]:
    page = (ROOT / "samples" / "README.md").read_text()
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    table = re.findall(r"^\| `(\S+)` \| (\d+) \|(.+)\|$", section, re.MULTILINE)
    return [
        (file, line, *(cell.strip(" `") for cell in rest.split(" | ")))
        for file, line, rest in table
    ]


def in_bad_samples(kind: type[Any]) -> list[tuple[str, int, Any]]:
    names = sorted([*BANKS, *NETWORKS])
    return [
        (sample(name, "bad").name, record.line, record)
        for name in names
        for record in records(name, sample(name, "bad").read_bytes())
        if isinstance(record, kind)
    ]


def test_the_samples_page_lists_the_rejects_of_dialects():
    found = [
        (file, str(line), r.column or "–", r.reason.value)
        for file, line, r in in_bad_samples(Reject)
    ]
    assert listed("What is refused in the samples of dialects") == found


def test_the_samples_page_lists_the_faults_of_dialects():
    found = [
        (file, str(line), r.control.value, r.expected, r.found)
        for file, line, r in in_bad_samples(Fault)
    ]
    assert listed("Which faults the samples of dialects have") == found


# --- Layouts of one bank that one dialect reads ---------------------------------------

LAYOUTS = {
    "HDFC as delimited text": (
        "HDFC",
        "  Date     ,Narration ,Value Dat,Debit Amount,Credit Amount,Chq/Ref Number ,"
        "Closing Balance\n"
        "05/01/26  ,UPI-A-600512345678-x   ,05/01/26 ,   45.00 ,   0.00 ,"
        "0000600512345678 ,  955.00\n",
        ("D", "45.00", "600512345678"),
    ),
    "ICICI with modes": (
        "ICICI",
        "DATE,MODE,PARTICULARS,DEPOSITS,WITHDRAWALS,BALANCE\n"
        "01-01-2026,B/F,Balance Forward,0,0,1000.00\n"
        "05-01-2026,UPI,UPI/600512345678/tea,0,45.00,955.00\n",
        ("D", "45.00", "600512345678"),
    ),
    "ICICI of a current account": (
        "ICICI",
        "Transaction ID,Value Date,Description,Transaction Amount(INR),Cr/Dr,"
        "Transaction Date,Available Balance(INR)\n"
        "S1,05/01/2026,IMPS/600512345678/x,45.00,CR,05/01/2026,1045.00\n",
        ("C", "45.00", "600512345678"),
    ),
    "SBI with details": (
        "SBI",
        "Date,Details,Ref No./Cheque No,Debit,Credit,Balance\n"
        "05/01/2026,WDL TFR UPI/DR/600512345678/x,,45.00,,955.00\n",
        ("D", "45.00", "600512345678"),
    ),
    "AXIS with one amount": (
        "AXIS",
        "Tran Date,Value Date,CHQNO,Transaction Particulars,Amount(INR),DR|CR,"
        "Balance(INR)\n"
        "05-01-2026,05-01-2026,,UPI/P2M/600512345678/x,45.00,DR,955.00\n",
        ("D", "45.00", "600512345678"),
    ),
    "AXIS of an overdraft": (
        "AXIS",
        "S.No,Transaction Date (dd/mm/yyyy),Value Date (dd/mm/yyyy),Particulars,"
        "Amount(INR),Debit/Credit,Balance(INR),Cheque Number,Branch Name(SOL)\n"
        '1,,,OPENING BALANCE,,,"-,77,65,682.30",,X\n'
        '2,05/01/2026,05/01/2026,NEFT/HDFCH26005034887/X,"\t7,560.00",CR,'
        '"-,77,58,122.30",,X\n',
        ("C", "7560.00", "HDFCH26005034887"),
    ),
    "KOTAK with two amounts": (
        "KOTAK",
        "Sl. No.,Transaction Date,Value Date,Description,Chq / Ref No.,Debit,Credit,"
        "Balance,Dr / Cr\n"
        "1,05-01-2026 19:40:46,05-01-2026,UPI/X/600512345678/y,,45.00,,955.00,CR\n",
        ("D", "45.00", "600512345678"),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_layouts_of_a_bank_are_read_too(layout: str):
    name, text, expected = LAYOUTS[layout]
    row, statement = records(name, text)
    assert (row.direction, str(row.amount), row.reference_id) == expected
    moved = statement.credits - statement.debits
    assert statement.opening + moved == statement.closing
