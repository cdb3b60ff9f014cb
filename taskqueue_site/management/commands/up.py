"""`manage.py up`: the stack with one tenant, one file, and a call ready to paste."""

import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from ingestion.storage import object_key, store
from quotas.services import tenant_create
from taskqueue_site.foreground import StackFailedError, follow, running_stack
from taskqueue_site.private_files import write_private
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tenants.services import api_key_create

TENANT = "t1"
FILE = "upi_sample.csv"


class Command(BaseCommand):
    help = f"Run the stack with tenant {TENANT} and {FILE}, and print a call to paste."
    # The database is not there yet when this command begins.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--concurrency", type=int, default=2)
        parser.add_argument("--data", help="folder of all data and logs")
        # Used by the command itself: the part that runs on the started stack.
        parser.add_argument("--on", dest="base_url", help="address of a running stack")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run until Ctrl-C; --on only prepares the tenant on a running stack."""
        if options["base_url"]:
            self._prepare(options["base_url"])
            return
        try:
            self._run(options)
        except StackFailedError:
            sys.exit(1)  # the stack has said why
        except KeyboardInterrupt:
            self._say("stopped")

    def _run(self, options: dict[str, Any]) -> None:
        data = str(settings.STACK_DATA)
        address = f"http://127.0.0.1:{options['port']}"
        stack_options = ["--port", str(options["port"]), "--data", data]
        stack_options += ["--concurrency", str(options["concurrency"])]
        with running_stack(settings.BASE_DIR, stack_options, self._say) as stack:
            command = [sys.executable, "manage.py", "up", "--on", address]
            command += ["--data", data]
            if subprocess.run(command, cwd=settings.BASE_DIR, check=False).returncode:
                raise CommandError(f"Unable to prepare tenant {TENANT}; see above.")
            follow(stack, self._say)

    # --- On the running stack ---------------------------------------------------------

    def _prepare(self, base_url: str) -> None:
        key = self._key(settings.STACK_DATA / f"{TENANT}.key")
        with (settings.BASE_DIR / "samples" / FILE).open("rb") as content:
            store().write(object_key(TENANT, FILE), content)
        self._say(f"\nTenant {TENANT} has {FILE}. Enqueue it with:\n")
        self._say(
            f"curl -i {base_url}/enqueue/ingest \\\n"
            f"  -H 'Authorization: Bearer {key}' \\\n"
            "  -H 'Content-Type: application/json' \\\n"
            f'  -d \'{{"tenant_id": "{TENANT}", "s3_path": "{FILE}", '
            '"source": "UPI"}\'\n'
        )
        self._say(f"Then watch it at {base_url}/admin/jobs/job/ . Ctrl-C stops it all.")

    @staticmethod
    def _key(kept: Path) -> str:
        """Return the tenant's key, made on the first run and kept in a private file."""
        with all_tenants(reason="manage.py up"):
            if not Tenant.objects.filter(slug=TENANT).exists():
                tenant_create(slug=TENANT)
            elif kept.is_file():
                return kept.read_text(encoding="ascii").strip()
            _, key = api_key_create(slug=TENANT, name="up", now=timezone.now())
        write_private(kept, key)
        return key

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
