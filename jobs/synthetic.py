"""The `sleep` kind: work of a known cost, and failures on request, for load tests."""

import os
import signal
import time
from collections.abc import Generator
from typing import Any

from jobs.errors import PermanentError, RetryableError
from jobs.handlers import Assignment, Checkpoint, Kind, Step


def sleep(assignment: Assignment) -> Generator[Step, Checkpoint, dict[str, Any]]:
    """Sleep `seconds` in `steps` checkpointed steps, then fail as asked.

    `fail` is absent, `retryable`, `permanent` or `kill` (of its own process).
    """
    payload = assignment.payload
    steps = int(payload.get("steps", 1))
    done = (assignment.checkpoint or {}).get("steps", 0)
    while done < steps:
        time.sleep(float(payload["seconds"]) / steps)
        done += 1
        checkpoint = yield _checkpoint(done, steps)
        done = checkpoint.done
    _fail(payload.get("fail"))
    return {"steps": done}


def _checkpoint(done: int, total: int) -> Step:
    state = {"steps": done}
    return lambda: Checkpoint(state=state, done=done, total=total, unit="steps")


def _fail(how: str | None) -> None:
    match how:
        case "retryable":
            raise RetryableError("asked_to_fail", "The payload asked for a failure.")
        case "permanent":
            raise PermanentError("asked_to_fail", "The payload asked for a failure.")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)


SLEEP = Kind(name="sleep", handler=sleep, prior_us=1_000_000)
