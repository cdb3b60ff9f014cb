"""What people do with mismatches, and what stands in its way. Pure: no Django.

A deed is an action of lifecycle.py with what a person said about it. It is refused as a
whole where something is missing (DeedError), and mismatch by mismatch where its state
or the four eyes do not allow it: `why_not` says so in words that follow a count.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from reconciliation.lifecycle import (
    Action,
    Reason,
    State,
    TransitionError,
    next_state,
)

MOST_CHARACTERS: Final = 1_000
#: Reasons that say nothing without a note.
NEED_A_NOTE: Final = frozenset({Reason.OTHER, Reason.WRITTEN_OFF})
#: What a person may say; that two rows match is said by matching them.
REASONS: Final = tuple(reason for reason in Reason if reason is not Reason.MATCHED)
CHANGED_MEANWHILE: Final = "changed meanwhile"

_STANDING: Final = MappingProxyType(
    {
        State.OPEN: "open",
        State.ASSIGNED: "assigned",
        State.RESOLVED: "resolved already",
        State.APPROVED: "approved already",
        State.CLOSED: "closed by a run",
    }
)


class DeedError(ValueError):
    """Something that a person has to say is missing, or cannot be said."""


class Standing(NamedTuple):
    """How a mismatch stands, as far as deeds depend on it."""

    state: str
    reason_code: str
    resolved_by: str
    assignee_id: int | None
    needs_approval: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """An action, who does it, and what they say."""

    action: Action
    by: str
    text: str = ""
    #: Of whom it shall be from now on.
    assignee_id: int | None = None
    reason_code: str = ""
    #: The match by hand that does it.
    match_id: int | None = None
    #: The last line of any history that the person saw: what has a later one is left.
    seen: int | None = None

    def __post_init__(self) -> None:
        """Raise DeedError for nobody's deed, and for a text that is too long."""
        if not self.by:
            raise DeedError("Somebody has to do it: no login is given.")
        if len(self.text) > MOST_CHARACTERS:
            raise DeedError(f"Use at most {MOST_CHARACTERS:,} characters.")

    @property
    def sources(self) -> list[State]:
        """Return the states that it may start from."""
        return [state for state in State if _target(state, self.action) is not None]

    @property
    def target(self) -> State | None:
        """Return the state that it leads to; None if it leaves all as they are."""
        if self.action is Action.NOTED:
            return None
        (state,) = {_target(source, self.action) for source in self.sources}
        return state


def resolution(
    *, by: str, reason: str, note: str = "", seen: int | None = None
) -> Deed:
    """Return what resolves for a reason. Raises DeedError."""
    code = next((each for each in Reason if each == reason), None)
    if code is None:
        raise DeedError(f"Choose a reason, one of: {', '.join(REASONS)}.")
    if code not in REASONS:
        raise DeedError("Rows that belong together are matched by hand.")
    note = note.strip()
    if code in NEED_A_NOTE and not note:
        raise DeedError(f"With {code.label!r} a note has to say why.")
    return Deed(
        action=Action.RESOLVED,
        by=by,
        text=_sentences(code.label, note),
        reason_code=code,
        seen=seen,
    )


def of_match(*, action: Action, by: str, match_id: int, note: str) -> Deed:
    """Return what a match by hand, or its end, does to the mismatches of its rows."""
    return Deed(
        action=action,
        by=by,
        text=_sentences(match_mark(match_id), note),
        reason_code=Reason.MATCHED if action is Action.RESOLVED else "",
        match_id=match_id,
    )


def match_mark(match_id: int) -> str:
    """Return how the history names a match."""
    return f"Match {match_id}"


def with_text(text: str, what: str) -> str:
    """Return a text that a person has to give. Raises DeedError."""
    text = text.strip()
    if not text:
        raise DeedError(f"Say {what}.")
    return text


def why_not(deed: Deed, standing: Standing) -> str:
    """Return what a mismatch is that the deed leaves alone, or "" if it does not."""
    state = State(standing.state)
    if _target(state, deed.action) is None:
        return _STANDING[state]
    is_same = standing.assignee_id is not None and (
        standing.assignee_id == deed.assignee_id
    )
    if deed.action is Action.ASSIGNED and is_same:
        return "theirs already"
    if deed.action is Action.APPROVED:
        return _unapproved(deed, standing)
    is_matched = standing.reason_code == Reason.MATCHED and deed.match_id is None
    if deed.action is Action.REOPENED and is_matched:
        return "resolved by a match, which can be undone"
    return ""


def _unapproved(deed: Deed, standing: Standing) -> str:
    if not standing.needs_approval:
        return "of a profile that needs no approval"
    if not standing.resolved_by:
        return "resolved by a rule"
    if standing.resolved_by == deed.by:
        return "resolved by yourself"
    return ""


def _target(state: State, action: Action) -> State | None:
    try:
        return next_state(state, action)
    except TransitionError:
        return None


def _sentences(first: str, rest: str) -> str:
    return f"{first}. {rest}" if rest else f"{first}."
