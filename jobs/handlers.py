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

JSONDict = dict[str, Any]

DEFAULT_PRIOR_US: Final = 100_000
DEFAULT_QUANTUM_US: Final = 2_000_000


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
    #: Worker-microseconds assumed before anything of this kind was measured.
    prior_us: int = DEFAULT_PRIOR_US
    #: Worker-microseconds after which a job gives its slot back if somebody waits.
    quantum_us: int = DEFAULT_QUANTUM_US
    #: Called in the transaction that declares the job dead.
    on_dead: Callable[[UUID], None] | None = None
    #: Prepares what a small job of this kind needs for a tenant and returns its
    #: payload: small, but of several steps. The crash points are taken from it.
    sample: Callable[[str], JSONDict] | None = None


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


def bury(kind: str, job_id: UUID) -> None:
    """Let a kind write what the death of its job means, in the open transaction."""
    known = _kinds.get(kind)
    if known is not None and known.on_dead is not None:
        known.on_dead(job_id)


def quantum_us(kind: str) -> int:
    """Return after what time a job of the kind gives its slot to who waits for it."""
    known = _kinds.get(kind)
    return DEFAULT_QUANTUM_US if known is None else known.quantum_us


def prior_us(kind: str) -> int:
    """Return the cost assumed for a kind of which nothing was measured yet."""
    known = _kinds.get(kind)
    return DEFAULT_PRIOR_US if known is None else known.prior_us
