"""Serializer fields that take exactly what the documentation says, and guess nothing.

The framework's own turn 5 into "5", "5" and full-width digits into 5, and give a time
without an offset the server's zone.
"""

import math
import re
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from rest_framework import serializers

from tenants.models import MOST_CHARACTERS

_ISO_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
#: The one way in which ids are written here.
CANONICAL_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
#: Further out, a time zone's offset leads past the years that Python knows.
_YEARS: Final = range(1970, 9999)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses keys that it does not know."""

    default_error_messages = {
        "invalid": "The body must be a JSON object.",
        "unknown_field": "There is no such field.",
    }

    def to_internal_value(self, data: Any) -> Any:
        """Return the validated values; unknown keys count among the errors."""
        unknown = self._unknown_keys(data)
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if not isinstance(error.detail, dict):
                raise
            raise serializers.ValidationError({**error.detail, **unknown}) from None
        if unknown:
            raise serializers.ValidationError(unknown)
        return values

    def _unknown_keys(self, data: Any) -> dict[str, list[Any]]:
        if not isinstance(data, dict):
            return {}
        message = str(self.error_messages["unknown_field"])
        detail = serializers.ErrorDetail(message, "unknown_field")
        return {key: [detail] for key in data if key not in self.fields}


class StrictCharField(serializers.CharField):
    """A string as given: not stripped, and not made of a number."""

    default_error_messages = {"invalid": "Give a string."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        """Return the string."""
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class ReasonField(StrictCharField):
    """Why somebody decides so: one line, in which spaces do not count."""

    default_error_messages = {"unprintable": "Use printable characters only."}

    def __init__(
        self, *, help_text: str = "One line for the log of each job.", **kwargs: Any
    ) -> None:
        super().__init__(max_length=MOST_CHARACTERS, help_text=help_text, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        """Return the line."""
        line = " ".join(super().to_internal_value(data).split())
        if not line:
            self.fail("blank")
        if not line.isprintable():
            self.fail("unprintable")
        return line


class NameField(serializers.ChoiceField):
    """One of a few names."""

    default_error_messages = {"invalid_choice": "Give one of: {known}."}

    def to_internal_value(self, data: Any) -> Any:
        """Return the name."""
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", known=", ".join(map(str, self.choices)))
        return data


class StrictIntegerField(serializers.IntegerField):
    """A JSON number without a fraction; not a string and not a boolean."""

    default_error_messages = {"invalid": "Give a whole number."}

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return data


class StrictNumberField(serializers.FloatField):
    """A finite JSON number; not a string and not a boolean."""

    default_error_messages = {"invalid": "Give a number."}

    def to_internal_value(self, data: Any) -> float:
        """Return the number."""
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            value = float(data)
        except OverflowError:
            self.fail("invalid")
        if not math.isfinite(value):
            self.fail("invalid")
        return value


class MomentField(serializers.DateTimeField):
    """A moment: ISO 8601 with an offset comes in, UTC with microseconds goes out."""

    default_error_messages = {
        "invalid": "Give a time like 2026-11-24T09:42:19+05:30.",
        "offset_required": "Add the offset from UTC, as in 2026-11-24T09:42:19+05:30.",
        "out_of_range": "Give a year from 1970 to 9998.",
    }

    def to_internal_value(self, value: Any) -> datetime:
        """Return the moment in UTC."""
        match = _ISO_TIME.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            self.fail("invalid")
        if match[3] is None:
            self.fail("offset_required")
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail("invalid")
        if moment.year not in _YEARS:
            self.fail("out_of_range")
        return moment.astimezone(UTC)

    def to_representation(self, value: datetime) -> str:
        """Return six digits of microseconds always, so that texts sort as times do."""
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class StrictBooleanField(serializers.BooleanField):
    """true or false; not a string and not a number."""

    default_error_messages = {"invalid": "Give true or false."}

    def to_internal_value(self, data: Any) -> bool:
        """Return the truth value."""
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class IdField(serializers.UUIDField):
    """The id of a job, in the one way that ids are written here."""

    def to_internal_value(self, data: Any) -> UUID:
        """Return the id."""
        if not isinstance(data, str) or not CANONICAL_ID.fullmatch(data):
            self.fail("invalid")
        return UUID(data)
