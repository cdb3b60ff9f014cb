"""Dead letters on the wire: how they are chosen, shown, and decided about."""

from collections.abc import Sequence
from typing import Any, Final

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs import dead_letters
from jobs.batches import MOST
from jobs.dead_letters import Criteria, Group
from jobs.fields import (
    IdField,
    MomentField,
    NameField,
    ReasonField,
    StrictBooleanField,
    StrictCharField,
    StrictSerializer,
)
from jobs.models import DeadLetter, Priority
from jobs.paging import DEFAULT_LIMIT, KIND, MAX_LIMIT, LimitField, PageQuery, Query
from jobs.serializers import AttemptOutput, ProgressOutput

#: Codes and fingerprints: any one word.
WORD: Final = r"\A[!-~]{1,100}\Z"


@extend_schema_field(OpenApiTypes.OBJECT)
class ObjectField(serializers.Field[Any, Any, Any, Any]):
    """A JSON object, whatever is in it."""

    default_error_messages = {"invalid": "Give a JSON object."}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Return the object."""
        if not isinstance(data, dict):
            self.fail("invalid")
        return data

    def to_representation(self, value: Any) -> Any:
        """Return the object as it is kept."""
        return value


# --- Which ----------------------------------------------------------------------------


class _Filters(Query):
    kind = serializers.RegexField(KIND, required=False)
    code = serializers.RegexField(
        WORD, required=False, help_text="The code of the last failure."
    )
    fingerprint = serializers.RegexField(
        WORD, required=False, help_text="One group of failures."
    )
    discarded = NameField(
        choices=["false", "true"],
        default="false",
        help_text="true: those that a person has decided to leave dead.",
    )

    def rows(self) -> QuerySet[DeadLetter]:
        """Return the dead letters that the query asks for."""
        values = self.validated_data
        is_discarded = values["discarded"] == "true"
        rows = dead_letters.discarded() if is_discarded else dead_letters.undecided()
        names = ("kind", "code", "fingerprint")
        return Criteria(**{name: values.get(name) for name in names}).of(rows)


class DeadLettersQuery(_Filters, PageQuery):
    """The query string of the list of dead letters."""

    route = "dead-letters"

    def page(self) -> tuple[Sequence[DeadLetter], bool]:
        """Return the page that the query asks for, and whether another follows."""
        values = self.validated_data
        return dead_letters.page(
            self.rows(), limit=values["limit"], before=values.get("cursor")
        )


class GroupsQuery(_Filters):
    """The query string of the groups."""

    limit = LimitField(min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT)

    def groups(self) -> list[Group]:
        """Return the groups that the query asks for, largest first."""
        return dead_letters.groups(self.rows(), most=self.validated_data["limit"])


class BatchInput(StrictSerializer):
    """Many dead letters: some by their ids, those that filters let through, or all."""

    default_error_messages = {
        "which": "Say which: give job_ids, or kind, code or fingerprint, or all: true.",
    }

    job_ids = serializers.ListField(
        child=IdField(), required=False, allow_empty=False, max_length=MOST
    )
    kind = StrictCharField(required=False, max_length=64)
    code = StrictCharField(required=False, max_length=100)
    fingerprint = StrictCharField(required=False, max_length=100)
    all = StrictBooleanField(
        required=False,
        help_text="Every dead letter of the tenant, without filters.",
    )
    died_before = MomentField(
        required=False,
        help_text="Leaves alone what died later. Give back what the first call "
        "answered, so that jobs which die once more are not decided about again.",
    )
    dry_run = StrictBooleanField(default=False, help_text="Only count.")
    reason = ReasonField(default="")

    def validate(self, attrs: Any) -> Any:
        """Refuse what does not say which, and what says it in two ways."""
        filters = {"kind", "code", "fingerprint"} & attrs.keys()
        ways = ("job_ids" in attrs, bool(filters), attrs.get("all", False))
        if sum(ways) != 1:
            self.fail("which")
        return attrs

    def rows(self) -> QuerySet[DeadLetter]:
        """Return the letters among which are those that are meant."""
        return dead_letters.undecided()

    def letters(self) -> QuerySet[DeadLetter]:
        """Return the dead letters that are meant."""
        values, rows = self.validated_data, self.rows()
        if "job_ids" in values:
            rows = rows.filter(id__in=values["job_ids"])
        names = ("kind", "code", "fingerprint", "died_before")
        return Criteria(**{name: values.get(name) for name in names}).of(rows)


class BatchRetryInput(BatchInput):
    """Many dead letters to be retried."""

    def rows(self) -> QuerySet[DeadLetter]:
        """Return the discarded ones, too, where each is named by its id."""
        has_ids = "job_ids" in self.validated_data
        return dead_letters.dead() if has_ids else dead_letters.undecided()


class BatchDiscardInput(BatchInput):
    """Many dead letters to be discarded, and why."""

    reason = ReasonField()


# --- One ------------------------------------------------------------------------------


class RetryInput(StrictSerializer):
    """How to retry a dead letter."""

    payload = ObjectField(
        required=False,
        help_text="Another payload, checked as an enqueue call's is. The job then "
        "starts from the beginning.",
    )
    reason = ReasonField(default="")


class DiscardInput(StrictSerializer):
    """Why a dead letter is left dead."""

    reason = ReasonField()


class RestoreInput(StrictSerializer):
    """Why a discarded letter is wanted again."""

    reason = ReasonField(default="")


# --- What is shown --------------------------------------------------------------------


class ReasonOutput(serializers.Serializer[Any]):
    """What a job or an attempt failed of."""

    code = serializers.CharField()
    message = serializers.CharField()


class AttemptCountsOutput(serializers.Serializer[DeadLetter]):
    """How often a job was tried."""

    made = serializers.IntegerField(source="attempt_count")
    failed = serializers.IntegerField(source="failed_count")
    lost = serializers.IntegerField(source="lost_count")
    max = serializers.IntegerField(
        source="max_attempts", help_text="Failures after which it is dead."
    )


class DeadLetterLinksOutput(serializers.Serializer[Any]):
    """Where to go from a dead letter."""

    self = serializers.CharField()
    job = serializers.CharField()


class DeadLetterOutput(serializers.Serializer[DeadLetter]):
    """A dead letter: a job that waits for somebody to decide about it."""

    id = serializers.UUIDField()
    tenant_id = serializers.CharField()
    kind = serializers.CharField()
    priority = serializers.ChoiceField(
        choices=[priority.label for priority in Priority],
        source="get_priority_display",
    )
    reason = ReasonOutput(source="error", allow_null=True)
    fingerprint = serializers.CharField(help_text="Alike for failures of one cause.")
    attempt_counts = AttemptCountsOutput(source="*")
    created_at = MomentField()
    started_at = MomentField(allow_null=True, help_text="Its first attempt.")
    died_at = MomentField(source="finished_at")
    discarded_at = MomentField(
        allow_null=True, help_text="When somebody decided to leave it dead; else null."
    )
    payload = ObjectField()
    links = serializers.SerializerMethodField()

    def get_links(self, job: DeadLetter) -> DeadLetterLinksOutput:
        """Return the paths of the dead letter and of its job."""
        names = {"self": "dead-letter", "job": "job"}
        return {  # type: ignore[return-value]
            key: reverse(name, args=[job.id]) for key, name in names.items()
        }


class FailedAttemptOutput(AttemptOutput):
    """One try at a job, and what it failed of."""

    error = ReasonOutput(allow_null=True)


class DeadLetterDetailOutput(DeadLetterOutput):
    """A dead letter with its attempts."""

    original_payload = ObjectField(
        allow_null=True, help_text="What was enqueued, once the payload was edited."
    )
    error = serializers.DictField(
        allow_null=True, help_text="The last failure, with its details."
    )
    progress = ProgressOutput()
    attempts = FailedAttemptOutput(many=True)


class DeadLetterPageOutput(serializers.Serializer[Any]):
    """Some dead letters, newest first, and where the older ones are."""

    results = DeadLetterOutput(many=True)
    next = serializers.CharField(
        allow_null=True, help_text="Path of the next page, with the same filters."
    )


class GroupOutput(serializers.Serializer[Group]):
    """Dead letters of one cause."""

    fingerprint = serializers.CharField()
    code = serializers.CharField()
    message = serializers.CharField(help_text="Of one of them.")
    count = serializers.IntegerField(source="jobs")
    first_seen = MomentField(source="first_at")
    last_seen = MomentField(source="last_at")


class GroupsOutput(serializers.Serializer[Any]):
    """The causes of a tenant's dead letters, the most frequent first."""

    results = GroupOutput(many=True)


class DecidedOutput(serializers.Serializer[Any]):
    """What a call has done."""

    matched = serializers.IntegerField(help_text="Dead letters that were meant.")
    changed = serializers.IntegerField()
    remaining = serializers.IntegerField(
        help_text="Those that this call did not come to: call again until it is 0."
    )
    died_before = MomentField(help_text="To be given back with the next call.")
