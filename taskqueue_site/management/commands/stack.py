"""`manage.py stack`: the whole product on one machine, with nothing installed first."""

import os
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from taskqueue_site.embedded import ServiceError
from taskqueue_site.stack import Stack
from taskqueue_site.stack_environment import (
    complete_environment,
    missing_servers,
    published,
    redacted,
)
from taskqueue_site.stack_plan import product_plan
from taskqueue_site.stack_programs import component_line


class Command(BaseCommand):
    """Run the product on this machine until Ctrl-C."""

    help = (
        "Run web, dispatcher, workers and beat on this machine until Ctrl-C. "
        "PostgreSQL and Valkey are started too unless their URLs are set."
    )
    # The database is not there yet when this command begins.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--host", default="127.0.0.1", help="address of the web")
        parser.add_argument("--port", type=_port, default=8000, help="port of the web")
        parser.add_argument(
            "--concurrency", type=_count, default=2, help="slots of the worker"
        )
        parser.add_argument(
            "--data",
            type=Path,
            default=settings.STACK_DATA,
            help="folder of all data and logs (default: STACK_DATA, else .stack)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the stack; any failure is one line and exit code 1."""
        directory = options["data"].expanduser().resolve()
        try:
            # Passable, not listable: PostgreSQL may run as another user inside it.
            directory.mkdir(mode=0o711, parents=True, exist_ok=True)
            self._run(directory, options)
        except (ServiceError, OSError) as error:
            raise CommandError(str(error)) from error

    def _run(self, directory: Path, options: Mapping[str, Any]) -> None:
        given = settings.USER_ENV
        stack = Stack(directory, project=settings.BASE_DIR, say=self._say)
        plan = product_plan(
            host=options["host"],
            port=options["port"],
            concurrency=options["concurrency"],
            directory=directory,
            given=given,
        )

        @contextmanager
        def environment(urls: Mapping[str, str]) -> Iterator[dict[str, str]]:
            values = complete_environment(given, urls, directory)
            for variable in sorted(values.keys() - urls.keys() - {"SECRET_KEY"}):
                name = variable.removesuffix("_URL").lower()
                self._say(component_line(name, redacted(values[variable])))
            python = {"PYTHONUNBUFFERED": "1", "STACK_DATA": str(directory)}
            with published(values, directory):
                yield {**os.environ, **values, **python}

        stack.run(plan, missing_servers(given, directory), environment)

    def _say(self, line: str) -> None:
        # A reader that went away (`| head`) must not bring the stack down.
        with suppress(BrokenPipeError):
            self.stdout.write(line)
            self.stdout.flush()


def _port(text: str) -> int:
    number = _count(text)
    if number > 65535:
        raise ArgumentTypeError(f"{text} is not a port: 1 to 65535")
    return number


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text} is not a whole number from 1 up")
    return int(text)
