"""The page on which staff send a file for a tenant, and have it loaded.

It works as an ordinary form; upload.js adds dropping and a progress bar. The file is in
a temporary file by the time that the view is called, and goes from there to the store
while no transaction is open.
"""

import logging
from http import HTTPStatus
from typing import Any, Final

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import render
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils import timezone

from ingestion.incoming import EmptyFileError, PathTakenError, file_bring
from ingestion.models import DialectProfile
from ingestion.sources import registry
from ingestion.sources.registry import UnknownSourceError
from ingestion.storage import StoreUnavailableError, UnsafePathError
from ingestion.uploads import UploadTooLargeError
from jobs.models import Job
from jobs.switches import NotAcceptingError
from tenants.models import Tenant
from tenants.scoping import all_tenants
from tenants.selectors import UnknownTenantError, tenant_get

logger = logging.getLogger(__name__)

#: Tenants that are offered while one types; any other may be typed all the same.
MOST_OFFERED: Final = 500
_AWAY: Final = "The object store does not answer; nothing was loaded. Try again."
#: Which input a refusal is about.
_BLAMED: Final[dict[type[Exception], str]] = {
    UnknownSourceError: "source",
    NotAcceptingError: "tenant",
    UnsafePathError: "file",
    UploadTooLargeError: "file",
    EmptyFileError: "file",
    PathTakenError: "file",
}


class UploadForm(forms.Form):
    """A file, whose it is, and how to read it."""

    tenant = forms.CharField(error_messages={"required": "Say whose file it is."})
    source = forms.CharField(
        max_length=64, error_messages={"required": "Choose how to read it."}
    )
    file = forms.FileField(
        error_messages={"required": "Choose a file.", "empty": "The file is empty."}
    )

    def clean_tenant(self) -> str:
        """Return the slug of a tenant that there is."""
        slug = str(self.cleaned_data["tenant"])
        try:
            with all_tenants(reason="admin: upload"):
                tenant_get(slug=slug)
        except UnknownTenantError as error:
            raise forms.ValidationError(str(error)) from None
        return slug

    def flaws(self) -> list[tuple[str, str]]:
        """Return the input, or "", and the text of each error."""
        return [
            ("" if name == NON_FIELD_ERRORS else name, str(text))
            for name, texts in self.errors.items()
            for text in texts
        ]


def may_upload(request: HttpRequest) -> bool:
    """Return whether the user may send files."""
    return request.user.has_perm("ingestion.upload_ingestedfile")


def upload(screen: Any, request: HttpRequest) -> HttpResponse:
    """Show the form, or take a file and go to its job; call it outside a transaction.

    A script gets JSON: `url` of the job's page, or `flaws` as pairs of input and text.
    """
    if not may_upload(request):
        raise PermissionDenied
    if request.method != "POST":
        initial = {"tenant": request.GET.get("tenant", "")}
        return _page(screen, request, UploadForm(initial=initial))
    form, status = UploadForm(request.POST, request.FILES), HTTPStatus.BAD_REQUEST
    if form.is_valid():
        try:
            return _done(screen, request, _bring(form))
        except tuple(_BLAMED) as error:
            form.add_error(_BLAMED[type(error)], str(error))
        except StoreUnavailableError as error:
            logger.warning("The object store is unavailable: %s", error)
            form.add_error(None, _AWAY)
            status = HTTPStatus.SERVICE_UNAVAILABLE
    if _is_script(request):
        return JsonResponse({"flaws": form.flaws()}, status=status)
    return _page(screen, request, form, status=status)


def _bring(form: UploadForm) -> Job:
    values = form.cleaned_data
    file = values["file"]
    return file_bring(
        tenant=values["tenant"],
        source=values["source"],
        name=file.name,
        content=file,
        size=file.size,
        now=timezone.now(),
    )


def _done(screen: Any, request: HttpRequest, job: Job) -> HttpResponse:
    path = job.payload["s3_path"]
    screen.message_user(request, f"{path}: this job loads it.", messages.SUCCESS)
    url = reverse("admin:jobs_job_change", args=[job.pk])
    if _is_script(request):
        return JsonResponse({"url": url}, status=HTTPStatus.CREATED)
    return HttpResponseRedirect(url)


def _is_script(request: HttpRequest) -> bool:
    return request.headers.get("X-Requested-With") == "XMLHttpRequest"


def _page(
    screen: Any, request: HttpRequest, form: UploadForm, *, status: int = HTTPStatus.OK
) -> HttpResponse:
    with all_tenants(reason="admin: upload"):
        slugs = Tenant.objects.order_by("slug").values_list("slug", flat=True)
        context = {
            **screen.admin_site.each_context(request),
            "title": "Upload a file",
            "opts": screen.opts,
            "form": form,
            "flaws": form.flaws(),
            "tenants": list(slugs[:MOST_OFFERED]),
            "sources": _sources(),
            "most_bytes": settings.UPLOAD_MAX_BYTES,
            "most": filesizeformat(settings.UPLOAD_MAX_BYTES),
        }
        template = "admin/ingestion/ingestedfile/upload.html"
        return render(request, template, context, status=status)


def _sources() -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Return groups of sources: title, whose they are ("" for all), names and titles.

    A tenant's own dialect goes before the platform's of the same name: the name alone
    is sent, and means what it means in every enqueue call.
    """
    groups = {("", "Formats"): [(name, name) for name in sorted(registry.SOURCES)]}
    rows = DialectProfile.objects.order_by("tenant", "name")
    for owner, name, title in rows.values_list("tenant_id", "name", "title"):
        told = f"Dialects of {owner}" if owner else "Dialects for every tenant"
        text = f"{name} – {title}" if title else name
        groups.setdefault((owner or "", told), []).append((name, text))
    # The platform's rows, whose tenant is null, sort last in the database.
    ordered = sorted(groups.items(), key=lambda group: group[0][0])
    return [(title, owner, names) for (owner, title), names in ordered]
