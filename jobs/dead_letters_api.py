"""The HTTP API of dead letters: look at what died, and decide about it."""

from collections.abc import Callable
from typing import Any, Final

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import dead_letters
from jobs.api import job_or_404
from jobs.batches import decide_batch
from jobs.dead_letters_serializers import (
    BatchDiscardInput,
    BatchInput,
    BatchRetryInput,
    DeadLetterDetailOutput,
    DeadLetterPageOutput,
    DeadLettersQuery,
    DecidedOutput,
    DiscardInput,
    GroupsOutput,
    GroupsQuery,
    RestoreInput,
    RetryInput,
)
from jobs.deciding import jobs_discard, jobs_restore, jobs_revive
from jobs.editing import NotDeadError, PayloadFixedError, job_edit_and_revive
from jobs.lifecycle import State
from jobs.models import Job
from jobs.payloads import PayloadError
from jobs.serializers import JobOutput, accepted
from tenants.acting import acting
from tenants.auth import principal_of
from tenants.scoping import tenant_scope

_TAGS: Final = ["dead-letters"]


class ConflictError(APIException):
    """The job is not as the call wants it."""

    status_code = 409


def _not_dead(state: State) -> ConflictError:
    text = f"The job is {state}, not dead. Nothing was changed."
    return ConflictError(text, code=f"job_is_{state}")


# --- Look -----------------------------------------------------------------------------


class DeadLettersView(APIView):
    """List dead letters."""

    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="dead_letter_list",
        summary="List the tenant's dead letters, newest first",
        tags=_TAGS,
        parameters=[DeadLettersQuery],
        responses=DeadLetterPageOutput,
    )
    def get(self, request: Request) -> Response:
        """Return one page of the jobs that wait for somebody to decide about them.

        In the order in which they were enqueued, newest first; pages as those of jobs.
        """
        query = DeadLettersQuery.of(request)
        with tenant_scope(principal_of(request).tenant):
            found, has_more = query.page()
            following = query.path_after(found[-1].id) if has_more else None
            body = DeadLetterPageOutput({"results": found, "next": following}).data
        return Response(body)


class DeadLetterGroupsView(APIView):
    """Group dead letters by their cause."""

    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="dead_letter_groups",
        summary="Group the tenant's dead letters by cause",
        tags=_TAGS,
        parameters=[GroupsQuery],
        responses=GroupsOutput,
    )
    def get(self, request: Request) -> Response:
        """Return the causes, the most frequent first, among the newest 10,000."""
        query = GroupsQuery.of(request)
        with tenant_scope(principal_of(request).tenant):
            body = GroupsOutput({"results": query.groups()}).data
        return Response(body)


class DeadLetterView(APIView):
    """Show one dead letter."""

    http_method_names = ["get", "head"]

    @extend_schema(
        operation_id="dead_letter_get",
        summary="Show one dead letter",
        tags=_TAGS,
        responses=DeadLetterDetailOutput,
    )
    def get(self, request: Request, job_id: str) -> Response:
        """Return a dead letter with the attempts at it and what each failed of.

        A job that is not dead gets the same answer as one that never was. Tracebacks
        are for the operators of the product.
        """
        with tenant_scope(principal_of(request).tenant):
            return _shown(job_or_404(job_id))


def _shown(job: Job) -> Response:
    found = dead_letters.find(job_id=job.pk)
    if found is None:
        raise NotFound("There is no such dead letter.")
    return Response(DeadLetterDetailOutput(found).data)


# --- Decide about one -----------------------------------------------------------------


class RetryView(APIView):
    """Retry one dead letter."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="dead_letter_retry",
        summary="Retry one dead letter, with its payload or another",
        tags=_TAGS,
        request=RetryInput,
        responses={202: JobOutput},
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Queue a dead job again with all its attempts.

        It goes on from its last checkpoint. With another `payload` it starts from the
        beginning; the payload that was enqueued is kept. A job that is not dead, since
        it was retried already, is a 409 whose code says its state.
        """
        body = RetryInput(data=request.data)
        body.is_valid(raise_exception=True)
        why = body.validated_data["reason"]
        payload = body.validated_data.get("payload")
        with acting(why=why), tenant_scope(principal_of(request).tenant):
            job = job_or_404(job_id)
            if payload is not None:
                _edit(job, payload)
            elif not jobs_revive(job_ids=[job.pk]):
                raise _not_dead(State(job_or_404(job_id).state))
            return accepted(job_or_404(job_id))


def _edit(job: Job, payload: dict[str, Any]) -> None:
    try:
        job_edit_and_revive(job_id=job.pk, payload=payload)
    except PayloadError as error:
        raise ValidationError({"payload": error.errors}) from None
    except PayloadFixedError as error:
        raise ConflictError(str(error), code="payload_fixed") from None
    except NotDeadError as error:
        raise _not_dead(error.state) from None


class DiscardView(APIView):
    """Discard one dead letter."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="dead_letter_discard",
        summary="Discard one dead letter",
        tags=_TAGS,
        request=DiscardInput,
        responses=DeadLetterDetailOutput,
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Leave a dead job dead: it is no longer listed, and may be pruned in time.

        To discard it once more changes nothing.
        """
        body = DiscardInput(data=request.data)
        return _decided(request, job_id, body, jobs_discard)


class RestoreView(APIView):
    """Restore one discarded dead letter."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="dead_letter_restore",
        summary="Put a discarded dead letter back on the list",
        tags=_TAGS,
        request=RestoreInput,
        responses=DeadLetterDetailOutput,
    )
    def post(self, request: Request, job_id: str) -> Response:
        """Put a discarded job back among the dead letters.

        One that was not discarded is left as it is.
        """
        body = RestoreInput(data=request.data)
        return _decided(request, job_id, body, jobs_restore)


def _decided(
    request: Request, job_id: str, body: Any, apply: Callable[..., int]
) -> Response:
    body.is_valid(raise_exception=True)
    why = body.validated_data["reason"]
    with acting(why=why), tenant_scope(principal_of(request).tenant):
        apply(job_ids=[job_or_404(job_id).pk])
        job = job_or_404(job_id)
        if job.state != State.DEAD:
            raise _not_dead(State(job.state))
        return _shown(job)


# --- Decide about many ----------------------------------------------------------------


class RetryManyView(APIView):
    """Retry many dead letters."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="dead_letters_retry",
        summary="Retry many dead letters, at most 500 a call",
        tags=_TAGS,
        request=BatchRetryInput,
        responses=DecidedOutput,
    )
    def post(self, request: Request) -> Response:
        """Queue the oldest 500 of the dead letters that are meant, and count the rest.

        Call again until `remaining` is 0, as fast as the work may come back. Filters
        and `all` mean letters that nobody has discarded; ids mean these, too.
        """
        return _decided_many(request, BatchRetryInput(data=request.data), jobs_revive)


class DiscardManyView(APIView):
    """Discard many dead letters."""

    http_method_names = ["post"]

    @extend_schema(
        operation_id="dead_letters_discard",
        summary="Discard many dead letters, at most 500 a call",
        tags=_TAGS,
        request=BatchDiscardInput,
        responses=DecidedOutput,
    )
    def post(self, request: Request) -> Response:
        """Discard the oldest 500 of the dead letters that are meant; count the rest.

        Call again until `remaining` is 0.
        """
        body = BatchDiscardInput(data=request.data)
        return _decided_many(request, body, jobs_discard)


def _decided_many(
    request: Request, body: BatchInput, apply: Callable[..., int]
) -> Response:
    body.is_valid(raise_exception=True)
    values, now = body.validated_data, timezone.now()
    with acting(why=values["reason"]), tenant_scope(principal_of(request).tenant):
        done = decide_batch(
            rows=body.letters(), apply=apply, is_dry_run=values["dry_run"]
        )
    answer = {
        "matched": done.matched,
        "changed": done.changed,
        "remaining": done.remaining,
        "died_before": values.get("died_before", now),
    }
    return Response(DecidedOutput(answer).data)
