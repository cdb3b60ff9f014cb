"""`manage.py upload`: copy a local file to where a tenant's jobs may read it."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ingestion.storage import (
    StoreUnavailableError,
    UnsafePathError,
    object_key,
    store,
)
from tenants.management.product_command import ProductCommand, command_errors
from tenants.scoping import all_tenants
from tenants.selectors import UnknownTenantError, tenant_get


class Command(ProductCommand):
    help = "Copy a local file into a tenant's part of the object store."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the tenant, the file and where it goes."""
        parser.add_argument("slug", metavar="SLUG", help="the tenant")
        parser.add_argument("file", metavar="FILE", type=Path, help="the local file")
        parser.add_argument(
            "--as",
            dest="path",
            metavar="PATH",
            help="path to enqueue it by (default: the file's own name)",
        )
        self.add_common_arguments(parser)

    def handle(
        self,
        *_: Any,
        slug: str,
        file: Path,
        path: str | None,
        as_json: bool,
        **__: Any,
    ) -> None:
        """Copy the file, and print the `s3_path` that an enqueue call takes."""
        with (
            command_errors(UnknownTenantError),
            all_tenants(reason="manage.py upload"),
        ):
            tenant_get(slug=slug)
        s3_path = file.name if path is None else path
        try:
            key = object_key(slug, s3_path)
            with file.open("rb") as content:
                store().write(key, content)
        except (UnsafePathError, StoreUnavailableError, OSError) as error:
            raise CommandError(f"Unable to upload {file}: {error}") from error
        report = {"s3_path": s3_path, "size": file.stat().st_size, "key": key}
        self.write(s3_path, report, as_json=as_json)
