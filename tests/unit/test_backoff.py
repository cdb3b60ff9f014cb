"""The delay between attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairshare.backoff import BASE_SECONDS, CAP_SECONDS, delay_seconds


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_delay_stays_within_a_tenth_of_its_exact_value(
    failures: int, jitter: float
):
    exact = min(CAP_SECONDS, BASE_SECONDS * 2 ** min(failures - 1, 64))
    assert 0.9 * exact <= delay_seconds(failures, jitter=jitter) <= 1.1 * exact


def test_jitter_tells_jobs_apart_that_failed_together():
    assert delay_seconds(3, jitter=0.1) != delay_seconds(3, jitter=0.2)


@pytest.mark.parametrize(("failures", "jitter"), [(0, 0.5), (1, 1.0), (1, -0.1)])
def test_nonsense_is_refused(failures: int, jitter: float):
    with pytest.raises(ValueError, match="out of range"):
        delay_seconds(failures, jitter=jitter)
