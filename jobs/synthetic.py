"""The `sleep` kind: work of a known cost, and failures on request, for load tests."""

import os
import signal
import time

from jobs.errors import PermanentError, RetryableError
from jobs.fields import NameField, StrictIntegerField, StrictNumberField
from jobs.handlers import Assignment, Checkpoint, Finish, JSONDict, Kind, Step, Steps
from jobs.payloads import PayloadInput, checked_by


class SleepPayload(PayloadInput):
    """A job of known cost, which fails as asked."""

    payload_fields = ("seconds", "steps", "fail")

    seconds = StrictNumberField(
        min_value=0, max_value=3600, help_text="How long to sleep in all."
    )
    steps = StrictIntegerField(
        min_value=1, max_value=10_000, default=1, help_text="Checkpoints on the way."
    )
    fail = NameField(  # type: ignore[assignment] # a field, not the method
        choices=["retryable", "permanent", "kill"],
        required=False,
        help_text="How to end, after the last step; `kill` ends the worker's process.",
    )


def sleep(assignment: Assignment) -> Steps:
    """Sleep `seconds` in `steps` checkpointed steps, then fail as asked.

    `fail` is absent, `retryable`, `permanent` or `kill` (of its own process).
    """
    payload = assignment.payload
    steps = int(payload.get("steps", 1))
    done = (assignment.checkpoint or {}).get("steps", 0)
    while done < steps:
        time.sleep(float(payload["seconds"]) / steps)
        done += 1
        if done < steps or "fail" in payload:
            # Without a failure to come, the last checkpoint travels with the result.
            yield _step(done, steps)
    _fail(payload.get("fail"))
    return Finish({"steps": done}, _checkpoint(done, steps))


def _step(done: int, total: int) -> Step:
    return lambda: _checkpoint(done, total)


def _checkpoint(done: int, total: int) -> Checkpoint:
    return Checkpoint(state={"steps": done}, done=done, total=total, unit="steps")


def _fail(how: str | None) -> None:
    match how:
        case "retryable":
            raise RetryableError("asked_to_fail", "The payload asked for a failure.")
        case "permanent":
            raise PermanentError("asked_to_fail", "The payload asked for a failure.")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)


def sample(_tenant: str) -> JSONDict:
    """Return the payload of three steps of a millisecond."""
    return {"seconds": 0.003, "steps": 3}


SLEEP = Kind(
    name="sleep",
    handler=sleep,
    prior_us=100_000,
    sample=sample,
    check_payload=checked_by(SleepPayload),
)
