"""What is planted is what the oracle finds, and every type is planted."""

from collections import Counter

import pytest

from benchmarks.reconcile.generator import AS_OF, TERMS, garden
from benchmarks.reconcile.oracle import reconcile

TYPES = {
    *("missing_internal", "missing_external", "amount", "currency", "status", "date"),
    *("duplicate", "ambiguous", "fee", "stale_pending"),
}


@pytest.mark.parametrize("hundred", range(5))
def test_the_oracle_finds_what_was_planted(hundred: int):
    for seed in range(100 * hundred, 100 * (hundred + 1)):
        grown = garden(seed)
        assert reconcile(grown.rows, TERMS, as_of=AS_OF) == grown.planted, seed


def test_every_type_and_every_shape_is_planted():
    types, rules = Counter[str](), Counter[int]()
    for seed in range(100):
        planted = garden(seed).planted
        types.update(mismatch.type for mismatch in planted.mismatches)
        rules.update(match.rule for match in planted.matches)
    assert set(types) == TYPES
    assert set(rules) == {1, 2, 3, 4}
    assert min(types.values()) >= 20


def test_the_same_seed_plants_the_same_rows():
    assert garden(7) == garden(7)
    assert garden(7) != garden(8)
