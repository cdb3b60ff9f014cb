"""`manage.py dlq retry JOB --payload FILE`, and what `dlq show` tells of an edit."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from jobs.models import Job, JobEvent
from tenants.scoping import all_tenants
from tests.arrange import make_dead_job, make_job, make_tenant, reread, run

pytestmark = pytest.mark.django_db

WHY = ("--reason", "mended")


@pytest.fixture
def job() -> Job:
    """A dead job with the payload {"seconds": 0}."""
    make_tenant("t1")
    return make_dead_job("t1")


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """A function that writes a payload to a file, and returns its name."""

    def write(payload: Any) -> str:
        file = tmp_path / "payload.json"
        text = payload if isinstance(payload, str) else json.dumps(payload)
        file.write_text(text, encoding="utf-8")
        return str(file)

    return write


def dlq(*words: object) -> Any:
    out = io.StringIO()
    call_command("dlq", *map(str, words), "--json", stdout=out, stderr=io.StringIO())
    return json.loads(out.getvalue())


def test_a_job_is_retried_with_the_payload_of_a_file(job: Job, written: Any):
    file = written({"seconds": 0, "steps": 2})
    retry = ("retry", job.pk, "--payload", file)
    assert dlq(*retry, "--dry-run") == {"would": 1, "changed": ["steps"]}
    assert reread(job).state == "dead"
    assert dlq(*retry, *WHY) == {"done": 1, "changed": ["steps"]}
    assert (reread(job).state, reread(job).payload["steps"]) == ("queued", 2)
    with all_tenants(reason="test"):
        edited = JobEvent.objects.get(job=job, event="edited")
    assert edited.actor.endswith("by manage.py dlq")
    assert edited.reason == "steps changed: mended"


def test_it_reads_the_payload_from_standard_input(
    job: Job, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO('{"seconds": 1, "steps": 1}'))
    done = dlq("retry", job.pk, "--payload", "-", *WHY)
    assert done == {"done": 1, "changed": ["seconds", "steps"]}


def test_show_has_what_was_asked_for_first(written: Any):
    make_tenant("t1")
    job = run(make_job("t1", payload={"seconds": 0, "fail": "permanent"}))
    file = written({"seconds": 0, "steps": 3, "fail": "permanent"})
    assert dlq("show", job.pk)["original_payload"] is None
    dlq("retry", job.pk, "--payload", file, *WHY)
    run(reread(job))
    shown = dlq("show", job.pk)
    assert shown["payload"]["steps"] == 3
    assert shown["original_payload"] == {"seconds": 0, "fail": "permanent"}
    out = io.StringIO()
    call_command("dlq", "show", str(job.pk), stdout=out)
    line = 'original_payload {"fail": "permanent", "seconds": 0}'
    assert line in out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"seconds": -1, "wings": 2}, r"refused:\n  seconds: .*\n  wings: There is"),
        ("{", r"refused:\n  Expecting property name .* line 1 column 2"),
        ('{"seconds": 1, "seconds": 2}', "stands twice"),
        ("[]", "must be a JSON object"),
    ],
)
def test_a_bad_payload_is_told_by_its_fields(
    job: Job, written: Any, payload: Any, said: str
):
    with pytest.raises(CommandError, match=said):
        dlq("retry", job.pk, "--payload", written(payload), *WHY)
    assert reread(job).state == "dead"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Say why, with --reason"),
        (("--tenant", "t1", *WHY), "for one JOB"),
        (("--fingerprint", "f00d", *WHY), "for one JOB"),
    ],
)
def test_it_is_for_one_job_with_a_reason(job: Job, written: Any, words: Any, said: str):
    with pytest.raises(CommandError, match=said):
        dlq("retry", job.pk, "--payload", written({"seconds": 1}), *words)
    assert reread(job).state == "dead"


def test_what_is_not_there_is_said(job: Job, written: Any, tmp_path: Path):
    good = written({"seconds": 1})
    with pytest.raises(CommandError, match="cannot be read"):
        dlq("retry", job.pk, "--payload", tmp_path / "none.json", *WHY)
    with pytest.raises(CommandError, match=r"There is no job 0{8}"):
        dlq("retry", "0" * 32, "--payload", good, *WHY)
    waiting = make_job("t1")
    with pytest.raises(CommandError, match="is queued, not dead"):
        dlq("retry", waiting.pk, "--payload", good, *WHY)
