"""The pauses before a dead component is started again."""

from taskqueue_site.restarts import Restarts


def test_pauses_grow_to_the_longest_one() -> None:
    restarts = Restarts()
    pauses = []
    for now in range(7):
        restarts.started(now)
        pauses.append(restarts.died(now + 0.5))
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_minute_of_life_starts_the_pauses_anew() -> None:
    restarts = Restarts()
    for now in (0, 10):
        restarts.started(now)
        restarts.died(now + 1)
    restarts.started(100)
    assert restarts.died(159.9) == 4
    restarts.started(200)
    assert restarts.died(260) == 1


def test_a_restart_is_due_when_its_pause_is_over() -> None:
    restarts = Restarts()
    assert not restarts.is_due(1e9)
    restarts.started(10)
    restarts.died(20)
    assert not restarts.is_due(20.9)
    assert restarts.is_due(21)
    restarts.started(21)
    assert not restarts.is_due(30)
