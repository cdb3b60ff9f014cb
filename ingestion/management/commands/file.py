"""`manage.py file`: the files of the tenants, from a terminal; decisions about some."""

from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.core.management.base import CommandError
from django.utils import timezone

from ingestion import services
from ingestion.models import FileFault, IngestedFile, Statement
from ingestion.services import NotQuarantinedError
from jobs.switches import NotAcceptingError
from tenants.acting import acting
from tenants.management.product_command import ProductCommand, command_errors
from tenants.scoping import all_tenants
from tenants.wording import printable, table

#: Statements of one file that are shown.
MOST_STATEMENTS: Final = 20


class Command(ProductCommand):
    help = "List files, show one, release or refuse one that is in quarantine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands."""
        actions = parser.add_subparsers(dest="action", required=True)
        listing = actions.add_parser("ls", help="list files, newest first")
        listing.add_argument("--tenant", metavar="SLUG")
        listing.add_argument("--state", choices=IngestedFile.State.values)
        listing.add_argument("--limit", type=int, default=50, help="most rows (50)")
        self.add_common_arguments(listing)
        show = actions.add_parser("show", help="one, with what it says about itself")
        show.add_argument("file", type=int)
        self.add_common_arguments(show)
        for name, what in (
            ("release", "load a quarantined file all the same"),
            ("refuse", "leave a quarantined file out for good"),
        ):
            decide = actions.add_parser(name, help=what)
            decide.add_argument("file", type=int)
            decide.add_argument("--reason", required=True, help="one line for the log")
            self.add_common_arguments(decide)

    def handle(self, *_: Any, action: str, as_json: bool, **options: Any) -> None:
        """List, show or decide."""
        do = _ACTIONS[action]
        reason = options.get("reason") or ""
        with (
            command_errors(NotQuarantinedError, NotAcceptingError),
            acting(why=" ".join(reason.split())),
            all_tenants(reason=f"manage.py file {action}"),
        ):
            if action in ("release", "refuse") and not reason.strip():
                raise CommandError("Say why, with --reason: it is kept with the file.")
            text, value = do(**options)
        self.write(text, value, as_json=as_json)


def _list(
    *, tenant: str | None, state: str | None, limit: int, **_: Any
) -> tuple[str, Any]:
    wanted = {"tenant_id": tenant, "state": state}
    files = IngestedFile.objects.filter(**{k: v for k, v in wanted.items() if v})
    found = [_told(file) for file in files.order_by("-id")[:limit]]
    return table(found) if found else "No files.", found


def _show(*, file: int, **_: Any) -> tuple[str, Any]:
    found = IngestedFile.objects.filter(pk=file).first()
    if found is None:
        raise CommandError(f"There is no file {file}.")
    faults = FileFault.objects.filter(file=found).order_by("id")
    statements = Statement.objects.filter(file=found).order_by("ordinal")
    report = {
        **_told(found),
        "totals": found.totals,
        "faults": [
            f"line {f.line}: {f.control}, said: {f.expected}, found: {f.found}"
            for f in faults
        ],
        "statements": [
            f"{s.account_id} {s.statement_id}: {s.opening} to {s.closing} {s.currency}"
            for s in statements[:MOST_STATEMENTS]
        ],
    }
    return "\n".join(_shown(report)), report


def _release(*, file: int, **_: Any) -> tuple[str, Any]:
    job = services.file_release(file_id=file, now=timezone.now())
    return f"File {file} is loaded by job {job.pk}.", {"file": file, "job": str(job.pk)}


def _refuse(*, file: int, **_: Any) -> tuple[str, Any]:
    services.file_refuse(file_id=file)
    return f"File {file} stays out.", {"file": file}


def _told(file: IngestedFile) -> dict[str, Any]:
    return {
        "id": file.pk,
        "tenant_id": file.tenant_id,
        "state": file.state,
        "source": file.source,
        "path": file.path,
        "rows": file.rows,
        "fault_count": file.fault_count,
        "job": str(file.job_id or ""),
        "decided_by": file.decided_by,
        "decided_why": file.decided_why,
    }


def _shown(report: dict[str, Any]) -> Iterator[str]:
    for name, value in report.items():
        if not isinstance(value, list):
            yield f"{name:<12}{printable(str(value))}"
            continue
        for entry in value:
            text = entry if isinstance(entry, str) else "  ".join(map(str, entry))
            yield f"{name:<12}{printable(text)}"


_ACTIONS: Final[dict[str, Callable[..., tuple[str, Any]]]] = {
    "ls": _list,
    "show": _show,
    "release": _release,
    "refuse": _refuse,
}
