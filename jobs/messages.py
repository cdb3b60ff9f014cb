"""What a message must look like to be worked on, and what is told of one that does not.

A message names attempts and nothing more. Fields that a newer version added are let
through; whatever is missing or is not what it says makes the message unreadable here,
in the worker's own process, before a child is given it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kombu.message import Message

from jobs.queues import RUN_ATTEMPT

#: Far more than the ids of the largest bundle.
MOST_BYTES: Final = 256 * 1024
MOST_ATTEMPTS: Final = 10_000
_LARGEST_ID: Final = 2**63 - 1

UNDECODABLE: Final = "undecodable"
UNKNOWN_TASK: Final = "unknown_task"
INVALID: Final = "invalid"


@dataclass(frozen=True, slots=True)
class UnreadableMessageError(Exception):
    """A message that nobody can work on: the reason's code, and what was wrong."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def task_of(message: Message) -> str | None:
    """Return the name of the message's task; None in the old protocol without one.

    Raises UnreadableMessageError.
    """
    headers = message.headers
    if not isinstance(headers, Mapping):
        raise UnreadableMessageError(INVALID, "the headers are not a table")
    if "task" not in headers:
        return None
    if not isinstance(headers["task"], str):
        raise UnreadableMessageError(INVALID, "the name of the task is not a text")
    return str(headers["task"])


def attempts_of(message: Message) -> list[int]:
    """Return the attempts that a message of the task RUN_ATTEMPT names.

    Raises UnreadableMessageError.
    """
    task = task_of(message)
    if task is None:
        raise UnreadableMessageError(INVALID, "the message names no task")
    if task != RUN_ATTEMPT:
        raise UnreadableMessageError(UNKNOWN_TASK, "no such task works on a pool")
    _check_headers(message.headers)
    size = len(message.body or b"")
    if size > MOST_BYTES:
        raise UnreadableMessageError(
            INVALID, f"the body has {size} bytes, more than {MOST_BYTES}"
        )
    if message.errors:
        raise UnreadableMessageError(UNDECODABLE, "the envelope cannot be read")
    try:
        content = message.decode()
    except Exception as error:
        name = type(error).__name__
        raise UnreadableMessageError(
            UNDECODABLE, f"the body cannot be decoded ({name})"
        ) from error
    return _ids(content)


def _check_headers(headers: Mapping[str, Any]) -> None:
    """Refuse what Celery would stumble over, or hold back in its memory."""
    if not isinstance(headers.get("id"), str):
        raise UnreadableMessageError(INVALID, "the message has no id")
    if headers.get("eta") or headers.get("expires"):
        raise UnreadableMessageError(INVALID, "the ledger keeps delays, not messages")
    limit = headers.get("timelimit")
    is_pair = limit is None or (isinstance(limit, list | tuple) and len(limit) == 2)
    if not is_pair or not all(_is_duration(each) for each in limit or ()):
        raise UnreadableMessageError(INVALID, "the time limit is not a pair of numbers")


def _is_duration(value: Any) -> bool:
    return value is None or (
        isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    )


def _ids(content: Any) -> list[int]:
    if not isinstance(content, list | tuple) or len(content) != 3:
        raise UnreadableMessageError(INVALID, "the body is not args, kwargs and embed")
    arguments, named, embed = content
    if not isinstance(named, Mapping) or not isinstance(embed, Mapping | None):
        raise UnreadableMessageError(INVALID, "kwargs or embed is not a mapping")
    if arguments:
        raise UnreadableMessageError(INVALID, "the task takes no positional arguments")
    attempt_ids = named.get("attempt_ids")
    if not isinstance(attempt_ids, list) or not attempt_ids:
        raise UnreadableMessageError(INVALID, "attempt_ids is not a list of attempts")
    if len(attempt_ids) > MOST_ATTEMPTS:
        raise UnreadableMessageError(INVALID, "attempt_ids names too many attempts")
    if not all(_is_id(each) for each in attempt_ids):
        raise UnreadableMessageError(INVALID, "attempt_ids holds what is not an id")
    return list(attempt_ids)


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 < value <= _LARGEST_ID


def raw_body(message: Message) -> bytes:
    """Return the body's bytes as they travelled."""
    body = message.body
    if isinstance(body, str):
        # A transport that decoded it did so strictly, by the encoding it names.
        try:
            return body.encode(message.content_encoding or "utf-8")
        except (LookupError, ValueError):
            return body.encode(errors="surrogateescape")
    return bytes(body or b"")
