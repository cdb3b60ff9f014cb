"""The cases of tests/corpus: what each file is, and what has to be said of it."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Final

from ingestion.masking import mask_value
from ingestion.sources.base import Fault, Reject, Row, Source, SourceError
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.source import source_of
from ingestion.sources.registry import SOURCES
from tests.corpus_files import ROOT, Blocks, made, unpacked

CORPUS: Final = ROOT / "tests" / "corpus"
_VERDICT: Final = ("rows", "rejects", "warnings", "faults")
_OTHERS: Final = (
    *("why", "source", "make", "whole_way", "result"),
    *("error", "says", "values", "count"),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of a file: of its rows, or of all of it.

    Lines of rejects, warnings and faults are lists as in the verdict's file.
    """

    rows: list[str] = field(default_factory=list)
    rejects: list[list[Any]] = field(default_factory=list)
    warnings: list[list[Any]] = field(default_factory=list)
    faults: list[list[Any]] = field(default_factory=list)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One bad file, by the file of its verdict."""

    path: Path
    told: dict[str, Any]

    @property
    def name(self) -> str:
        """Return the folder and the name."""
        return str(self.path.relative_to(CORPUS).with_suffix(""))

    @property
    def source(self) -> str:
        """Return what reads it: what the verdict says, else the folder's name."""
        return str(self.told.get("source", self.path.parent.name.upper()))

    @property
    def wanted(self) -> Verdict:
        """Return the verdict; raises ValueError if its file says anything unknown."""
        if unknown := self.told.keys() - {*_VERDICT, *_OTHERS}:
            raise ValueError(f"{self.path} says {sorted(unknown)}")
        kept = {name: self.told[name] for name in _VERDICT if name in self.told}
        if ("error" in self.told) == bool(kept or "count" in self.told):
            raise ValueError(f"{self.path} needs either an error or rows and the like")
        return Verdict(**kept, error=self.told.get("error", ""))

    def blocks(self) -> Blocks:
        """Return the file's blocks: it is stored beside the verdict, or made."""
        if "make" in self.told:
            return made(self.told["make"], self.path.parent)
        return made([{"file": self.stored.name}], self.path.parent)

    @property
    def stored(self) -> Path:
        """Return the file beside the verdict; raises ValueError unless it is one."""
        beside = self.path.parent.glob(f"{self.path.stem}.*")
        (found,) = [path for path in beside if path != self.path]
        return found


def cases(*, whole_way: bool = False) -> list[Case]:
    """Return all cases by their names, or those that go the whole way."""
    found = [
        Case(path, tomllib.loads(path.read_text("utf-8")))
        for path in sorted(CORPUS.glob("*/*.toml"))
    ]
    return [case for case in found if not whole_way or case.told.get("whole_way")]


@cache
def source_named(name: str) -> Source:
    """Return the format, or the dialect that the product brings along."""
    if name in SOURCES:
        return SOURCES[name]
    file = ROOT / "ingestion" / "dialects" / f"{name.lower()}.json"
    return source_of(Dialect.from_json(json.loads(file.read_text("utf-8"))))


def read(case: Case) -> tuple[Verdict, list[Row], str]:
    """Return what is found in the file, its rows, and the words of its error.

    Where an error comes after rows, they are found all the same.
    """
    found, rows, error = Verdict(), list[Row](), None
    try:
        for record in source_named(case.source).read(unpacked(case.blocks())):
            if isinstance(record, Row):
                rows.append(record)
                found.rows.append(record.txn_id)
                for flag in record.flags:
                    found.warnings.append([record.line, *_shown(*flag)])
            elif isinstance(record, Reject):
                reject = (record.column, record.reason, record.value)
                found.rejects.append([record.line, *_shown(*reject)])
            elif isinstance(record, Fault):
                found.faults.append([record.line, str(record.control), *record[2:]])
    except SourceError as raised:
        error = raised
    if error is None:
        return found, rows, ""
    return Verdict(error=str(error.code)), rows, error.message


def _shown(column: str | None, reason: str, value: str) -> tuple[str, str, str]:
    """Return column, reason and value as a person is shown them."""
    return column or "", str(reason), masked(column or "", value)


def masked(column: str, value: str) -> str:
    """Return a refused value as the pages of a file show it."""
    return str(mask_value(column, value)) if value else ""


def matches(found: Sequence[str], case: Case) -> bool:
    """Return whether ids are those of the verdict, or as many as it counts.

    A `*` in an id of the verdict stands for anything.
    """
    if "count" in case.told:
        return len(found) == int(case.told["count"])
    wanted = case.wanted.rows
    return len(found) == len(wanted) and all(map(fnmatchcase, found, wanted))
