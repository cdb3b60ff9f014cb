"""What payloads may be, and how a refusal reads."""

from typing import Any

import pytest

from ingestion.handlers import INGEST
from jobs.fields import StrictCharField, StrictSerializer
from jobs.handlers import Kind
from jobs.payloads import PayloadError, PayloadInput, checked_by, payload_of
from jobs.synthetic import SLEEP


def check(kind: Kind, payload: Any) -> Any:
    assert kind.check_payload is not None
    return kind.check_payload("t1", payload)


def refusal(kind: Kind, payload: Any) -> dict[str, str]:
    with pytest.raises(PayloadError) as caught:
        check(kind, payload)
    return dict(caught.value.flaws())


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (INGEST, {"s3_path": "a.csv", "source": "UPI"}),
        (SLEEP, {"seconds": 1.5, "steps": 3, "fail": "kill"}),
    ],
)
def test_a_good_payload_stays_as_it_is(kind: Kind, payload: Any):
    assert check(kind, payload) == payload


def test_what_is_left_out_is_filled_in_as_an_enqueue_call_does():
    assert check(SLEEP, {"seconds": 1}) == {"seconds": 1.0, "steps": 1}


@pytest.mark.parametrize(
    ("kind", "payload", "field"),
    [
        (INGEST, {"s3_path": "a.csv"}, "source"),
        (INGEST, {"s3_path": "../a.csv", "source": "UPI"}, "s3_path"),
        (INGEST, {"s3_path": "tenants/t2/a.csv", "source": "UPI"}, "s3_path"),
        (INGEST, {"s3_path": 1, "source": "UPI"}, "s3_path"),
        # What an enqueue call takes beside the payload is no part of it.
        (INGEST, {"s3_path": "a", "source": "UPI", "priority": "high"}, "priority"),
        (SLEEP, {"seconds": True}, "seconds"),
        (SLEEP, {"seconds": 1, "tenant_id": "t1"}, "tenant_id"),
        (SLEEP, {"seconds": 1, "fail": "never"}, "fail"),
    ],
)
def test_a_bad_payload_is_refused_by_its_field(kind: Kind, payload: Any, field: str):
    assert list(refusal(kind, payload)) == [field]


def test_a_flaw_inside_a_list_is_named_by_its_place():
    class Part(StrictSerializer):
        name = StrictCharField()

    class Parts(PayloadInput):
        payload_fields = ("parts",)
        parts = Part(many=True)

    with pytest.raises(PayloadError, match=r"^parts/1/name: Give a string\.$"):
        checked_by(Parts)("t1", {"parts": [{"name": "a"}, {"name": 1}]})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", r"Expecting property name enclosed in double quotes at line 1 column 2."),
        ("[]", "The payload must be a JSON object."),
        ('{"a": "\\u0000"}', "The text has a NUL character. (/a)"),
        ('{"a": 1, "a": 2}', "The key 'a' stands twice in one object."),
    ],
)
def test_what_is_typed_must_be_one_clear_object(text: str, line: str):
    with pytest.raises(PayloadError) as caught:
        payload_of(text)
    assert caught.value.lines() == [line]
    assert payload_of('{"a": 1}') == {"a": 1}
