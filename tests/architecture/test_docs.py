"""What the documents claim about the code."""

import re
from pathlib import Path

from ingestion.sources.base import Control
from jobs.lifecycle import TRANSITIONS, Outcome, State
from reconciliation import lifecycle

ROOT = Path(__file__).parents[2]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_drawing_of_the_lifecycle_is_the_table():
    moves = r"^ +(\w+) --> (\w+) : (\w+)$"
    drawn = re.findall(moves, read("docs/job_lifecycle.md"), re.M)
    table = {(before, after, event) for (before, event), after in TRANSITIONS.items()}
    assert set(drawn) == table
    assert len(drawn) == len(table)


def test_every_state_and_outcome_is_explained():
    rows = set(re.findall(r"^\| (\w+) \|", read("docs/job_lifecycle.md"), re.M))
    assert {*State, *Outcome} <= rows


def test_the_drawing_of_the_life_of_a_mismatch_is_the_table():
    moves = r"^ +(\w+) --> (\w+) : (\w+)$"
    text = read("docs/mismatches.md")
    drawn = re.findall(moves, text, re.M)
    table = {
        (before, by, after) for (before, by), after in lifecycle.TRANSITIONS.items()
    }
    assert {(before, by, after) for before, after, by in drawn} == table
    assert len(drawn) == len(table)
    explained = re.findall(r"^\| (\w+) \|", text, re.M)
    assert {*lifecycle.State} <= set(explained)


def test_every_setting_is_in_the_table_and_every_row_is_a_setting():
    used = set(
        re.findall(
            r'env\.\w+\(\s*"([A-Z_]+)"|USER_ENV\.get\("([A-Z_]+)"',
            read("taskqueue_site/settings.py"),
        )
    )
    settings = {first or second for first, second in used}
    rows = set(re.findall(r"^\| `([A-Z_]+)` \|", read("docs/configuration.md"), re.M))
    assert rows == settings


def test_every_control_of_a_file_is_explained_in_its_own_words():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", read("docs/formats.md"), re.M))
    assert {
        control.value: control.sentence for control in Control
    }.items() <= rows.items()


def test_the_readme_links_to_files_that_exist():
    for name in ("README.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/api.md"):
        folder = (ROOT / name).parent
        links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", read(name))
        missing = [link for link in links if not (folder / link).exists()]
        assert missing == [], name


def test_every_package_and_command_is_placed_in_the_architecture():
    text = read("docs/architecture.md")
    packages = {path.parent.name for path in ROOT.glob("*/apps.py")} | {"fairshare"}
    commands = {
        path.stem
        for path in ROOT.glob("*/management/commands/*.py")
        if path.stem != "__init__"
    }
    assert [name for name in sorted(packages) if f"`{name}/`" not in text] == []
    assert [name for name in sorted(commands) if f"`{name}`" not in text] == []
