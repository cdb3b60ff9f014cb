"""The table of the planted bugs in docs/planted_bugs.md."""

from typing import Final

from tests.mutants.catalogue import MUTANTS, WAITING
from tests.mutants.mutant import ROOT, Mutant, Waiting

PAGE: Final = "docs/planted_bugs.md"
_HEAD: Final = "| no. | bug | planted in | caught by |"


def rows() -> list[str]:
    """Return the lines of the table."""
    bugs: list[Mutant | Waiting] = [*MUTANTS, *WAITING]
    bugs.sort(key=lambda bug: bug.number)
    return [_HEAD, "|---|---|---|---|", *map(_row, bugs)]


def _row(bug: Mutant | Waiting) -> str:
    if isinstance(bug, Waiting):
        return f"| {bug.number} | {bug.name} | – | waits for: {bug.waits_for} |"
    tests = "<br>".join(f"`{_short(test)}`" for test in bug.tests)
    return f"| {bug.number} | {bug.name} | `{bug.file}` | {tests} |"


def _short(test: str) -> str:
    """Return the file and the name of a test, without the folders."""
    path, _, name = test.partition("::")
    return f"{path.rpartition('/')[2]}::{name}"


def write() -> None:
    """Put the table in its place on the page, from its head to the end."""
    page = ROOT / PAGE
    above, _, _ = page.read_text(encoding="utf-8").partition(_HEAD)
    page.write_text(above + "\n".join(rows()) + "\n", encoding="utf-8")
