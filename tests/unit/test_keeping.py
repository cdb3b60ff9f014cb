"""What the ledger can keep: whatever a handler returns or raises has an end."""

import json
from typing import Any

import pytest

from jobs.errors import PermanentError, describe
from jobs.statements import to_json


@pytest.mark.parametrize("value", ["a\\u0000b", "\\\\u0000", "₹", "a\nb", 1.5, [1]])
def test_a_value_is_kept_as_it_is(value: Any):
    assert json.loads(str(to_json({"is": value}))) == {"is": value}


@pytest.mark.parametrize(
    "value", ["\0", "\\\0", "\ud800", float("nan"), float("inf"), [{"deep": "\0"}]]
)
def test_what_cannot_be_kept_is_refused_at_once(value: Any):
    with pytest.raises(ValueError, match=r"NUL|surrogates|JSON compliant"):
        to_json({"is": value})


@pytest.mark.parametrize(
    "value", ["\0", "\udcff", float("nan"), b"x", object(), {1: ["\0"]}, (1, 2)]
)
def test_a_failure_can_always_be_kept(value: Any):
    failure = describe(PermanentError("bad", f"bad: {value}\0", found=value))
    kept = json.loads(str(to_json(failure.error)))
    assert kept["code"] == "bad"
    assert kept["message"].startswith("bad: ")
    assert "\0" not in failure.traceback
