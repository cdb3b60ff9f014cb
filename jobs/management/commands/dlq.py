"""`manage.py dlq`: the dead letters, from a terminal.

Many are decided about a second's worth at a time, each in a transaction of its own;
between two of them Ctrl-C stops cleanly.
"""

import json
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from django.core.management.base import CommandError

from jobs import dead_letters
from jobs.bulk import MOST_PER_SECOND, PER_SECOND
from jobs.deciding import jobs_discard, jobs_restore, jobs_revive
from jobs.management.edit_payload import add_payload_argument, edit_and_retry
from jobs.management.letter_options import add_filters, check_meant, filtered
from jobs.models import Attempt, DeadLetter, JobEvent
from tenants.acting import acting
from tenants.management.product_command import ProductCommand, command_errors
from tenants.models import line_of
from tenants.scoping import all_tenants
from tenants.selectors import UnknownTenantError
from tenants.wording import printable, table

_APPLY: Final = {
    "retry": (jobs_revive, "queued again"),
    "discard": (jobs_discard, "discarded"),
    "restore": (jobs_restore, "restored"),
}
#: Rows of a list, unless a person says otherwise, and at most.
ROWS: Final = 50
MOST_ROWS: Final = 10_000


class Command(ProductCommand):
    help = "List dead letters, show one, retry, discard or restore some."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands."""
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("ls", help="list them, newest first")
        add_filters(listing)
        listing.add_argument("--groups", action="store_true", help="by cause instead")
        listing.add_argument(
            "--limit", type=int, default=ROWS, help=f"most rows ({ROWS})"
        )
        self.add_common_arguments(listing)
        show = actions.add_parser("show", help="one, with its attempts and its log")
        show.add_argument("job", type=UUID)
        self.add_common_arguments(show)
        for name, (_, done) in _APPLY.items():
            decide = actions.add_parser(name, help=f"have some {done}")
            decide.add_argument("jobs", nargs="*", type=UUID, metavar="JOB")
            add_filters(decide)
            decide.add_argument(
                "--all", action="store_true", help="every one, without a filter"
            )
            if name == "retry":
                add_payload_argument(decide)
            decide.add_argument("--reason", default="", help="one line for the log")
            decide.add_argument("--dry-run", action="store_true", help="only count")
            decide.add_argument("--yes", action="store_true", help="do not ask for it")
            decide.add_argument(
                "--per-second",
                type=int,
                default=PER_SECOND,
                metavar="N",
                help=f"jobs a second, at most {MOST_PER_SECOND:,} ({PER_SECOND})",
            )
            self.add_common_arguments(decide)

    def handle(self, *_: Any, action: str, as_json: bool, **options: Any) -> None:
        """List, show or decide."""
        if "reason" in options:
            options["reason"] = _reason(options["reason"])
        with command_errors(UnknownTenantError):
            if options.get("payload") is not None:
                text, value = edit_and_retry(**options)
            elif action in _APPLY:
                text, value = self._decide(action, **options)
            else:
                with all_tenants(reason=f"manage.py dlq {action}"):
                    tell = self._list if action == "ls" else self._show
                    text, value = tell(**options)
        self.write(text, value, as_json=as_json)

    def _list(self, *, groups: bool, limit: int, **options: Any) -> tuple[str, Any]:
        if not 1 <= limit <= MOST_ROWS:
            raise CommandError(f"--limit is from 1 to {MOST_ROWS:,}.")
        rows = filtered(dead_letters.undecided(), options)
        if groups:
            found = [_group(group) for group in dead_letters.groups(rows, most=limit)]
        else:
            found = [_letter(job) for job in rows.order_by("-id")[:limit]]
        return table(found) if found else "No dead letters.", found

    def _show(self, *, job: UUID, **_: Any) -> tuple[str, Any]:
        letter = dead_letters.dead().filter(pk=job).first()
        if letter is None:
            raise CommandError(f"There is no dead letter {job}.")
        attempts = Attempt.objects.filter(job_id=job).order_by("number")
        events = JobEvent.objects.filter(job_id=job).order_by("id")
        report = {
            **_letter(letter),
            "payload": letter.payload,
            "original_payload": letter.original_payload,
            "attempts": [
                {"number": a.number, "outcome": a.outcome, "traceback": a.traceback}
                for a in attempts
            ],
            "log": [
                [e.at.isoformat(), e.event, e.to_state, e.actor, e.reason]
                for e in events
            ],
        }
        return "\n".join(_shown(report)), report

    def _decide(
        self,
        action: str,
        *,
        jobs: list[UUID],
        reason: str,
        dry_run: bool,
        yes: bool,
        per_second: int,
        **options: Any,
    ) -> tuple[str, Any]:
        done = _APPLY[action][1]
        if action == "discard" and not reason and not dry_run:
            raise CommandError("Say why, with --reason: it is kept in the jobs' log.")
        if not 1 <= per_second <= MOST_PER_SECOND:
            raise CommandError(f"--per-second is from 1 to {MOST_PER_SECOND:,}.")
        check_meant(jobs, options)
        ids = _meant(action, jobs, options)
        if dry_run:
            return f"{len(ids):,} would be {done}.", {"would": len(ids)}
        if len(ids) > 1 and not yes:
            raise CommandError(
                f"That is {len(ids):,} jobs. Say --yes to have them {done}."
            )
        with acting(why=reason):
            total = self._carry_out(action, ids, per_second)
        return f"{total:,} {done}.", {"done": total}

    def _carry_out(self, action: str, ids: list[UUID], per_second: int) -> int:
        apply, done = _APPLY[action]
        total = 0
        for start in range(0, len(ids), per_second):
            if start:
                time.sleep(1)
            with all_tenants(reason=f"manage.py dlq {action}"):
                total += apply(job_ids=ids[start : start + per_second])
            if len(ids) > per_second:
                self.stderr.write(f"{total:,} of {len(ids):,} {done}")
        return total


def _reason(text: str) -> str:
    with command_errors():
        return line_of("reason", text)


def _meant(action: str, jobs: list[UUID], options: dict[str, Any]) -> list[UUID]:
    """Return the dead letters that were named, or all that the filters let through.

    Raises CommandError if one of those named is no dead letter.
    """
    with all_tenants(reason=f"manage.py dlq {action}"):
        rows = dead_letters.dead() if jobs else dead_letters.undecided()
        if action == "restore":
            rows = dead_letters.dead().exclude(discarded_at=None)
        rows = rows.filter(pk__in=jobs) if jobs else filtered(rows, options)
        ids = list(rows.order_by("id").values_list("pk", flat=True))
    if jobs and len(ids) < len(set(jobs)):
        missing = ", ".join(str(job) for job in jobs if job not in ids)
        raise CommandError(f"No dead letters: {missing}. Nothing was done.")
    return ids


def _letter(job: DeadLetter) -> dict[str, Any]:
    error = job.error or {}
    return {
        "id": str(job.pk),
        "tenant_id": job.tenant_id,
        "kind": job.kind,
        "died_at": job.finished_at.isoformat() if job.finished_at else None,
        "code": error.get("code"),
        "message": error.get("message"),
        "fingerprint": job.fingerprint,
    }


def _group(group: dead_letters.Group) -> dict[str, Any]:
    return {
        "fingerprint": group.fingerprint,
        "code": group.code,
        "jobs": group.jobs,
        "tenants": group.tenants,
        "first_at": group.first_at.isoformat(),
        "last_at": group.last_at.isoformat(),
        "message": group.message,
    }


def _shown(report: dict[str, Any]) -> Iterator[str]:
    for name, value in report.items():
        if name not in {"attempts", "log"} and value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            yield f"{name:<17}{printable(text)}"
    for attempt in report["attempts"]:
        yield f"attempt {attempt['number']}  {attempt['outcome']}"
        if attempt["traceback"]:
            yield from map(printable, attempt["traceback"].rstrip().split("\n"))
    for entry in report["log"]:
        yield "  ".join(printable(word) for word in entry if word)
