"""`manage.py dlq retry JOB --payload FILE`: one dead job, with another payload."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from jobs.editing import (
    Edit,
    NotDeadError,
    PayloadFixedError,
    edit_of,
    job_edit_and_revive,
)
from jobs.handlers import JSONDict
from jobs.management.letter_options import filters_of
from jobs.payloads import PayloadError, payload_of
from jobs.selectors import UnknownJobError, job_get
from tenants.acting import acting
from tenants.scoping import all_tenants


def add_payload_argument(parser: ArgumentParser) -> None:
    """Declare `--payload`."""
    parser.add_argument(
        "--payload",
        metavar="FILE",
        help="give the one JOB this JSON for its payload (-: read standard input); "
        "it then starts from the beginning",
    )


def edit_and_retry(
    *, jobs: list[UUID], payload: str, reason: str, dry_run: bool, **options: Any
) -> tuple[str, Any]:
    """Give one dead job the payload in a file, and queue it again; returns the report.

    Raises CommandError.
    """
    if len(jobs) != 1 or filters_of(options) or options.get("all"):
        raise CommandError("--payload is for one JOB, named by its id.")
    if not reason and not dry_run:
        raise CommandError("Say why, with --reason: it is kept in the job's log.")
    text = _read(payload)
    try:
        with acting(why=reason), all_tenants(reason="manage.py dlq retry --payload"):
            edit = _edit(jobs[0], payload_of(text), dry_run)
    except PayloadError as error:
        lines = "\n".join(f"  {line}" for line in error.lines())
        raise CommandError(f"The payload is refused:\n{lines}") from error
    except (PayloadFixedError, NotDeadError, UnknownJobError) as error:
        raise CommandError(str(error)) from error
    return _told(edit, dry_run)


def _edit(job_id: UUID, payload: JSONDict, dry_run: bool) -> Edit:
    if dry_run:
        return edit_of(job=job_get(job_id=job_id), payload=payload)
    return job_edit_and_revive(job_id=job_id, payload=payload)


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"The payload cannot be read: {error}") from error


def _told(edit: Edit, dry_run: bool) -> tuple[str, Any]:
    verb = "It would be" if dry_run else "It is"
    if edit.changed:
        names = ", ".join(edit.changed)
        text = f"{verb} queued from the beginning. Changed: {names}."
    else:
        text = f"{verb} queued from its last checkpoint: nothing differs."
    key = "would" if dry_run else "done"
    return text, {key: 1, "changed": [*edit.changed]}
