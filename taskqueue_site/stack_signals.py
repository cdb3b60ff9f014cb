"""Waiting for a signal or a child's death, in one place and without losing either."""

import select
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import FrameType
from typing import Self


class StopRequested(BaseException):
    """SIGINT, SIGTERM or SIGHUP has asked the stack to end."""


class StopSignals:
    """Waits that end at once when a child dies or the stack is asked to stop."""

    def __init__(self) -> None:
        """Install nothing yet; use as a context manager in the main thread."""
        self._requested = False
        self._restore = ExitStack()

    def __enter__(self) -> Self:
        """Take over the signals until the end of the block."""
        self._reader, writer = socket.socketpair()
        for end in (self._reader, writer):
            end.setblocking(False)
            self._restore.callback(end.close)
        before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        self._restore.callback(signal.set_wakeup_fd, before)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._take(number, self._request)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            # Under nohup the stack outlives its terminal.
            self._take(signal.SIGHUP, self._request)
        self._take(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back."""
        self._restore.close()

    def wait(self, seconds: float) -> None:
        """Wait for a signal, at most `seconds`; raise StopRequested if asked to end."""
        self.check()
        select.select([self._reader], [], [], seconds)
        with suppress(BlockingIOError):
            self._reader.recv(4096)
        self.check()

    def check(self) -> None:
        """Raise StopRequested if a signal has asked the stack to end."""
        if self._requested:
            raise StopRequested

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        self._requested = True

    def _take(
        self, number: int, handler: Callable[[int, FrameType | None], None]
    ) -> None:
        before = signal.signal(number, handler)
        self._restore.callback(signal.signal, number, before)
