"""The one table of a mismatch's states and of what moves it between them.

Pure: no Django. Runs find and close; people assign, resolve, approve and reopen.

    open ──assign──> assigned ──resolve──> resolved ──approve──> approved
      └───────────────resolve─────────────────┘
    any of them ──reopen──> open;  open, assigned ──a run──> closed
"""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class State(StrEnum):
    """Where a mismatch stands."""

    OPEN = "open"  # nobody has it yet
    ASSIGNED = "assigned"  # somebody has it
    RESOLVED = "resolved"  # somebody, or a rule, has said why it is no trouble
    APPROVED = "approved"  # and somebody else agrees
    CLOSED = "closed"  # a run found that it is gone


class Action(StrEnum):
    """What happens to a mismatch; each is a line of its history."""

    FOUND = "found"  # by a run, for the first time or again
    CHANGED = "changed"  # a run tells it otherwise
    ASSIGNED = "assigned"
    UNASSIGNED = "unassigned"
    NOTED = "noted"  # leaves the state as it is
    RESOLVED = "resolved"
    APPROVED = "approved"
    REOPENED = "reopened"
    CLOSED = "closed"  # by a run


class Reason(StrEnum):
    """Why a mismatch is no trouble (any more)."""

    label: str

    def __new__(cls, value: str, label: str) -> "Reason":
        """Make a code with what people call it."""
        made = str.__new__(cls, value)
        made._value_ = value
        made.label = label
        return made

    CORRECTED = "corrected", "Corrected in the books"
    TIMING = "timing", "Only a matter of time"
    ROUNDING = "rounding", "Rounding"
    FEE = "fee", "A fee that was due"
    BANK_ERROR = "bank_error", "The bank's error, reported to it"
    DUPLICATE = "duplicate", "Told twice, and harmless"
    MATCHED = "matched", "Matched by hand"
    WRITTEN_OFF = "written_off", "Written off"
    OTHER = "other", "Other; the note says"


#: States that somebody has to work off.
ACTIVE: Final = frozenset({State.OPEN, State.ASSIGNED})

TRANSITIONS: Final = MappingProxyType(
    {
        (State.OPEN, Action.ASSIGNED): State.ASSIGNED,
        (State.ASSIGNED, Action.ASSIGNED): State.ASSIGNED,
        (State.ASSIGNED, Action.UNASSIGNED): State.OPEN,
        (State.OPEN, Action.RESOLVED): State.RESOLVED,
        (State.ASSIGNED, Action.RESOLVED): State.RESOLVED,
        (State.RESOLVED, Action.APPROVED): State.APPROVED,
        (State.RESOLVED, Action.REOPENED): State.OPEN,
        (State.APPROVED, Action.REOPENED): State.OPEN,
        (State.OPEN, Action.CLOSED): State.CLOSED,
        (State.ASSIGNED, Action.CLOSED): State.CLOSED,
        (State.CLOSED, Action.FOUND): State.OPEN,
    }
)


class TransitionError(ValueError):
    """A mismatch in this state does not allow that."""


def next_state(state: State, action: Action) -> State:
    """Return where an action takes a mismatch.

    Raises TransitionError.
    """
    if action in (Action.NOTED, Action.CHANGED):
        return state
    try:
        return TRANSITIONS[state, action]
    except KeyError:
        text = f"a mismatch that is {state} cannot be {action}"
        raise TransitionError(text) from None
