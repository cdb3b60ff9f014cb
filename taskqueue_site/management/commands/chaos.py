"""`manage.py chaos`: break the product on purpose, and show that nothing is lost."""

import json
import os
import random
import shutil
import tempfile
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from taskqueue_site.chaos import faults, producer, report, schedule
from taskqueue_site.chaos.run import Run, Settings
from taskqueue_site.embedded import ServiceError
from taskqueue_site.stack_signals import StopRequested

ALL = "all-random"
#: What the run supplies itself, whatever the caller's environment says.
_OWN = ("DATABASE_URL", "BROKER_URL", "REDIS_URL", "STORAGE_URL", "STACK_DATA")


class Command(BaseCommand):
    """Start everything privately, load it, break it, and weigh what is left."""

    help = (
        "Run the product on private servers under load, inject faults by a seeded "
        "plan, and check that nothing was lost, doubled or left behind."
    )
    # The database is not there yet when this command begins.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--minutes",
            type=_minutes,
            default=10.0,
            help="how long the load and the faults last (10)",
        )
        parser.add_argument(
            "--seed",
            type=int,
            help="draws load and faults; the same again repeats them (a new one)",
        )
        parser.add_argument(
            "--faults",
            type=_faults,
            metavar="NAME,...",
            help=f"only these, of: {', '.join(faults.CATALOGUE)} (all)",
        )
        parser.add_argument(
            "--broker",
            choices=("rabbitmq", "redis"),
            default="rabbitmq",
            help="what carries the messages (rabbitmq)",
        )
        parser.add_argument(
            "--rate", type=float, default=4.0, help="jobs posted in a second (4)"
        )
        parser.add_argument("--json", type=Path, metavar="FILE", help="report as JSON")
        parser.add_argument(
            "--markdown", type=Path, metavar="FILE", help="the table as Markdown"
        )
        parser.add_argument(
            "--keep", type=Path, metavar="DIR", help="leave logs and data there"
        )
        # Used by the command itself: the part that posts to the started product.
        parser.add_argument("--produce", type=Path, help=SUPPRESS)
        parser.add_argument("--on", dest="base_url", help=SUPPRESS)

    def handle(self, *_: Any, **options: Any) -> None:
        """Run; exit 1 if anything was lost, doubled, stuck or slow, or cannot run."""
        if options["seed"] is None:
            options["seed"] = random.SystemRandom().randrange(10**6)
        if options["produce"]:
            producer.main(
                options["produce"],
                base_url=options["base_url"],
                seed=options["seed"],
                rate=options["rate"],
            )
            return
        try:
            found = self._run(options)
        except (ServiceError, schedule.TooShortError) as error:
            raise CommandError(str(error)) from error
        except StopRequested:
            raise CommandError("stopped before the verdict") from None
        self._publish(found, options)
        if not found["is_good"]:
            raise CommandError(f"{len(found['findings'])} findings; see above")

    def _run(self, options: Mapping[str, Any]) -> dict[str, Any]:
        wanted = _settings(options)
        with _folder(options["keep"]) as folder:
            self._say(f"seed {wanted.seed}, {len(wanted.planned)} faults, in {folder}")
            environ = {k: v for k, v in os.environ.items() if k not in _OWN}
            run = Run(
                folder,
                wanted,
                project=settings.BASE_DIR,
                environ=environ,
                say=self._say,
            )
            return run.run()

    def _publish(self, found: dict[str, Any], options: Mapping[str, Any]) -> None:
        if options["json"]:
            options["json"].write_text(json.dumps(found, indent=2) + "\n")
        if options["markdown"]:
            options["markdown"].write_text(report.as_markdown(found))
        for line in ("", *report.as_text(found)):
            self._say(line)

    def _say(self, line: str) -> None:
        # A reader that went away (`| head`) must not end the run.
        with suppress(BrokenPipeError):
            self.stdout.write(line)
            self.stdout.flush()


def _settings(options: Mapping[str, Any]) -> Settings:
    """Return what was asked for. Raises CommandError or TooShortError."""
    possible = faults.names_for(options["broker"])
    chosen = options["faults"] or possible
    if impossible := [name for name in chosen if name not in possible]:
        raise CommandError(f"{', '.join(impossible)} needs --broker rabbitmq")
    seconds = options["minutes"] * 60
    lease = float(settings.LEASE_SECONDS)
    holds = faults.holds(chosen, lease_seconds=lease)
    return Settings(
        scenario=ALL if options["faults"] is None else "+".join(chosen),
        seed=options["seed"],
        seconds=seconds,
        planned=schedule.plan(holds, seconds=seconds, seed=options["seed"]),
        broker=options["broker"],
        rate=options["rate"],
        lease_seconds=lease,
        quiesce_seconds=60 + 3 * lease,
    )


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Provide an empty folder; without `keep` it is removed with all that is in it."""
    if keep is not None:
        keep.mkdir(mode=0o711, parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise CommandError(f"{keep} is not empty: choose another --keep")
    folder = keep.resolve() if keep else Path(tempfile.mkdtemp(prefix="dtq-chaos-"))
    # Passable, not listable: PostgreSQL may run as another user inside it.
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        if keep is None:
            link = folder / "postgres"
            if link.is_symlink():
                # Where that user cannot enter the folder, the data lies elsewhere.
                shutil.rmtree(link.resolve().parent, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 24 * 60:
        raise ArgumentTypeError(f"{text!r} is not a number of minutes from 0.1 to 1440")
    return value


def _faults(text: str) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in faults.CATALOGUE]:
        raise ArgumentTypeError(
            f"there is no fault {', '.join(unknown)}; "
            f"there are: {', '.join(faults.CATALOGUE)}"
        )
    return names
