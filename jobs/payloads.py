"""What the payloads of a kind may be: its rules stand in one serializer.

The body of an enqueue call is that serializer with what any job has (EnqueueInput in
jobs/serializers.py); a payload that somebody edits is checked by it alone.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from jobs import strict_json
from jobs.fields import StrictSerializer
from jobs.strict_json import StrictJSONError

_NOT_AN_OBJECT = "The payload must be a JSON object."


class PayloadError(ValueError):
    """A payload that breaks the rules of its kind."""

    def __init__(self, errors: Mapping[str, Any]) -> None:
        #: The reasons of each field; they may be nested as the payload is. What is
        #: wrong with all of it stands under "".
        self.errors = errors
        super().__init__(" ".join(self.lines()))

    def lines(self) -> list[str]:
        """Return each reason, with its field in front."""
        return [f"{path}: {text}" if path else text for path, text in self.flaws()]

    def flaws(self) -> list[tuple[str, str]]:
        """Return the field, if there is one, and the text of each reason."""
        return list(_flaws(self.errors, ""))


def _flaws(errors: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(errors, Mapping):
        for key, value in errors.items():
            step = "" if key == "non_field_errors" else str(key)
            yield from _flaws(value, "/".join(filter(None, (path, step))))
    elif isinstance(errors, list):
        for value in errors:
            yield from _flaws(value, path)
    else:
        yield path, str(errors)


class PayloadInput(StrictSerializer):
    """The base of what the payloads of a kind may be; `tenant` is in the context."""

    #: The fields that the handler reads; an enqueue call has more.
    payload_fields: ClassVar[tuple[str, ...]]

    def payload(self) -> dict[str, Any]:
        """Return what the handler reads, once it is validated."""
        values = self.validated_data
        return {name: values[name] for name in self.payload_fields if name in values}


def checked_by(
    rules: type[PayloadInput],
) -> Callable[[str, dict[str, Any]], dict[str, Any]]:
    """Return what a `Kind` checks payloads with.

    A function of a tenant and a payload, which returns the payload as its handler reads
    it, and raises PayloadError.
    """

    def check(tenant: str, payload: dict[str, Any]) -> dict[str, Any]:
        found = rules(data=payload, context={"tenant": tenant})
        if not found.is_valid():
            raise PayloadError(found.errors)
        return found.payload()

    return check


def payload_of(text: str) -> dict[str, Any]:
    """Return the payload that a person has typed.

    Raises PayloadError unless it is a JSON object.
    """
    try:
        value = strict_json.loads(text)
    except StrictJSONError as error:
        where = f" ({error.pointer})" if error.pointer else ""
        raise PayloadError({"": [f"{error.detail}{where}"]}) from None
    if not isinstance(value, dict):
        raise PayloadError({"": [_NOT_AN_OBJECT]})
    return value
