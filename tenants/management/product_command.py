"""The base of the commands that people type: options, output and errors in one form."""

import getpass
import json
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError, ProgrammingError

from tenants.acting import acting


class ProductCommand(BaseCommand):
    """A command with `--data DIR`, and `--json` where it reports."""

    requires_system_checks = ()

    def add_common_arguments(self, parser: ArgumentParser) -> None:
        """Declare `--data` and `--json` on a parser; each subcommand has its own.

        `manage.py` has exported `--data` before the settings were read.
        """
        parser.add_argument(
            "--data",
            metavar="DIR",
            help="the stack's folder, where it is not the default one",
        )
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="print JSON"
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Act as the person who typed the command."""
        name = type(self).__module__.rpartition(".")[2]
        with acting(who=f"{getpass.getuser()} by manage.py {name}"):
            return super().execute(*args, **options)

    def write(self, text: str, value: Any, *, as_json: bool) -> None:
        """Print a report for a person, or the same as JSON."""
        self.stdout.write(json.dumps(value, indent=2) if as_json else text)


@contextmanager
def command_errors(*refusals: type[Exception]) -> Iterator[None]:
    """Turn refusals, bad values and an absent database into one line and exit 1."""
    try:
        yield
    except ValidationError as error:
        raise CommandError(_describe(error)) from error
    except UnicodeEncodeError as error:
        raise CommandError("What was typed is not valid UTF-8.") from error
    except refusals as error:
        raise CommandError(str(error)) from error
    except (OperationalError, InterfaceError) as error:
        if not settings.DATABASE_URL:
            raise CommandError(
                f"No stack runs on {settings.STACK_DATA}. Start it with `make up`, "
                "name its folder with --data, or set DATABASE_URL."
            ) from error
        reason = " ".join(str(error).split())
        raise CommandError(
            f"The database does not answer: {reason}. Start the stack, name its folder "
            "with --data, or set DATABASE_URL."
        ) from error
    except ProgrammingError as error:
        reason = str(error).partition("\n")[0]
        raise CommandError(
            f"The database has another layout ({reason}). Run `manage.py migrate`."
        ) from error


def _describe(error: ValidationError) -> str:
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        f"{field}: {' '.join(messages)}"
        for field, messages in error.message_dict.items()
    )
