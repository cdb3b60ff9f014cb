"""Files on the wire: how they are shown, and the query string of their list."""

import base64
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ingestion.models import REASON, TOTAL, FileFault, IngestedFile, Statement
from ingestion.selectors import (
    Artifact,
    FilePage,
    faults_of,
    file_page,
    statements_of,
)
from jobs.fields import MomentField, NameField, StrictCharField
from jobs.paging import DEFAULT_LIMIT, MAX_LIMIT, LimitField, Query

STATES: Final = IngestedFile.State.values
#: Faults and statements of one file that are shown; its summary has them all.
MOST_SHOWN: Final = 100
_ID_BYTES: Final = 8


class FileCursorField(serializers.CharField):
    """An opaque text that stands for the file where the page before this one ended."""

    default_error_messages = {"invalid": "Take the cursor from `next` as it is."}

    def to_internal_value(self, data: Any) -> int:  # type: ignore[override]
        """Return the file's id."""
        try:
            position = int.from_bytes(base64.urlsafe_b64decode(f"{data}="), "big")
        except ValueError:
            self.fail("invalid")
        if position >= 1 << 63 or cursor_of(position) != data:
            self.fail("invalid")
        return position


def cursor_of(file_id: int) -> str:
    """Return the cursor of the page that follows a file."""
    place = base64.urlsafe_b64encode(file_id.to_bytes(_ID_BYTES, "big"))
    return place.decode("ascii").rstrip("=")


class FilesQuery(Query):
    """The query string of the list of files."""

    state = NameField(choices=STATES, required=False)
    source = StrictCharField(  # type: ignore[assignment] # a field, not its source
        max_length=64, required=False
    )
    limit = LimitField(min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT)
    cursor = FileCursorField(required=False)

    def page(self) -> FilePage:
        """Return the page that the query asks for."""
        values = self.validated_data
        return file_page(
            limit=values["limit"],
            state=values.get("state"),
            source=values.get("source"),
            before=values.get("cursor"),
        )

    def path_after(self, file: IngestedFile) -> str:
        """Return the path of the page that follows, with the filters kept."""
        values = {**self.initial_data, "cursor": cursor_of(file.pk)}
        return f"{reverse('files')}?{urlencode(values)}"


@extend_schema_field(OpenApiTypes.DECIMAL)
class ExactField(serializers.Field[Decimal, Any, str, Any]):
    """An amount as a text with all its digits; for output."""

    def to_representation(self, value: Decimal) -> str:
        """Return the text."""
        return format(value, "f")


class CountsOutput(serializers.Serializer[Any]):
    """What became of the rows; those that are flagged are counted among the others."""

    rows = serializers.IntegerField()
    inserted = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    conflicting = serializers.IntegerField()
    rejected = serializers.IntegerField()
    flagged = serializers.IntegerField()


class TotalOutput(serializers.Serializer[Any]):
    """What the accepted rows of one sort add up to."""

    currency = serializers.CharField()
    status = serializers.CharField()
    direction = serializers.CharField()
    rows = serializers.IntegerField()
    amount = serializers.CharField()


class FileLinksOutput(serializers.Serializer[Any]):
    """Where to go from a file."""

    self = serializers.CharField()
    job = serializers.CharField(
        required=False, help_text="The job that loads it, until that is pruned."
    )
    same_as = serializers.CharField(
        required=False, help_text="The file with the same content that came before."
    )
    downloads = serializers.CharField(
        help_text="Short-lived links for what follows, straight from the store."
    )
    original = serializers.CharField(help_text="The file as it came.")
    rejects = serializers.CharField(required=False)
    conflicts = serializers.CharField(required=False)
    flags = serializers.CharField(required=False)
    corrections = serializers.CharField(required=False)
    summary = serializers.CharField(required=False)


class FileOutput(serializers.Serializer[IngestedFile]):
    """A file: where it stands, and what became of it."""

    id = serializers.IntegerField()
    tenant_id = serializers.CharField()
    state = serializers.ChoiceField(choices=STATES)
    source = serializers.CharField()  # type: ignore[assignment] # a field, not its source
    path = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    content_digest = serializers.CharField(
        allow_blank=True, help_text="Of the whole content; blank until that was read."
    )
    job_id = serializers.UUIDField(allow_null=True)
    same_as = serializers.IntegerField(
        source="same_as_id",
        allow_null=True,
        help_text="The file with the same content that was loaded before.",
    )
    counts = CountsOutput(source="*")
    statement_count = serializers.IntegerField()
    fault_count = serializers.IntegerField()
    received_at = MomentField(source="created_at")
    loaded_at = MomentField(allow_null=True)
    decision = serializers.ChoiceField(
        choices=IngestedFile.Decision.choices,
        allow_blank=True,
        help_text="About a file in quarantine; blank if there was none.",
    )
    decided_at = MomentField(
        allow_null=True, help_text="When it was released, or refused."
    )
    links = serializers.SerializerMethodField()

    def get_links(self, file: IngestedFile) -> FileLinksOutput:
        """Return the paths of what belongs to the file."""
        links = {
            "self": reverse("file", args=[file.pk]),
            "downloads": reverse("file-links", args=[file.pk]),
            "original": reverse("file-artifact", args=[file.pk, "original"]),
        }
        if file.job_id is not None:
            links["job"] = reverse("job", args=[file.job_id])
        if file.same_as_id is not None:
            links["same_as"] = reverse("file", args=[file.same_as_id])
        for artifact in Artifact:
            if getattr(file, f"{artifact}_path"):
                links[artifact] = reverse("file-artifact", args=[file.pk, artifact])
        return links  # type: ignore[return-value]


class FaultOutput(serializers.Serializer[FileFault]):
    """Something that the file says about itself and that does not hold."""

    line = serializers.IntegerField()
    control = serializers.CharField()
    expected = serializers.CharField(allow_blank=True)
    found = serializers.CharField(allow_blank=True)
    settled_at = MomentField(
        allow_null=True, help_text="When a later file brought what was missing."
    )


class StatementOutput(serializers.Serializer[Statement]):
    """What the file says about an account for a time."""

    line = serializers.IntegerField()
    account_id = serializers.CharField()
    statement_id = serializers.CharField(allow_blank=True)
    number = serializers.IntegerField(allow_null=True)
    currency = serializers.CharField()
    opening = ExactField(allow_null=True)
    closing = ExactField(allow_null=True)
    opening_date = serializers.DateField(allow_null=True)
    closing_date = serializers.DateField(allow_null=True)
    rows = serializers.IntegerField()
    credits = ExactField()
    debits = ExactField()


class RowReasonOutput(serializers.Serializer[Any]):
    """How many rows need a look for one reason."""

    why = serializers.CharField()
    reason = serializers.CharField()
    rows = serializers.IntegerField()


class FileDetailOutput(FileOutput):
    """A file with what it says about itself; all of it is in its summary."""

    totals = serializers.SerializerMethodField()
    reasons = serializers.SerializerMethodField()
    faults = serializers.SerializerMethodField(help_text="The first 100.")
    statements = serializers.SerializerMethodField(help_text="The first 100.")

    @extend_schema_field(TotalOutput(many=True))
    def get_totals(self, file: IngestedFile) -> Any:
        """Return what the accepted rows add up to."""
        return [dict(zip(TOTAL, entry, strict=True)) for entry in file.totals]

    @extend_schema_field(RowReasonOutput(many=True))
    def get_reasons(self, file: IngestedFile) -> Any:
        """Return how many rows need a look for which reason."""
        return [dict(zip(REASON, entry, strict=True)) for entry in file.reasons]

    @extend_schema_field(FaultOutput(many=True))
    def get_faults(self, file: IngestedFile) -> Any:
        """Return the first faults."""
        return [FaultOutput(f).data for f in faults_of(file, most=MOST_SHOWN)]

    @extend_schema_field(StatementOutput(many=True))
    def get_statements(self, file: IngestedFile) -> Any:
        """Return the first statements."""
        return [StatementOutput(s).data for s in statements_of(file, most=MOST_SHOWN)]


class FilePageOutput(serializers.Serializer[Any]):
    """Some files, newest first, and where the older ones are."""

    results = FileOutput(many=True)
    next = serializers.CharField(
        allow_null=True, help_text="Path of the next page, with the same filters."
    )


class DownloadLinksOutput(serializers.Serializer[Any]):
    """Where the downloads of a file are."""

    links = serializers.DictField(
        child=serializers.CharField(),
        help_text="By what it is: `original`, `rejects`, `conflicts`, `flags`, "
        "`corrections`, `summary`; those that there are. An address, or a path of this "
        "server.",
    )
    expires_at = MomentField(
        allow_null=True, help_text="Null for paths, which need the key."
    )
