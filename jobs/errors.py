"""What a handler raises to end its attempt, and how any failure is described."""

import hashlib
import traceback
from dataclasses import dataclass
from math import isfinite
from typing import Any


class JobError(Exception):
    """A failure with a stable code and a message that tells what to do."""

    is_retryable = True

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


class RetryableError(JobError):
    """The same attempt may succeed later: the store was away, a lock was taken."""


class PermanentError(JobError):
    """Trying again cannot help: the input is wrong. A person decides."""

    is_retryable = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure as the ledger keeps it."""

    error: dict[str, Any]
    fingerprint: str
    traceback: str
    is_retryable: bool


def describe(exception: BaseException) -> Failure:
    """Turn an exception into the ledger's form.

    The fingerprint groups failures: same code or class, raised in the same function.
    """
    if isinstance(exception, JobError):
        error: Any = {"code": exception.code, "message": exception.message}
        error.update(exception.details)
        retryable = exception.is_retryable
    else:
        name = type(exception).__name__
        error = {"code": "unexpected_error", "message": f"{name}: {exception}"}
        retryable = True
    error = _writable(error)
    frames = traceback.extract_tb(exception.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].name}" if frames else ""
    identity = f"{error['code']}|{type(exception).__qualname__}|{where}"
    return Failure(
        error=error,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest()[:16],
        traceback=_text("".join(traceback.format_exception(exception))[-16_000:]),
        is_retryable=retryable,
    )


def _writable(value: Any) -> Any:
    """Return the value as the ledger can keep it: a failure must never be unwritable.

    Else the attempt would look lost, and its job like one that kills its worker.
    """
    if isinstance(value, dict):
        return {_text(str(key)): _writable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(each) for each in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and isfinite(value):
        return value
    return _text(str(value))


def _text(text: str) -> str:
    """Return the text without what PostgreSQL cannot keep: NUL and lone surrogates."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
