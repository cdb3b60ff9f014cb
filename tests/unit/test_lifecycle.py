"""The table of states and events."""

import pytest

from jobs.lifecycle import (
    TERMINAL_STATES,
    TRANSITIONS,
    WAITING_STATES,
    Event,
    InvalidTransitionError,
    State,
    next_state,
    sources,
    target,
)


def test_a_job_runs_from_queue_to_success():
    state = State.QUEUED
    for event in (Event.DISPATCHED, Event.STARTED, Event.FINISHED):
        state = next_state(state, event)
    assert state is State.SUCCEEDED


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED])
@pytest.mark.parametrize("event", list(Event))
def test_nothing_leaves_a_final_state(state: State, event: Event):
    with pytest.raises(InvalidTransitionError, match=f"a {state} job"):
        next_state(state, event)


def test_only_a_person_brings_a_dead_job_back():
    events = {event for (state, event) in TRANSITIONS if state is State.DEAD}
    stays = {event for event in events if next_state(State.DEAD, event) is State.DEAD}
    assert events - stays == {Event.REVIVED}
    assert stays == {Event.DISCARDED, Event.RESTORED, Event.EDITED}


def test_every_state_is_reached_and_every_event_used():
    reached = set(TRANSITIONS.values()) | {State.SCHEDULED}
    assert reached == set(State)
    assert {event for (_, event) in TRANSITIONS} == set(Event) - {Event.CREATED}
    assert TERMINAL_STATES.isdisjoint(WAITING_STATES)


def test_each_event_has_one_target():
    for event in Event:
        assert all(
            next_state(state, event) is target(event) for state in sources(event)
        )
