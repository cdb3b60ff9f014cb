"""How the admin decides about dead letters: it asks, counts, and notes who and why."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Count, Max, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.dateparse import parse_datetime

from jobs.bulk import MOST_PER_SECOND, PER_SECOND, bulk_start
from jobs.deciding import jobs_discard, jobs_restore, jobs_revive
from jobs.models import BulkDecision, DeadLetter
from tenants.acting import acting
from tenants.adminkit import change_url, log_change
from tenants.models import line_of

#: Jobs named on the page that asks; the rest is counted.
PREVIEWED: Final = 10
#: Jobs that are decided about in the request; for more there is jobs/bulk.py.
AT_ONCE: Final = 200
MOST_CRITERIA: Final = 500
#: Parameters of a list that choose no rows, as Django names them.
_NO_FILTERS: Final = frozenset({"p", "o", "all", "e", "_changelist_filters"})


@dataclass(frozen=True, slots=True)
class Decision:
    """Something to be decided about dead letters, and its words; {n} is how many."""

    name: str
    permission: str
    title: str
    question: str
    button: str
    said: str
    noted: str
    apply: Callable[..., int]
    needs_reason: bool = False

    def is_open_to(self, request: HttpRequest) -> bool:
        """Return whether the user may decide so."""
        return request.user.has_perm(f"jobs.{self.permission}")


DECISIONS: Final = {
    "retry": Decision(
        name="retry",
        permission="retry_deadletter",
        title="Retry dead letters",
        question="Queue {n} dead letter(s) again? Each gets all its attempts back and "
        "resumes at its last checkpoint.",
        button="Retry {n} job(s)",
        said="{n} dead letter(s) queued again.",
        noted="Retried.",
        apply=jobs_revive,
    ),
    "discard": Decision(
        name="discard",
        permission="discard_deadletter",
        title="Discard dead letters",
        question="Discard {n} dead letter(s)? They stay dead and leave this list; "
        "until they are pruned they can be restored.",
        button="Discard {n} job(s)",
        said="{n} dead letter(s) discarded.",
        noted="Discarded.",
        apply=jobs_discard,
        needs_reason=True,
    ),
    "restore": Decision(
        name="restore",
        permission="discard_deadletter",
        title="Restore dead letters",
        question="Put {n} discarded job(s) back among the dead letters?",
        button="Restore {n} job(s)",
        said="{n} dead letter(s) restored.",
        noted="Restored.",
        apply=jobs_restore,
    ),
}


def decide(
    screen: Any,
    request: HttpRequest,
    rows: QuerySet[DeadLetter],
    decision: Decision,
    hidden: list[tuple[str, str]],
    *,
    back: str,
) -> HttpResponse:
    """Ask, and then do it; `back` is where it leads afterwards."""
    if not (decision.is_open_to(request) and screen.has_view_permission(request)):
        raise PermissionDenied
    try:
        why = line_of("reason", request.POST.get("reason", ""))
    except ValidationError as error:
        screen.message_user(request, "; ".join(error.messages), messages.ERROR)
        return _ask(screen, request, rows, decision, hidden)
    counted = parse_datetime(request.POST.get("counted_until", "")[:40])
    if counted is not None:  # what died since was not on the page that asked
        rows = rows.filter(finished_at__lte=counted)
    if "confirmed" not in request.POST or (decision.needs_reason and not why):
        return _ask(screen, request, rows, decision, hidden)
    ids = list(rows.order_by().values_list("pk", flat=True)[: AT_ONCE + 1])
    with acting(why=why):
        if len(ids) > AT_ONCE:
            return _start(screen, request, rows, decision)
        noted = f"{decision.noted} {why}".strip()
        log_change(request, DeadLetter.objects.filter(pk__in=ids), noted)
        done = decision.apply(job_ids=ids)
    screen.message_user(request, decision.said.format(n=f"{done:,}"))
    return HttpResponseRedirect(back)


def _start(
    screen: Any,
    request: HttpRequest,
    rows: QuerySet[DeadLetter],
    decision: Decision,
) -> HttpResponse:
    """Have the dispatcher do it, and lead to the page that shows how far it is."""
    bulk = bulk_start(
        decision=decision.name,
        letters=rows,
        criteria=_criteria(request),
        per_second=_speed(request),
    )
    log_change(request, BulkDecision.objects.filter(pk=bulk.pk), decision.noted)
    if not bulk.total_count:
        text = "Another bulk decision is about to come to all of them."
        screen.message_user(request, text, messages.WARNING)
    return HttpResponseRedirect(change_url(bulk, bulk.pk))


def _criteria(request: HttpRequest) -> str:
    """Return in words which letters were meant."""
    if request.POST.get("select_across") == "0":
        return "the selected"
    named = [
        f"{name.partition('__')[0]} {value}"
        for name, value in request.GET.items()
        if value and name not in _NO_FILTERS
    ]
    return ", ".join(named)[:MOST_CRITERIA] or "all"


def _speed(request: HttpRequest) -> int:
    given = request.POST.get("per_second", "")[:6]
    return int(given) if given.isascii() and given.isdigit() else PER_SECOND


def _ask(
    screen: Any,
    request: HttpRequest,
    rows: QuerySet[DeadLetter],
    decision: Decision,
    hidden: list[tuple[str, str]],
) -> HttpResponse:
    found = rows.order_by().aggregate(total=Count("pk"), until=Max("finished_at"))
    total, until = found["total"], found["until"]
    if until is not None:
        hidden = [*hidden, ("counted_until", until.isoformat())]
    context = {
        **screen.admin_site.each_context(request),
        "title": decision.title,
        "opts": screen.opts,
        "question": decision.question.format(n=f"{total:,}"),
        "rows": [
            (
                f"{job.kind} of {job.tenant_id} · {(job.error or {}).get('code')}",
                change_url(job, job.pk),
            )
            for job in rows.order_by("-id")[:PREVIEWED]
        ],
        "more_rows": max(0, total - PREVIEWED),
        "hidden": hidden,
        "asks_reason": True,
        "asks_speed": total > AT_ONCE,
        "per_second": PER_SECOND,
        "most_per_second": MOST_PER_SECOND,
        "needs_reason": decision.needs_reason,
        "submit_text": decision.button.format(n=f"{total:,}"),
    }
    return TemplateResponse(request, "admin/confirm_action.html", context)
