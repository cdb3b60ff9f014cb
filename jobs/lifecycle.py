"""The one table of a job's states and of the events that move it between them.

Pure: no Django. Services and the ledger's SQL take their states from here, the database
refuses any other move (the migration installs `TRANSITIONS` as a trigger), and
docs/job_lifecycle.md draws it.
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class State(StrEnum):
    """Where a job stands."""

    SCHEDULED = "scheduled"  # waits for its run_after
    QUEUED = "queued"  # waits for its turn
    DISPATCHED = "dispatched"  # an attempt is published and not started
    RUNNING = "running"  # a worker holds the attempt
    RETRYABLE = "retryable"  # failed; runs again at run_after
    SUCCEEDED = "succeeded"
    DEAD = "dead"  # out of attempts, poison or refused; a person decides
    CANCELLED = "cancelled"


class Event(StrEnum):
    """What happens to a job."""

    CREATED = "created"
    DUE = "due"  # run_after has come
    DISPATCHED = "dispatched"
    STARTED = "started"
    NOT_STARTED = "not_started"  # published, but no free worker took it
    YIELDED = "yielded"  # gave its slot back at a checkpoint
    LOST = "lost"  # the worker vanished; the job is not to blame yet
    POISONED = "poisoned"  # lost its worker, or its message, once too often
    FAILED = "failed"  # will be tried again
    BURIED = "buried"  # failed for good
    FINISHED = "finished"
    REVIVED = "revived"  # a person retries a dead job
    CANCELLED = "cancelled"
    # These four leave the state as it is.
    CANCEL_REQUESTED = "cancel_requested"  # takes effect at the next checkpoint
    DISCARDED = "discarded"  # a person has decided that a dead job stays dead
    RESTORED = "restored"  # and has thought better of it
    EDITED = "edited"  # a person gives a dead job another payload, and revives it


class Outcome(StrEnum):
    """How an attempt ended; a live attempt has none."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    YIELDED = "yielded"
    CANCELLED = "cancelled"


TERMINAL_STATES: Final = frozenset({State.SUCCEEDED, State.DEAD, State.CANCELLED})
WAITING_STATES: Final = frozenset({State.SCHEDULED, State.QUEUED, State.RETRYABLE})

TRANSITIONS: Final = MappingProxyType(
    {
        (State.SCHEDULED, Event.DUE): State.QUEUED,
        (State.RETRYABLE, Event.DUE): State.QUEUED,
        (State.QUEUED, Event.DISPATCHED): State.DISPATCHED,
        (State.DISPATCHED, Event.NOT_STARTED): State.QUEUED,
        (State.DISPATCHED, Event.STARTED): State.RUNNING,
        (State.DISPATCHED, Event.POISONED): State.DEAD,
        (State.RUNNING, Event.YIELDED): State.QUEUED,
        (State.RUNNING, Event.LOST): State.QUEUED,
        (State.RUNNING, Event.POISONED): State.DEAD,
        (State.RUNNING, Event.FAILED): State.RETRYABLE,
        (State.RUNNING, Event.BURIED): State.DEAD,
        (State.RUNNING, Event.FINISHED): State.SUCCEEDED,
        (State.DEAD, Event.REVIVED): State.QUEUED,
        (State.SCHEDULED, Event.CANCELLED): State.CANCELLED,
        (State.QUEUED, Event.CANCELLED): State.CANCELLED,
        (State.RETRYABLE, Event.CANCELLED): State.CANCELLED,
        (State.DISPATCHED, Event.CANCELLED): State.CANCELLED,
        (State.RUNNING, Event.CANCELLED): State.CANCELLED,
        (State.RUNNING, Event.CANCEL_REQUESTED): State.RUNNING,
        (State.DEAD, Event.DISCARDED): State.DEAD,
        (State.DEAD, Event.RESTORED): State.DEAD,
        (State.DEAD, Event.EDITED): State.DEAD,
    }
)


class InvalidTransitionError(ValueError):
    """An event came that the job's state does not allow."""


def next_state(state: State, event: Event) -> State:
    """Return the state that follows an event.

    Raises InvalidTransitionError when the table has no such move.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidTransitionError(f"a {state} job cannot be {event}") from None


def sources(event: Event) -> list[State]:
    """Return the states an event may start from, for compare-and-set updates."""
    return [state for state, known in TRANSITIONS if known is event]


def target(event: Event) -> State:
    """Return the one state an event leads to."""
    (state,) = {after for (_, known), after in TRANSITIONS.items() if known is event}
    return state
