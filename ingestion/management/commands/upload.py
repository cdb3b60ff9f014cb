"""`manage.py upload`: bring files for a tenant and load them, or only copy one."""

import os
from pathlib import Path
from time import sleep
from typing import Any, Final
from uuid import UUID

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from ingestion.incoming import (
    EmptyFileError,
    PathTakenError,
    file_bring,
    file_put,
)
from ingestion.sources.registry import UnknownSourceError
from ingestion.storage import StoreUnavailableError, UnsafePathError
from ingestion.uploads import UploadTooLargeError
from jobs import lifecycle, timeline
from jobs.models import Job
from jobs.switches import NotAcceptingError
from tenants.management.product_command import ProductCommand, command_errors
from tenants.scoping import all_tenants, tenant_scope
from tenants.selectors import UnknownTenantError, tenant_get

_REFUSALS: Final = (
    EmptyFileError,
    NotAcceptingError,
    OSError,
    PathTakenError,
    StoreUnavailableError,
    UnknownSourceError,
    UnsafePathError,
    UploadTooLargeError,
)
_LOOK_SECONDS: Final = 0.5
_FATES: Final = ("inserted", "duplicate", "conflicting", "rejected")
_FORMS: Final = (
    "Give --tenant SLUG --source SOURCE FILE… to load files, or SLUG FILE to copy one."
)


class Command(ProductCommand):
    help = (
        "Bring local files for a tenant and enqueue their loads (--tenant, --source), "
        "or copy one into its part of the object store (SLUG FILE)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare both forms."""
        parser.add_argument(
            "words",
            metavar="FILE",
            nargs="+",
            help="local files; without --tenant, the tenant and one file",
        )
        parser.add_argument("--tenant", metavar="SLUG", help="whose files they are")
        parser.add_argument("--source", help="how to read them, as in an enqueue call")
        parser.add_argument(
            "--wait",
            action="store_true",
            help="follow the jobs to their end; exit 1 if one does not succeed",
        )
        parser.add_argument(
            "--as",
            dest="path",
            metavar="PATH",
            help="copy only: path to enqueue it by (default: the file's own name)",
        )
        parser.add_argument(
            "--replace",
            action="store_true",
            help="copy only: replace what is at that path",
        )
        self.add_common_arguments(parser)

    def handle(
        self, *_: Any, words: list[str], as_json: bool, wait: bool, **options: Any
    ) -> None:
        """Load the files and print their jobs, or copy one and print its `s3_path`."""
        tenant, source = options["tenant"], options["source"]
        path, may_replace = options["path"], options["replace"]
        is_load = tenant is not None and source is not None and path is None
        is_copy = tenant is None and source is None and len(words) == 2 and not wait
        if is_load and not may_replace:
            _check_tenant(tenant)
            self._load(tenant, source, words, as_json=as_json, wait=wait)
        elif is_copy:
            _check_tenant(words[0])
            self._copy(words[0], Path(words[1]), path, may_replace, as_json=as_json)
        else:
            raise CommandError(_FORMS)

    # --- Copy -------------------------------------------------------------------------

    def _copy(
        self,
        slug: str,
        file: Path,
        path: str | None,
        may_replace: bool,
        *,
        as_json: bool,
    ) -> None:
        s3_path = file.name if path is None else path
        try:
            with file.open("rb") as content:
                size = os.fstat(content.fileno()).st_size
                key = file_put(
                    tenant=slug, path=s3_path, content=content, may_replace=may_replace
                )
        except PathTakenError as error:
            text = f"{error} Choose another with --as, or --replace it."
            raise CommandError(text) from None
        except (UnsafePathError, StoreUnavailableError, OSError) as error:
            raise CommandError(f"Unable to upload {file}: {error}") from error
        report = {"s3_path": s3_path, "size": size, "key": key}
        self.write(s3_path, report, as_json=as_json)

    # --- Load -------------------------------------------------------------------------

    def _load(
        self, tenant: str, source: str, files: list[str], *, as_json: bool, wait: bool
    ) -> None:
        jobs: list[Job] = []
        refusal = ""
        for file in files:
            try:
                jobs.append(_bring(tenant, source, Path(file)))
            except _REFUSALS as error:
                refusal = f"Unable to upload {file}: {error}"
                break
            if not as_json:
                self.stdout.write(str(jobs[-1].pk))
        if wait and jobs:
            jobs = self._followed(tenant, [job.pk for job in jobs])
        if as_json:
            self.write("", [_told(job) for job in jobs], as_json=True)
        refusal = refusal or (_failures(jobs) if wait else "")
        if refusal:
            raise CommandError(refusal)

    def _followed(self, tenant: str, ids: list[UUID]) -> list[Job]:
        """Tell on the error output what changes, until all have ended."""
        said: dict[UUID, str] = {}
        while True:
            with tenant_scope(tenant):
                found = {job.pk: job for job in Job.objects.filter(pk__in=ids)}
            # Whoever prunes in the meantime has seen it end.
            jobs = [found[job_id] for job_id in ids if job_id in found]
            for job in jobs:
                line = f"{job.pk}  {_standing(job)}  {timeline.progress_text(job)}"
                line = line.rstrip()
                if said.get(job.pk) != line:
                    said[job.pk] = line
                    self.stderr.write(line, style_func=str)
            if all(job.state in lifecycle.TERMINAL_STATES for job in jobs):
                return jobs
            sleep(_LOOK_SECONDS)


def _check_tenant(slug: str) -> None:
    with (
        command_errors(UnknownTenantError),
        all_tenants(reason="manage.py upload"),
    ):
        tenant_get(slug=slug)


def _bring(tenant: str, source: str, file: Path) -> Job:
    with file.open("rb") as content:
        return file_bring(
            tenant=tenant,
            source=source,
            name=file.name,
            content=content,
            size=os.fstat(content.fileno()).st_size,
            now=timezone.now(),
        )


def _told(job: Job) -> dict[str, Any]:
    return {
        "job": str(job.pk),
        "s3_path": job.payload["s3_path"],
        "state": job.state,
    }


def _standing(job: Job) -> str:
    result = job.result or {}
    if result.get("quarantined", False):
        return f"{job.state}, the file is in quarantine: see manage.py file ls"
    if "inserted" not in result:
        return job.state
    became = [f"{result[name]:,} {name}" for name in _FATES if result[name]]
    return f"{job.state}: {result['rows']:,} rows, {', '.join(became) or 'none new'}"


def _failures(jobs: list[Job]) -> str:
    """Return what became of those that did not succeed, or ""."""
    lines = [
        f"{job.payload['s3_path']} is {job.state}: "
        f"{(job.error or {}).get('message', 'no reason is kept')}"
        for job in jobs
        if job.state != lifecycle.State.SUCCEEDED
    ]
    return "\n".join(lines)
