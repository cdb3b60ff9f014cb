"""What the one-machine stack runs, and how it lets that end."""

from pathlib import Path
from typing import Any

import pytest

from taskqueue_site.stack_plan import login_of, product_plan


@pytest.mark.parametrize("drain_seconds", [0, 10, 600])
def test_workers_have_longer_than_their_jobs_and_nothing_new(
    tmp_path: Path, settings: Any, drain_seconds: int
) -> None:
    settings.DRAIN_SECONDS = drain_seconds
    plan = product_plan(
        host="127.0.0.1", port=8000, concurrency=2, directory=tmp_path, given={}
    )
    ranks: dict[int, set[str]] = {}
    for program in plan.programs:
        ranks.setdefault(program.stop_rank, set()).add(program.name)
        if program.name in ("worker", "maintenance"):
            assert program.patience > drain_seconds
    assert ranks == {0: {"dispatcher"}, 1: {"web", "worker", "maintenance", "beat"}}


@pytest.mark.parametrize(
    ("given", "shown"), [({}, None), ({"ADMIN_PASSWORD": "x"}, "as in ADMIN_PASSWORD")]
)
def test_the_login_is_found_among_the_lines_of_the_stack(
    tmp_path: Path, given: dict[str, str], shown: str | None
) -> None:
    plan = product_plan(
        host="127.0.0.1", port=8000, concurrency=2, directory=tmp_path, given=given
    )
    lines = ["postgresql   started", "administrator", *plan.closing_lines(), "ready"]
    password = shown or (tmp_path / "admin_password").read_text().strip()
    told = f"{plan.url}/admin/  user admin  password {password}"
    assert login_of(lines) == told
