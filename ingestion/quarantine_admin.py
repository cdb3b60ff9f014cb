"""How the admin decides about a file in quarantine: it asks, and notes who and why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils import timezone

from ingestion import services
from ingestion.file_tables import meaning
from ingestion.models import IngestedFile
from ingestion.selectors import faults_of
from ingestion.services import NotQuarantinedError
from jobs.switches import NotAcceptingError
from tenants.acting import acting
from tenants.adminkit import change_url, log_change

#: Faults named on the page that asks; the rest is counted.
PREVIEWED: Final = 10


@dataclass(frozen=True, slots=True)
class Decision:
    """Something to be decided about a file, and its words."""

    name: str
    question: str
    said: str
    apply: Callable[[int], Any]
    is_danger: bool = False


def _release(file_id: int) -> None:
    services.file_release(file_id=file_id, now=timezone.now())


def _refuse(file_id: int) -> None:
    services.file_refuse(file_id=file_id)


DECISIONS: Final = {
    "release": Decision(
        "Release",
        "Load {path} all the same? It does not hold what it says about itself: "
        "{count} fault(s). A job of its own loads what was looked at: the rows that "
        "are accepted come in, the others are rejected as ever.",
        "Released: a job loads it.",
        _release,
    ),
    "refuse": Decision(
        "Refuse",
        "Leave {path} out for good? Nothing of it was loaded, and nothing will be.",
        "Refused: it stays out.",
        _refuse,
        is_danger=True,
    ),
}


def may_decide(request: HttpRequest) -> bool:
    """Return whether the user may decide about files in quarantine."""
    return request.user.has_perm("ingestion.release_ingestedfile")


def decide(screen: Any, request: HttpRequest, file_id: int, name: str) -> HttpResponse:
    """Ask why, and then do it."""
    if not may_decide(request):
        raise PermissionDenied
    file = get_object_or_404(IngestedFile, pk=file_id)
    decision, back = DECISIONS[name], change_url(file, file_id)
    why = " ".join(request.POST.get("reason", "").split())
    if file.state != IngestedFile.State.QUARANTINED:
        text = str(NotQuarantinedError(file_id))
        screen.message_user(request, text, messages.WARNING)
    elif "confirmed" not in request.POST or not why:
        return _ask(screen, request, file, decision)
    else:
        _apply(screen, request, file, decision, why)
    return HttpResponseRedirect(back)


def _apply(
    screen: Any, request: HttpRequest, file: IngestedFile, decision: Decision, why: str
) -> None:
    try:
        with acting(why=why):
            decision.apply(file.pk)
    except (NotQuarantinedError, NotAcceptingError) as error:
        screen.message_user(request, str(error), messages.ERROR)
        return
    noted = f"{decision.said.partition(':')[0]}. {why}"
    log_change(request, IngestedFile.objects.filter(pk=file.pk), noted)
    screen.message_user(request, decision.said, messages.SUCCESS)


def _ask(
    screen: Any, request: HttpRequest, file: IngestedFile, decision: Decision
) -> HttpResponse:
    faults = faults_of(file, most=PREVIEWED)
    context = {
        **screen.admin_site.each_context(request),
        "title": f"{decision.name} a file",
        "opts": screen.opts,
        "question": decision.question.format(
            path=file.path, count=f"{file.fault_count:,}"
        ),
        "rows": [
            (
                f"line {f.line}: {f.control} · said: {f.expected or '–'} · "
                f"found: {f.found or '–'}. {meaning(f)}",
                change_url(file, file.pk),
            )
            for f in faults
        ],
        "more_rows": max(0, file.fault_count - len(faults)),
        "hidden": [],
        "asks_reason": True,
        "needs_reason": True,
        "is_danger": decision.is_danger,
        "submit_text": f"{decision.name} it",
    }
    return TemplateResponse(request, "admin/confirm_action.html", context)
