"""The shape of the tree: sizes, purity of the algorithms, and what nobody may write."""

import ast
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 80
#: Generated, or longer by its nature than a person should write.
NOT_WRITTEN_BY_HAND = ("requirements.txt", "requirements-dev.txt", "LICENSE")
TEXT_SUFFIXES = {".css", ".html", ".js", ".md", ".py", ".sh", ".sql", ".toml", ".yml"}

PURE_MODULES = (
    *("fairshare.scheduler", "jobs.lifecycle"),
    *("ingestion.sources.upi", "ingestion.sources.dialect.source"),
)

#: What a reader elsewhere can make no use of, or must not depend on.
FORBIDDEN = {
    "a folder of one machine": r"(?<![\w.:/])/(?:work|root|home)/\w",
    "a host of a package registry": r"\b(?:py" r"pi|npm" r"js|deb" r"ian)\.(?:org|com)",
    "an index address": r"--(?:extra-)?index-" r"url\s+\S|^\s*--find-" r"links",
}


@cache
def project_files() -> list[Path]:
    """Every file that is, or would be, part of a commit."""
    # The folder may belong to somebody else, which git refuses unless told.
    git = ["git", "-c", "safe.directory=*"]
    listed = subprocess.run(
        [*git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def python_files() -> list[Path]:
    return [file for file in project_files() if file.suffix == ".py"]


def lines_of(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def functions_of(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    with tokenize.open(file) as source:
        tree = ast.parse(source.read())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def test_no_file_is_too_long() -> None:
    too_long = [
        name_of(file)
        for file in project_files()
        if file.name not in NOT_WRITTEN_BY_HAND
        and file.suffix in TEXT_SUFFIXES
        and len(lines_of(file)) > MAX_FILE_LINES
    ]
    assert too_long == []


def test_no_function_is_too_long() -> None:
    too_long = [
        f"{name_of(file)}:{node.lineno} {node.name}"
        for file in python_files()
        for node in functions_of(file)
        if (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert too_long == []


def test_package_files_are_empty() -> None:
    inits = [file for file in python_files() if file.name == "__init__.py"]
    assert inits
    assert [name_of(file) for file in inits if file.read_text().strip()] == []


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_names(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    found = [
        f"{name_of(file)}: {match.group()}"
        for file in project_files()
        if file.suffix not in {".png", ".gz", ".ico"}
        for match in pattern.finditer(file.read_text(errors="replace"))
    ]
    assert found == []


@pytest.mark.parametrize("module", PURE_MODULES)
def test_it_imports_without_any_framework(module: str) -> None:
    """A blocker stands where the frameworks would be found."""
    program = f"""
import sys

class Blocker:
    blocked = {{"django", "rest_framework", "celery", "kombu", "redis", "boto3"}}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.blocked:
            raise ImportError(f"{{name}} is out of bounds here")
        return None

sys.meta_path.insert(0, Blocker())
import {module}
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_names_every_make_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    readme = (ROOT / "README.md").read_text()
    assert targets
    assert [name for name in targets if f"make {name}" not in readme] == []
