"""The planted bugs still have their places, their tests and their page."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.mutants.__main__ import try_out, verdict
from tests.mutants.catalogue import LISTED, MUTANTS, WAITING
from tests.mutants.mutant import ROOT
from tests.mutants.page import PAGE, rows

BY_NUMBER = {mutant.number: mutant for mutant in MUTANTS}
#: Its test needs nothing but Python.
QUICK = [16]


def test_every_bug_of_the_list_is_planted_or_waits():
    numbers = [mutant.number for mutant in MUTANTS]
    numbers += [waiting.number for waiting in WAITING]
    assert len(set(numbers)) == len(numbers)
    assert set(range(1, LISTED + 1)) <= set(numbers)


@pytest.mark.parametrize("number", BY_NUMBER)
def test_a_bug_has_one_place_and_is_python(number: int):
    mutant = BY_NUMBER[number]
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    planted = ast.parse(mutant.planted(source))
    assert ast.dump(planted) != ast.dump(ast.parse(source))


@pytest.mark.parametrize("number", BY_NUMBER)
def test_the_tests_that_catch_a_bug_exist(number: int):
    for test in BY_NUMBER[number].tests:
        path, _, name = test.partition("::")
        function = re.escape(name.partition("[")[0])
        text = (ROOT / path).read_text(encoding="utf-8")
        assert re.search(rf"^def {function}\(", text, re.M), test


@pytest.mark.parametrize("number", QUICK)
def test_a_quick_bug_is_caught(number: int, tmp_path: Path):
    copy = copied(tmp_path)
    mutant = BY_NUMBER[number]
    source = (copy / mutant.file).read_bytes()
    assert try_out(copy, mutant) == "caught"
    assert (copy / mutant.file).read_bytes() == source


@pytest.mark.parametrize(
    ("code", "output", "expected"),
    [
        (0, "1 passed", "SURVIVED"),
        (1, "FAILED a.py::test_b - assert 1 == 2", "caught"),
        (1, "FAILED a.py::test_b - NameError: name 'c' is not defined", "broken"),
        (1, "ERROR a.py::test_b - fixture 'c' not found", "broken"),
        (2, "ERROR a.py - ImportError", "broken"),
        (4, "ERROR: not found: a.py::test_b", "broken"),
        (5, "no tests ran", "broken"),
    ],
)
def test_only_a_test_that_failed_has_caught_a_bug(
    code: int, output: str, expected: str
):
    ended = subprocess.CompletedProcess([], code, f"\n{output}\n", "")
    assert verdict(ended)[0] == expected


def copied(folder: Path) -> Path:
    """Return a copy of the product and of the tests without databases."""
    copy = folder / "product"
    hidden = shutil.ignore_patterns(".*", "__pycache__", "docs", "benchmarks")
    shutil.copytree(ROOT, copy, ignore=hidden)
    return copy


def test_the_page_is_the_catalogue():
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert "\n".join(rows()) in text, "python -m tests.mutants --page writes it"
    assert f"{len(MUTANTS)} of them are planted" in text
