"""Who was entitled to how much of the worker time that a pool gave."""

import doctest
from itertools import permutations
from random import Random

import pytest

from fairshare import entitlement
from fairshare.entitlement import ANY_AMOUNT, Asker, Share, divide, shares


def asker(
    tenant: str,
    got: float,
    asked: float | None = None,
    *,
    weight: int = 1000,
    tier: str = "standard",
    tier_weight: int = 1,
) -> Asker:
    """A tenant that was content with what it got, unless it asked for more."""
    return Asker(
        tenant, tier, weight, tier_weight, got, got if asked is None else asked
    )


def entitled(*stretches: list[Asker]) -> dict[str, float]:
    return {name: share.entitled for name, share in shares(stretches).items()}


def test_the_examples_hold():
    assert doctest.testmod(entitlement).failed == 0


def test_tenants_that_always_wait_share_by_weight():
    a, b = asker("a", 9, ANY_AMOUNT), asker("b", 3, ANY_AMOUNT, weight=3000)
    assert shares([[a, b]]) == {"a": Share(0.25, 0.75), "b": Share(0.75, 0.25)}


def test_a_tenant_is_entitled_only_over_the_time_it_had_work():
    """b waits in one of four stretches: to half of that one, an eighth of all."""
    alone = [asker("a", 8, ANY_AMOUNT)]
    both = [asker("a", 8, ANY_AMOUNT), asker("b", 0, ANY_AMOUNT)]
    assert entitled(alone, both, alone, alone) == {"a": 0.875, "b": 0.125}


def test_a_tenant_that_waits_for_nothing_falls_short_of_nothing():
    found = shares([[asker("light", 1), asker("heavy", 99, ANY_AMOUNT)]])
    assert found == {"light": Share(0.01, 0.01), "heavy": Share(0.99, 0.99)}
    assert [share.shortfall for share in found.values()] == [0, 0]


def test_a_content_tenant_that_got_more_than_its_part_is_entitled_to_its_part():
    assert entitled([asker("a", 90), asker("b", 10, ANY_AMOUNT)]) == {
        "a": 0.5,
        "b": 0.5,
    }


def test_tiers_share_before_tenants_do():
    gold = [asker(t, 10, ANY_AMOUNT, tier="gold", tier_weight=3) for t in "ab"]
    base = [asker("c", 10, ANY_AMOUNT, weight=9000)]
    assert entitled([*gold, *base]) == {"a": 0.375, "b": 0.375, "c": 0.25}


def test_what_a_tier_does_not_want_goes_to_the_others():
    gold = asker("a", 2, tier="gold", tier_weight=3)
    assert entitled([gold, asker("c", 18, ANY_AMOUNT)]) == {"a": 0.1, "c": 0.9}


def test_busy_stretches_count_for_more():
    quiet = [asker("a", 1)]
    busy = [asker("a", 4, ANY_AMOUNT), asker("b", 5, ANY_AMOUNT)]
    assert entitled(quiet, busy) == {"a": 0.55, "b": 0.45}


@pytest.mark.parametrize("stretches", [[], [[]], [[asker("a", 0, ANY_AMOUNT)]]])
def test_a_pool_that_gave_nothing_entitles_to_nothing(stretches: list[list[Asker]]):
    assert set(entitled(*stretches).values()) <= {0.0}


def test_nobody_gets_more_than_it_wishes_nor_less_for_its_weight_than_others():
    source = Random(5)
    for _ in range(300):
        wishes = [
            (source.choice([1, 500, 4000]), source.choice([0, 1, 7.5, 40, ANY_AMOUNT]))
            for _ in range(source.randrange(1, 7))
        ]
        amount = min(50.0, sum(wish for _, wish in wishes))
        parts = divide(amount, wishes)
        assert sum(parts) == pytest.approx(amount)
        got = list(zip(wishes, parts, strict=True))
        for ((weight, wish), part), ((other, _), most) in permutations(got, 2):
            assert part <= wish + 1e-9
            if part < wish - 1e-9:
                assert part / weight >= most / other - 1e-9
