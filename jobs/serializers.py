"""Jobs on the wire: what every enqueue call takes, and how a job is shown."""

from typing import Any, Final

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from fairshare.explain import WaitsFor
from jobs.fields import (
    MomentField,
    NameField,
    StrictCharField,
    StrictIntegerField,
    StrictSerializer,
)
from jobs.lifecycle import Outcome, State
from jobs.models import Attempt, Job, Priority
from jobs.waits import Wait

MAX_ATTEMPTS: Final = 25
STATES: Final = [state.value for state in State]
MICROSECONDS: Final = 1_000_000
#: A file of a job is a key of its result: `rejects_path` is at `/jobs/<id>/rejects`.
FILE_SUFFIX: Final = "_path"


class EnqueueInput(StrictSerializer):
    """What every enqueue call takes; subclasses add what their kind needs."""

    tenant_id = StrictCharField(help_text="The key's tenant; any other is refused.")
    priority = NameField(
        choices=[priority.label for priority in Priority],
        default=Priority.NORMAL.label,
        help_text="Weight among the tenant's own jobs, 8:4:2:1; none starves.",
    )
    run_after = MomentField(
        required=False,
        help_text="Earliest start: ISO 8601 with an offset. Without it: at once.",
    )
    max_attempts = StrictIntegerField(
        required=False,
        min_value=1,
        max_value=MAX_ATTEMPTS,
        help_text="Failures after which the job is dead. Without it: as its kind says.",
    )

    def validate_tenant_id(self, value: str) -> str:
        """Refuse any tenant but the key's, alike whether it exists or not."""
        if value != self.context["tenant"]:
            raise PermissionDenied(
                "The key does not belong to this tenant_id.", code="tenant_mismatch"
            )
        return value

    def job_options(self) -> dict[str, Any]:
        """Return the fields that any kind has, as `job_enqueue` takes them."""
        values = self.validated_data
        return {
            "tenant_id": values["tenant_id"],
            "priority": Priority[values["priority"].upper()],
            "run_after": values.get("run_after"),
            "max_attempts": values.get("max_attempts"),
        }


@extend_schema_field(OpenApiTypes.DOUBLE)
class SecondsField(serializers.Field[int, Any, float, Any]):
    """Microseconds in the product, a number of seconds on the wire; for output."""

    def to_representation(self, value: int) -> float:
        """Return the time in seconds."""
        return value / MICROSECONDS


class ProgressOutput(serializers.Serializer[Any]):
    """How far a job is; `total` is null while nobody knows."""

    done = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    unit = serializers.CharField(allow_blank=True)


class AttemptOutput(serializers.Serializer[Attempt]):
    """One try at a job."""

    number = serializers.IntegerField()
    pool = serializers.CharField()
    worker = serializers.CharField(allow_blank=True)
    outcome = serializers.ChoiceField(
        choices=[outcome.value for outcome in Outcome],
        allow_null=True,
        help_text="Null while the attempt is live.",
    )
    dispatched_at = MomentField()
    started_at = MomentField(allow_null=True)
    finished_at = MomentField(allow_null=True)
    cost_seconds = serializers.SerializerMethodField(
        help_text="Worker time it cost; null while the attempt is live."
    )

    def get_cost_seconds(self, attempt: Attempt) -> float | None:
        """Return the settled cost as a JSON number; the ledger keeps microseconds."""
        if attempt.settled_us is None:
            return None
        return attempt.settled_us / MICROSECONDS


class LinksOutput(serializers.Serializer[Any]):
    """Where to go from a job."""

    self = serializers.CharField()
    rejects = serializers.CharField(
        required=False, help_text="Download of the rejected rows, if there are any."
    )
    conflicts = serializers.CharField(
        required=False, help_text="Download of the conflicting rows, if there are any."
    )
    flags = serializers.CharField(
        required=False, help_text="Download of the doubts about accepted rows."
    )
    corrections = serializers.CharField(
        required=False,
        help_text="Download of the rejected rows as they stood, to correct them and "
        "send them again.",
    )
    summary = serializers.CharField(
        required=False, help_text="Download of all that is known of the file."
    )
    report = serializers.CharField(
        required=False, help_text="Download of the report that it wrote."
    )


class JobOutput(serializers.Serializer[Job]):
    """A job: where it stands, what it cost and how it ended."""

    id = serializers.UUIDField()
    tenant_id = serializers.CharField()
    kind = serializers.CharField()
    priority = serializers.ChoiceField(
        choices=[priority.label for priority in Priority],
        source="get_priority_display",
    )
    state = serializers.ChoiceField(choices=STATES)
    progress = ProgressOutput()
    created_at = MomentField()
    dispatched_at = MomentField(allow_null=True)
    started_at = MomentField(allow_null=True)
    finished_at = MomentField(allow_null=True)
    cancel_requested_at = MomentField(
        allow_null=True, help_text="When somebody asked for its end; else null."
    )
    attempts = AttemptOutput(many=True)
    result = serializers.DictField(
        allow_null=True, help_text="What the job's kind returned, once succeeded."
    )
    error = serializers.DictField(
        allow_null=True, help_text="The last failure: its code, message and details."
    )
    links = serializers.SerializerMethodField()

    def get_links(self, job: Job) -> LinksOutput:
        """Return the job's own path, and one for each file that its result names."""
        own = reverse("job", args=[job.id])
        files = {
            key.removesuffix(FILE_SUFFIX): f"{own}/{key.removesuffix(FILE_SUFFIX)}"
            for key, path in (job.result or {}).items()
            if key.endswith(FILE_SUFFIX) and path
        }
        return {"self": own, **files}  # type: ignore[return-value]


class WaitOutput(serializers.Serializer[Wait]):
    """Why a job waits, as the scheduler has it, and how long it can take."""

    waits_for = serializers.ChoiceField(
        choices=[waits_for.value for waits_for in WaitsFor],
        allow_null=True,
        help_text="The nearest thing it waits for; null if no dispatcher says.",
    )
    opens_at = MomentField(
        allow_null=True, help_text="When that is over by itself; null if it is not."
    )
    jobs_ahead = serializers.IntegerField(
        help_text="Queued jobs of the tenant and of the same priority that go first."
    )
    is_more_ahead = serializers.BooleanField(
        help_text="Whether there are more than were counted."
    )
    work_ahead_seconds = SecondsField(
        source="work_ahead_us", help_text="Worker time those are expected to take."
    )
    entitled_share = serializers.FloatField(
        source="entitled",
        allow_null=True,
        help_text="Part of the pool, 0 to 1, that its weight entitles the tenant to.",
    )
    received_share = serializers.FloatField(
        source="received",
        allow_null=True,
        help_text="Part of the pool's time that the tenant had in the window.",
    )
    window_seconds = SecondsField(
        source="window_us", help_text="The window of received_share, until now."
    )
    starts_within_seconds = SecondsField(
        source="starts_within_us",
        allow_null=True,
        help_text="The most it can wait in the worst case; null if there is no bound.",
    )
    no_bound = serializers.CharField(
        allow_null=True, help_text="Why there is no bound; null if there is one."
    )
    sentence = serializers.CharField(help_text="All of it in words, for people.")
    as_of = MomentField(
        allow_null=True,
        help_text="When the dispatcher said so; null if the ledger alone speaks.",
    )


class JobDetailOutput(JobOutput):
    """A job, and while it waits, why."""

    waiting = serializers.SerializerMethodField(
        help_text="Why it waits; null once it is dispatched."
    )

    @extend_schema_field(WaitOutput(allow_null=True))
    def get_waiting(self, job: Job) -> Any:
        """Return the explanation that came with the job, if it waits."""
        wait = self.context.get("wait")
        return None if wait is None else WaitOutput(wait).data


class JobPageOutput(serializers.Serializer[Any]):
    """Some jobs, newest first, and where the older ones are."""

    results = JobOutput(many=True)
    next = serializers.CharField(
        allow_null=True, help_text="Path of the next page, with the same filters."
    )


def accepted(job: Job) -> Response:
    """Return the answer to an enqueue call: the job, and where to follow it."""
    body = JobOutput(job).data
    return Response(body, status=202, headers={"Location": body["links"]["self"]})
