"""Plant each bug in a copy of the product, and see its tests fail: `make mutants`.

One line for each bug: `caught`, `SURVIVED`, or `broken` where no test gave a verdict.
The exit code is 0 only if all are caught. The services' variables are taken from the
environment.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutants import page
from tests.mutants.catalogue import MUTANTS, WAITING
from tests.mutants.mutant import ROOT, Mutant

#: No test of the catalogue needs as long; a bug that makes one hang is caught then.
TIMEOUT_SECONDS: Final = 120
_LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv*", ".stack", "__pycache__", ".*_cache", ".hypothesis"
)
#: A bug that is no Python says nothing about the test that meets it.
_TYPO: Final = re.compile(r"\b(NameError|UnboundLocalError|ImportError)\b")
_FAILED: Final = re.compile(r"^FAILED (?P<test>.*?)(?: - (?P<why>.*))?$", re.M)


def main() -> int:
    """Return 0 if every bug asked for was caught."""
    wanted = _arguments()
    if wanted.page:
        page.write()
        return 0
    mutants = _chosen(wanted.only)
    with tempfile.TemporaryDirectory(prefix="dtq-mutants-") as scratch:
        copy = Path(scratch) / "product"
        shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
        if not _passes_without(copy, mutants):
            return 1
        caught = sum([try_out(copy, mutant) == "caught" for mutant in mutants])
    print(f"caught {caught} of {len(mutants)}; {len(WAITING)} wait for a feature")
    return 0 if caught == len(mutants) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", default=[])
    parser.add_argument("--page", action="store_true", help=f"write {page.PAGE}")
    return parser.parse_args()


def _chosen(numbers: Sequence[int]) -> list[Mutant]:
    """Return the bugs, those that need a schema of their own last."""
    if unknown := set(numbers) - {mutant.number for mutant in MUTANTS}:
        sys.exit(f"No bug is scripted for {sorted(unknown)}.")
    chosen = [m for m in MUTANTS if not numbers or m.number in numbers]
    return sorted(chosen, key=lambda mutant: mutant.is_in_schema)


def _passes_without(copy: Path, mutants: Sequence[Mutant]) -> bool:
    """Run all the tests without any bug: a test that fails anyway catches nothing."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    ended = _pytest(copy, tests, is_new_schema=True)
    if ended.returncode == 0:
        print(f"{len(tests)} tests pass without a bug", flush=True)
        return True
    print(ended.stdout + ended.stderr, file=sys.stderr)
    return False


def try_out(copy: Path, mutant: Mutant) -> str:
    """Plant one bug in the copy, run its tests, take it out; print and return how."""
    file = copy / mutant.file
    source = file.read_text(encoding="utf-8")
    began = time.monotonic()
    try:
        file.write_text(mutant.planted(source), encoding="utf-8")
        ended = _pytest(copy, mutant.tests, is_new_schema=mutant.is_in_schema)
    finally:
        file.write_text(source, encoding="utf-8")
    what, why = verdict(ended)
    took = time.monotonic() - began
    print(f"{mutant.number:>3} {what:<8} {mutant.name} ({took:.0f} s)", flush=True)
    if why:
        print(f"    {why}", flush=True)
    return what


def verdict(ended: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """Return the verdict, and the failure that caught the bug or the last words."""
    failed = _FAILED.search(ended.stdout)
    if ended.returncode == 0:
        return "SURVIVED", ""
    if ended.returncode == 1 and failed and not _TYPO.search(failed["why"] or ""):
        return "caught", f"{failed['test'].partition('::')[2]}: {failed['why'] or ''}"
    return "broken", (ended.stdout + ended.stderr).strip()[-2000:]


def _pytest(
    copy: Path, tests: Sequence[str], *, is_new_schema: bool
) -> subprocess.CompletedProcess[str]:
    """Run the tests on the copy, on the database of the run before where that will do.

    A schema with a bug lives only as long as its own run: those come last.
    """
    options = ["-x", "-q", "-p", "no:cacheprovider", "-rf", "--tb=line"]
    reuse = ["--reuse-db", "--create-db"] if is_new_schema else ["--reuse-db"]
    limit = ["--timeout", str(TIMEOUT_SECONDS)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *reuse, *limit, *tests],
        cwd=copy,
        # The width to which pytest shortens what it says of a failure. A bug as long as
        # the one before it, in the same second, would be met as that one, compiled.
        env={**os.environ, "COLUMNS": "240", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
