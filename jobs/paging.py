"""The query strings of lists: their filters, their limit and their cursor."""

import base64
import re
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlencode
from uuid import UUID

from django.urls import reverse
from rest_framework import serializers
from rest_framework.request import Request

from jobs.fields import NameField, StrictSerializer
from jobs.lifecycle import State
from jobs.selectors import Page, job_page

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
KIND: Final = r"\A[a-z0-9_.-]{1,64}\Z"


class CursorField(serializers.CharField):
    """An opaque text that stands for the job where the page before this one ended."""

    default_error_messages = {"invalid": "Take the cursor from `next` as it is."}

    def to_internal_value(self, data: Any) -> UUID:  # type: ignore[override]
        """Return the job's id."""
        try:
            position = UUID(bytes=base64.urlsafe_b64decode(f"{data}=="))
        except ValueError:
            self.fail("invalid")
        if cursor_of(position) != data:
            self.fail("invalid")
        return position


def cursor_of(job_id: UUID) -> str:
    """Return the cursor of the page that follows a job."""
    return base64.urlsafe_b64encode(job_id.bytes).decode("ascii").rstrip("=")


class LimitField(serializers.IntegerField):
    """The most jobs of one page, in plain digits."""

    default_error_messages = {"invalid": "Give a whole number."}

    def to_internal_value(self, data: Any) -> int:
        """Return the number."""
        if not re.fullmatch(r"[0-9]{1,9}", str(data), re.ASCII):
            self.fail("invalid")
        return int(data)


class QueryError(serializers.ValidationError):
    """A query string that cannot be followed."""

    #: What an error points at: a parameter, where other errors point into the body.
    location = "parameter"


class Query(StrictSerializer):
    """A query string."""

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the validated query of a request.

        Raises ValidationError, also where a parameter is given twice.
        """
        given = request.query_params
        twice = [name for name in given if len(given.getlist(name)) > 1]
        if twice:
            raise QueryError({name: ["Give it once."] for name in twice})
        query = cls(data=given.dict())
        if not query.is_valid():
            raise QueryError(query.errors)
        return query


class PageQuery(Query):
    """The query string of a list that comes in pages."""

    limit = LimitField(min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT)
    cursor = CursorField(required=False)

    #: Name of the route that the pages are at.
    route: ClassVar[str]

    def path_after(self, job_id: UUID) -> str:
        """Return the path of the page that follows, with the filters kept."""
        values = {**self.initial_data, "cursor": cursor_of(job_id)}
        return f"{reverse(self.route)}?{urlencode(values)}"


class JobsQuery(PageQuery):
    """The query string of the list of jobs."""

    route = "jobs"

    state = NameField(choices=[state.value for state in State], required=False)
    kind = serializers.RegexField(KIND, required=False)

    def page(self) -> Page:
        """Return the page that the query asks for."""
        values = self.validated_data
        state = values.get("state")
        return job_page(
            limit=values["limit"],
            state=None if state is None else State(state),
            kind=values.get("kind"),
            before=values.get("cursor"),
        )
