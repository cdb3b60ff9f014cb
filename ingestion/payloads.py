"""What the payload of an ingest may be."""

from rest_framework import serializers

from ingestion.profiles import source_for
from ingestion.sources.registry import UnknownSourceError
from ingestion.storage import UnsafePathError, object_key
from jobs.fields import StrictBooleanField, StrictCharField
from jobs.payloads import PayloadInput


class IngestPayload(PayloadInput):
    """A stored file, and how to read it."""

    payload_fields = ("s3_path", "source", "reload")

    s3_path = StrictCharField(
        help_text="Path below the tenant's own prefix. The file may arrive later than "
        "this call, but not later than the job's start.",
    )
    source = StrictCharField(  # type: ignore[assignment] # a field, not its source
        max_length=64,
        help_text="Name of a format, exactly as in docs/formats.md, or of a dialect.",
    )
    reload = StrictBooleanField(
        required=False,
        help_text="Load it even if a file with the same content was loaded before.",
    )

    def validate_s3_path(self, value: str) -> str:
        """Refuse a path that could leave the tenant's prefix."""
        try:
            object_key(self.context["tenant"], value)
        except UnsafePathError as error:
            raise serializers.ValidationError(str(error), code="unsafe_path") from None
        return value

    def validate_source(self, value: str) -> str:
        """Refuse a source that no reader exists for."""
        try:
            source_for(tenant=self.context["tenant"], name=value)
        except UnknownSourceError as error:
            raise serializers.ValidationError(
                str(error), code="unknown_source"
            ) from None
        return value
