"""The registry of job kinds, and what a handler is.

A handler is a generator. It reads and prepares freely, and for every piece of work it
yields a `Step`: a function that writes that piece's effects and returns the checkpoint
to resume from. The runner calls the step inside one transaction with the checkpoint and
the fence (jobs/runner.py), then sends the committed checkpoint back into the generator.
What the generator returns becomes the job's result.

Steps should take well under the kind's quantum: between two of them, and nowhere else,
a job gives its slot to a tenant that is behind in its share.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from fairshare.backoff import Backoff

JSONDict = dict[str, Any]

DEFAULT_PRIOR_US: Final = 100_000
DEFAULT_QUANTUM_US: Final = 2_000_000
DEFAULT_BACKOFF: Final = Backoff()
#: Above the longest time that an attempt takes whose steps are short.
DEFAULT_TIME_LIMIT_SECONDS: Final = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a handler is told about the job it works on."""

    job_id: UUID
    tenant: str
    attempt_id: int
    kind: str
    payload: JSONDict
    #: State of the last committed checkpoint; None on a first start.
    checkpoint: JSONDict | None
    #: When this attempt started, by the database's clock.
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A point to resume from, committed together with the effects before it."""

    state: JSONDict
    done: int = 0
    total: int | None = None
    unit: str = ""
    #: Nothing is left but to return the result: no moment to give the slot back.
    is_last: bool = False
    #: Usage of this step alone: `(meter, part and chunk) -> quantity`.
    usage: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finish:
    """A result, and the last progress with it: saves a step that has no effects."""

    result: JSONDict
    checkpoint: Checkpoint | None


Step = Callable[[], Checkpoint]
Steps = Generator[Step, Checkpoint, JSONDict | Finish]
Handler = Callable[[Assignment], Steps]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of job: its name, its handler and its policy."""

    name: str
    handler: Handler
    max_attempts: int = 5
    #: How long to wait after a failure.
    backoff: Backoff = DEFAULT_BACKOFF
    #: Seconds after which one attempt is ended by force, at work or stuck.
    time_limit_seconds: int = DEFAULT_TIME_LIMIT_SECONDS
    #: Seconds of worker time that a job may take over all its attempts; it is looked
    #: at between steps. None: as many as it needs.
    deadline_seconds: int | None = None
    #: Worker-microseconds assumed before anything of this kind was measured.
    prior_us: int = DEFAULT_PRIOR_US
    #: Worker-microseconds after which a job gives its slot back if somebody waits.
    quantum_us: int = DEFAULT_QUANTUM_US
    #: Called in the transaction that ends the job dead or cancelled.
    on_unfinished: Callable[[UUID], None] | None = None
    #: Prepares what a small job of this kind needs for a tenant and returns its
    #: payload: small, but of several steps. The crash points are taken from it.
    sample: Callable[[str], JSONDict] | None = None
    #: Returns a tenant's payload as the handler reads it, or raises PayloadError
    #: (jobs/payloads.py). Without it the payload of a dead job cannot be edited.
    check_payload: Callable[[str, JSONDict], JSONDict] | None = None
    #: Says why a dead job can only go on with the payload it has, or "". A kind that
    #: counts usage has to refuse once it did: the same chunk is not counted twice.
    why_fixed: Callable[[UUID], str] | None = None
    #: Called in the transaction that gives a dead job another payload: lets go of what
    #: was begun with the old one, since the job starts from the beginning.
    on_edited: Callable[[UUID], None] | None = None


class UnknownKindError(LookupError):
    """No handler is registered under that name in this process."""


_kinds: Final[dict[str, Kind]] = {}


def register(kind: Kind) -> None:
    """Make a kind known to this process; registering it again changes nothing."""
    known = _kinds.setdefault(kind.name, kind)
    if known is not kind:
        raise ValueError(f"two handlers claim the kind {kind.name!r}")


def get(name: str) -> Kind:
    """Return the kind of that name.

    Raises UnknownKindError.
    """
    try:
        return _kinds[name]
    except KeyError:
        raise UnknownKindError(f"no handler for kind {name!r}") from None


def names() -> list[str]:
    """Return the names of every registered kind."""
    return sorted(_kinds)


def end_unfinished(kind: str, job_id: UUID) -> None:
    """Let a kind write what the end of its job without success means to it.

    In the transaction that ends the job.
    """
    known = _kinds.get(kind)
    if known is not None and known.on_unfinished is not None:
        known.on_unfinished(job_id)


def why_fixed(kind: str, job_id: UUID) -> str:
    """Return why a dead job of the kind can only go on with its payload, or ""."""
    known = _kinds.get(kind)
    return "" if known is None or known.why_fixed is None else known.why_fixed(job_id)


def edited(kind: str, job_id: UUID) -> None:
    """Let a kind let go of what a job began with the payload that it has no more.

    In the transaction that gives the job another one.
    """
    known = _kinds.get(kind)
    if known is not None and known.on_edited is not None:
        known.on_edited(job_id)


def quantum_us(kind: str) -> int:
    """Return after what time a job of the kind gives its slot to who waits for it."""
    known = _kinds.get(kind)
    return DEFAULT_QUANTUM_US if known is None else known.quantum_us


def backoff(kind: str) -> Backoff:
    """Return how long a job of the kind waits after a failure."""
    known = _kinds.get(kind)
    return DEFAULT_BACKOFF if known is None else known.backoff


def time_limit_seconds(kind: str) -> int:
    """Return how long one attempt at a job of the kind may take."""
    known = _kinds.get(kind)
    return DEFAULT_TIME_LIMIT_SECONDS if known is None else known.time_limit_seconds


def prior_us(kind: str) -> int:
    """Return the cost assumed for a kind of which nothing was measured yet."""
    known = _kinds.get(kind)
    return DEFAULT_PRIOR_US if known is None else known.prior_us
