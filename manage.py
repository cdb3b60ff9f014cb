#!/usr/bin/env python
"""Entry point of every command: `python manage.py help` lists them."""

import gc
import os
import sys


def main() -> None:
    """Run the command named on the command line."""
    # Almost all that is imported stays: the search for garbage in it would be half of a
    # short command. The composition root's `ready` turns it on again.
    gc.disable()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
    _apply_data_option(sys.argv)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


def _apply_data_option(argv: list[str]) -> None:
    """Export `--data DIR` as STACK_DATA: settings read it before options are parsed."""
    for position, word in enumerate(argv):
        if word.startswith("--data="):
            os.environ["STACK_DATA"] = word.partition("=")[2]
        elif word == "--data" and position + 1 < len(argv):
            os.environ["STACK_DATA"] = argv[position + 1]


if __name__ == "__main__":
    main()
