"""Runs the stack as a child, does something on it once it is ready, and stops it."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from taskqueue_site.processes import follow_parent


class StackFailedError(RuntimeError):
    """The stack ended before it was ready; it has said why."""


@contextmanager
def running_stack(
    project: Path, options: list[str], say: Callable[[str], None]
) -> Iterator[subprocess.Popen[str]]:
    """Start `manage.py stack`, repeat its lines, and yield it when it is ready.

    SIGINT, SIGTERM and SIGHUP end the block with KeyboardInterrupt; the stack is
    stopped in any case, and is not left to the terminal's Ctrl-C. Raises
    StackFailedError.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    stack = subprocess.Popen(
        [sys.executable, "manage.py", "stack", *options],
        cwd=project,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Should this process be killed, the stack stops by itself.
        preexec_fn=follow_parent(signal.SIGTERM),
    )
    try:
        _await_ready(stack, say)
        yield stack
    finally:
        _stop(stack)


def follow(stack: subprocess.Popen[str], say: Callable[[str], None]) -> None:
    """Repeat the stack's lines until it ends."""
    assert stack.stdout is not None  # noqa: S101 - it was opened as a pipe
    for line in stack.stdout:
        say(line.rstrip("\n"))


def _await_ready(stack: subprocess.Popen[str], say: Callable[[str], None]) -> None:
    assert stack.stdout is not None  # noqa: S101 - it was opened as a pipe
    for line in stack.stdout:
        say(line.rstrip("\n"))
        if line.startswith("ready "):
            return
    raise StackFailedError(f"The stack ended with exit code {stack.wait()}.")


def _stop(stack: subprocess.Popen[str]) -> None:
    # A second signal must not leave the stack behind half stopped.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if stack.poll() is None:
        stack.terminate()
        # However long the drain: it kills each part that is not gone in time.
        stack.communicate()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
