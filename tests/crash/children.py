"""Children of the test process, which are watched and struck."""

import json
import os
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Final, NoReturn

from django.db import Error, connections

from tests.crash.points import Point, Probe

_MOST_SECONDS: Final = 60
_ENDED, _BROKE, _FAILED = 0, 3, 4


class Child:
    """A process forked from this one that does one thing and exits."""

    def __init__(
        self, act: Callable[[], None], probe: Probe, *, with_lines: bool
    ) -> None:
        with tempfile.NamedTemporaryFile(delete=False) as file:
            self._told = Path(file.name)
        # A connection belongs to one process.
        connections.close_all()
        with warnings.catch_warnings():
            # Threads of this process stay behind; none of them holds a lock for long.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            self._be(act, probe, with_lines=with_lines)
        self._status = os.waitpid(self.pid, os.WUNTRACED)[1]

    def _be(
        self, act: Callable[[], None], probe: Probe, *, with_lines: bool
    ) -> NoReturn:
        code = _FAILED
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_MOST_SECONDS)
            probe.install(with_lines=with_lines)
            act()
            code = _ENDED
        except Error:
            traceback.print_exc()
            code = _BROKE
        except BaseException:  # noqa: BLE001 - nothing may get back into the test
            traceback.print_exc()
        finally:
            points = [astuple(point) for point in probe.passed]
            self._told.write_text(json.dumps(points))
            os._exit(code)

    def points(self) -> list[Point]:
        """Return the points that it passed, if it was to count them."""
        text = self._told.read_text()
        return [Point(*point) for point in json.loads(text or "[]")]

    @property
    def was_killed(self) -> bool:
        """Return whether it died at its point."""
        status = self._status
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL

    @property
    def is_frozen(self) -> bool:
        """Return whether it stands still at its point."""
        return os.WIFSTOPPED(self._status)

    @property
    def broke(self) -> bool:
        """Return whether it ended with an error of the database."""
        return self._exit_code == _BROKE

    @property
    def ended(self) -> bool:
        """Return whether it came to its end in peace."""
        return self._exit_code == _ENDED

    @property
    def _exit_code(self) -> int:
        return os.waitstatus_to_exitcode(self._status)

    def thaw(self) -> None:
        """Let it go on, and wait for its end."""
        os.kill(self.pid, signal.SIGCONT)
        self._status = os.waitpid(self.pid, 0)[1]

    def forget(self) -> None:
        """Remove what it told; end it if it still stands still."""
        self._told.unlink(missing_ok=True)
        if self.is_frozen:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
