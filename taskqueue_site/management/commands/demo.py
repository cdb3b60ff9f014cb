"""`manage.py demo`: the main job on sample data, from an empty folder to the admin."""

import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from taskqueue_site import demo, demo_reconciliation, demo_sources, demo_table
from taskqueue_site.demo import Producer
from taskqueue_site.foreground import StackFailedError, follow, running_stack
from taskqueue_site.stack_plan import login_of


class Command(BaseCommand):
    help = (
        "Start the stack, load sample files of three tenants through the API, show "
        "what came of them and how worker time was shared, then leave the admin open."
    )
    # The database is not there yet when this command begins.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="stop at the end")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--concurrency", type=int, default=2)
        parser.add_argument("--data", help="folder of all data and logs")
        # Used by the command itself: the part that runs on the started stack.
        parser.add_argument("--on", dest="base_url", help="address of a running stack")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the demonstration; --on does only the part that needs a running stack."""
        try:
            if options["base_url"]:
                self._show(options["base_url"])
            else:
                self._run(options)
        except StackFailedError:
            sys.exit(1)  # the stack has said why
        except KeyboardInterrupt:
            self.stdout.write("stopped")

    def _run(self, options: dict[str, Any]) -> None:
        stack_options = [
            *("--port", str(options["port"])),
            *("--concurrency", str(options["concurrency"])),
            *("--data", str(settings.STACK_DATA)),
        ]
        told: list[str] = []

        def say(line: str) -> None:
            told.append(line)
            self._say(line)

        with running_stack(settings.BASE_DIR, stack_options, say) as stack:
            address = f"http://127.0.0.1:{options['port']}"
            # A process of its own reads its settings anew, now that the stack is up.
            command = [sys.executable, "manage.py", "demo", "--on", address]
            command += ["--data", str(settings.STACK_DATA)]
            done = subprocess.run(command, cwd=settings.BASE_DIR, check=False)
            if done.returncode:
                raise CommandError("The demonstration failed; see above.")
            if not options["once"]:
                self._say(f"\nThe admin is open: {login_of(told)}")
                self._say("Ctrl-C stops everything; a second run keeps the data.")
                follow(stack, self._say)

    # --- On the running stack ---------------------------------------------------------

    def _show(self, base_url: str) -> None:
        weights = demo.WEIGHTS
        producers = demo.prepare(weights, now=timezone.now(), base_url=base_url)
        shown = ", ".join(f"{tenant} {weight}" for tenant, weight in weights.items())
        self._say(f"\nThree tenants and their weights: {shown}")
        samples = settings.BASE_DIR / "samples"
        paths = demo.upload(producers, samples, seed=demo.new_seed())
        self._say(f"{len(paths)} files each are stored; enqueueing them over HTTP …")
        demo.enqueue(producers, paths)
        jobs = self._watch(producers)
        given = demo_table.shares(weights, jobs)
        self._say("")
        for line in demo_table.table(paths, jobs, given):
            self._say(line)
        self._say(
            "\nwaited: mean until the start; ran: sum of worker time; share: worker "
            "time received\nwhile all three had files waiting, and what the weights "
            "entitle to"
        )
        self._say("\nRejected rows, by line, column and reason:")
        for line in demo_table.reject_files(jobs, self._shown):
            self._say(line)
        self._show_sources(base_url, samples)
        self._show_reconciliation(base_url, samples)

    def _show_sources(self, base_url: str, samples: Path) -> None:
        wanted = {demo_sources.TENANT: Decimal(1)}
        (producer,) = demo.prepare(wanted, now=timezone.now(), base_url=base_url)
        self._say(f"\nA good and a bad file of each source, for {producer.tenant}:")
        pairs = demo_sources.enqueue(producer, samples)
        jobs = self._watch([producer], "loading   ")[producer.tenant]
        self._say("")
        for line in demo_sources.table(producer, pairs, jobs):
            self._say(line)

    def _show_reconciliation(self, base_url: str, samples: Path) -> None:
        wanted, now = {demo_reconciliation.TENANT: Decimal(1)}, timezone.now()
        (producer,) = demo.prepare(wanted, now=now, base_url=base_url)
        name = demo_reconciliation.PROFILE
        self._say(f"\nA day of {producer.tenant}'s ledger against UPI, {name!r}:")
        demo_reconciliation.load(producer, samples)
        self._watch([producer], "loading   ")
        demo_reconciliation.prepare(producer.tenant, now=now)
        run = self._job_of(producer, "comparing ", demo_reconciliation.compare)
        listing = demo_reconciliation.list_mismatches
        report = self._job_of(producer, "reporting ", listing)
        listed = producer.text(report["links"]["report"])
        self._say("")
        for line in demo_reconciliation.summary(run, listed):
            self._say(line)
        self._say("")
        for line in demo_reconciliation.links(base_url, run):
            self._say(line)

    def _job_of(
        self, producer: Producer, what: str, order: Callable[[Producer], None]
    ) -> Any:
        """Order one job, and return it once it has ended."""
        order(producer)
        (job,) = self._watch([producer], what, newest=1)[producer.tenant]
        if job["state"] != "succeeded":
            raise CommandError(f"The {job['kind']} job ended {job['state']}.")
        return job

    @staticmethod
    def _shown(key: str) -> str:
        url = urlsplit(settings.STORAGE_URL)
        # Not the whole URL: it may hold the store's secret.
        root = url.path if url.scheme == "file" else f"s3://{url.hostname}"
        return f"{root.rstrip('/')}/{key}"

    def _watch(
        self, producers: Sequence[Producer], what: str = "", **options: Any
    ) -> dict[str, list[Any]]:
        """Show how far the jobs are until all have ended, on a line of their own."""

        def show(bars: str) -> None:
            self._progress(what + bars)

        jobs = demo.watch(producers, show, **options)
        if self.stdout.isatty():
            self._say("")
        return jobs

    def _progress(self, text: str) -> None:
        is_terminal = self.stdout.isatty()
        self.stdout.write(f"\r{text}" if is_terminal else text, ending="")
        self.stdout.write("" if is_terminal else "\n", ending="")
        self.stdout.flush()

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
