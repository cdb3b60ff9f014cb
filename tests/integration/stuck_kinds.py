"""`manage.py` with kinds of jobs that never come to an end."""

import re
import sys
import time

import django
from django.core.management import execute_from_command_line

from jobs.handlers import Assignment, Checkpoint, Kind, Steps, register


def spin(assignment: Assignment) -> Steps:
    """Loop for ever in Python, in a step that never returns."""
    yield lambda: Checkpoint(state={})
    while True:
        time.monotonic()


def match(assignment: Assignment) -> Steps:
    """Loop as good as for ever in C, where no other thread comes to its turn."""
    yield lambda: Checkpoint(state={})
    re.match(r"(a+)+$", "a" * 60 + "b")
    return {}


def nothing(assignment: Assignment) -> Steps:
    """Do nothing."""
    yield lambda: Checkpoint(state={}, is_last=True)
    return {}


LIMIT_SECONDS = 2
KINDS = [
    Kind(name="nothing", handler=nothing, time_limit_seconds=LIMIT_SECONDS),
    Kind(name="spin", handler=spin, max_attempts=1, time_limit_seconds=LIMIT_SECONDS),
    Kind(name="match", handler=match, max_attempts=1, time_limit_seconds=LIMIT_SECONDS),
    # Their limit comes after the end of a step, or of a lease.
    Kind(name="slow-spin", handler=spin, max_attempts=1),
    Kind(name="slow-match", handler=match, max_attempts=1, time_limit_seconds=12),
]


if __name__ == "__main__":
    django.setup()
    for kind in KINDS:
        register(kind)
    execute_from_command_line(["manage.py", *sys.argv[1:]])
