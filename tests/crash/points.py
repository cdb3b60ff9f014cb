"""The points at which a process is struck: each line, and around each SQL call.

A point is named by its thread and its place in that thread's own order, so that two
threads beside each other do not blur it.
"""

import os
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Any, Final, TypeVar

import psycopg2
from django.db import connection
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as PlainConnection  # noqa: N812
from psycopg2.extensions import cursor as PlainCursor  # noqa: N812

ROOT: Final = Path(__file__).parents[2]
_PRODUCT: Final = tuple(
    f"{folder.parent}{os.sep}" for folder in sorted(ROOT.glob("*/apps.py"))
)
#: Threads with a way of their own. That of the leases only wakes from time to time.
_MAIN, _SETTLE = "main", "settle"
#: What the threads of the loaders are called by.
_LOADER: Final = "loader"

T = TypeVar("T")
Trace = Callable[[FrameType, str, Any], Any]


class Fault(StrEnum):
    """What happens to the process at the point."""

    #: It dies at once, as by the kernel's hand.
    KILLED = "killed"
    #: It loses its connection to the database, and lives on.
    CUT_OFF = "cut off"
    #: It stands still until others have finished its job, and then goes on.
    FROZEN = "frozen"


@dataclass(frozen=True, slots=True)
class Point:
    """A point, where it lies, and whether no transaction is open there."""

    thread: str
    sort: str
    ordinal: int
    where: str
    is_idle: bool

    @property
    def key(self) -> tuple[str, str, int]:
        """Return what names the point in every run."""
        return self.thread, self.sort, self.ordinal


class Probe:
    """Counts the points that this process passes, and strikes at one of them."""

    def __init__(
        self, fault: Fault = Fault.KILLED, at: tuple[str, str, int] | None = None
    ) -> None:
        self.fault = fault
        self.at = at
        self.passed: list[Point] = []
        self._counts: Counter[tuple[str, str]] = Counter()
        self._main = threading.get_ident()

    def install(self, *, with_lines: bool) -> None:
        """Watch this process from now on: its new connections, its lines if asked."""
        self._main = threading.get_ident()
        options = connection.settings_dict["OPTIONS"]
        options["connection_factory"] = _watched_connection(self)
        options["cursor_factory"] = _watched_cursor(self)
        if with_lines:
            threading.settrace(self._trace)
            sys.settrace(self._trace)

    def reach(self, sort: str, where: str, *, is_idle: bool = False) -> bool:
        """Pass a point; True when the connection is to be cut there."""
        is_main = threading.get_ident() == self._main
        thread = _MAIN if is_main else threading.current_thread().name
        is_loader = thread.startswith(_LOADER)
        if not is_loader and thread not in {_MAIN, _SETTLE}:
            return False
        self._counts[thread, sort] += 1
        key = (thread, sort, self._counts[thread, sort])
        if self.at is None:
            # While a loader works, the transaction of its step may be open beside it.
            self.passed.append(Point(*key, where, is_idle and not is_loader))
        return key == self.at and self._strike()

    def _strike(self) -> bool:
        match self.fault:
            case Fault.KILLED:
                os.kill(os.getpid(), signal.SIGKILL)
            case Fault.FROZEN:
                os.kill(os.getpid(), signal.SIGSTOP)
        return self.fault is Fault.CUT_OFF

    def _trace(self, frame: FrameType, _event: str, _: Any) -> Trace | None:
        name = frame.f_code.co_filename
        return self._trace_lines if name.startswith(_PRODUCT) else None

    def _trace_lines(self, frame: FrameType, event: str, _: Any) -> Trace:
        if event == "line":
            name = frame.f_code.co_filename.removeprefix(f"{ROOT}{os.sep}")
            self.reach("line", f"{name}:{frame.f_lineno}")
        return self._trace_lines

    def around(self, at: PlainConnection, words: str, send: Callable[[], T]) -> T:
        """Make a call to the server, with a point on either side of it."""
        if self.reach("sql", f"before {words}", is_idle=_is_idle(at)):
            _cut(at)
        answer = send()
        if self.reach("sql", f"after {words}", is_idle=_is_idle(at)):
            _cut(at)
            raise psycopg2.OperationalError("the connection was cut")
        return answer


def _is_idle(at: PlainConnection) -> bool:
    return at.get_transaction_status() == TRANSACTION_STATUS_IDLE


def _cut(at: PlainConnection) -> None:
    """Break the wire and nothing else: the client finds out by itself."""
    with socket.socket(fileno=os.dup(at.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


def _watched_connection(probe: Probe) -> type[PlainConnection]:
    class Watched(PlainConnection):
        def commit(self) -> None:
            probe.around(self, "COMMIT", super().commit)

    return Watched


def _watched_cursor(probe: Probe) -> type[PlainCursor]:
    class Watched(PlainCursor):
        def execute(self, query: Any, vars: Any = None) -> None:
            send = super().execute
            probe.around(self.connection, _short(query), lambda: send(query, vars))

        def copy_expert(self, sql: Any, file: Any, *size: int) -> None:
            send = super().copy_expert
            probe.around(self.connection, _short(sql), lambda: send(sql, file, *size))

    return Watched


def _short(statement: Any) -> str:
    """Return the beginning of what a message does besides entering its scope."""
    text = str(statement).rpartition("true);")[2]
    return " ".join((text or str(statement)).split())[:50]
