"""How the admin works mismatches off: a page that counts and asks, then one call.

The same page serves one mismatch and all that a filter finds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from reconciliation import mismatches
from reconciliation.deeds import MOST_CHARACTERS, REASONS, Deed, DeedError
from reconciliation.lifecycle import Action
from reconciliation.mismatch_filters_admin import assignees
from reconciliation.mismatches import Moved, in_words, last_line
from reconciliation.previews import Preview, mismatches_preview

#: Mismatches of one decision; for more, decide again.
AT_ONCE: Final = 50_000
#: Kinds of a tenant that the page names; the rest is counted.
NAMED: Final = 20

RESOLVE: Final = "reconciliation.resolve_reconciliation"
APPROVE: Final = "reconciliation.approve_reconciliation"


def _text(label: str, *, required: bool) -> forms.CharField:
    widget = forms.Textarea(attrs={"rows": 2, "class": "dtq-input"})
    return forms.CharField(
        label=label, required=required, max_length=MOST_CHARACTERS, widget=widget
    )


class PlainForm(forms.Form):
    """Asks nothing."""


class AssignForm(forms.Form):
    """Asks who shall have them."""

    assignee: Any = forms.ModelChoiceField(
        queryset=None,
        empty_label="Choose …",
        widget=forms.Select(attrs={"class": "dtq-input"}),
    )

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        field: Any = self.fields["assignee"]
        field.queryset = assignees()


class ResolveForm(forms.Form):
    """Asks why they are no trouble."""

    reason = forms.ChoiceField(
        choices=[("", "Choose …"), *((each.value, each.label) for each in REASONS)],
        widget=forms.Select(attrs={"class": "dtq-input"}),
    )
    note = _text("Note (needed where it is written off, or other)", required=False)


class NoteForm(forms.Form):
    """Asks for a note."""

    note = _text("Note", required=True)


class ApproveForm(forms.Form):
    """Takes a note."""

    note = _text("Note (may be empty)", required=False)


class ReopenForm(forms.Form):
    """Asks why."""

    why = _text("Why", required=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Something to be done with mismatches, and its words.

    In them, {n} is how many, and {were} the verb that goes with it.
    """

    action: Action
    title: str
    question: str
    button: str
    said: str
    form: type[forms.Form]
    apply: Callable[..., Moved]
    permission: str = RESOLVE

    def is_open_to(self, request: HttpRequest) -> bool:
        """Return whether the user may decide so."""
        return request.user.has_perm(self.permission)


DECISIONS: Final = MappingProxyType(
    {
        "assign": Decision(
            action=Action.ASSIGNED,
            title="Assign mismatches",
            question="Give {n} to somebody? Who has some of them now loses those.",
            button="Assign {n}",
            said="assigned",
            form=AssignForm,
            apply=mismatches.mismatches_assign,
        ),
        "unassign": Decision(
            action=Action.UNASSIGNED,
            title="Unassign mismatches",
            question="Take {n} from whoever has them? They are open again.",
            button="Unassign {n}",
            said="unassigned",
            form=PlainForm,
            apply=mismatches.mismatches_unassign,
        ),
        "note": Decision(
            action=Action.NOTED,
            title="Add a note",
            question="Add a note to the history of {n}?",
            button="Add it to {n}",
            said="noted",
            form=NoteForm,
            apply=mismatches.mismatches_note,
        ),
        "resolve": Decision(
            action=Action.RESOLVED,
            title="Resolve mismatches",
            question="Resolve {n}? The reason is kept with each.",
            button="Resolve {n}",
            said="resolved",
            form=ResolveForm,
            apply=mismatches.mismatches_resolve,
        ),
        "approve": Decision(
            action=Action.APPROVED,
            title="Approve what others resolved",
            question="Agree with how {n} {were} resolved?",
            button="Approve {n}",
            said="approved",
            form=ApproveForm,
            apply=mismatches.mismatches_approve,
            permission=APPROVE,
        ),
        "reopen": Decision(
            action=Action.REOPENED,
            title="Reopen mismatches",
            question="Put {n} back to work? Who resolved and approved them, and why, "
            "stays in their history.",
            button="Reopen {n}",
            said="reopened",
            form=ReopenForm,
            apply=mismatches.mismatches_reopen,
        ),
    }
)


def decide(
    screen: Any,
    request: HttpRequest,
    rows: QuerySet[Any],
    decision: Decision,
    hidden: list[tuple[str, str]],
    *,
    back: str,
    about: object = "",
) -> HttpResponse:
    """Ask, and then do it; `back` is where it leads afterwards.

    Where it is `about` one only, the page says which.
    """
    if not (decision.is_open_to(request) and screen.has_view_permission(request)):
        raise PermissionDenied
    is_confirmed = "confirmed" in request.POST
    form = decision.form(request.POST if is_confirmed else None)
    if is_confirmed and form.is_valid():
        try:
            moved = _apply(request, rows, decision, form.cleaned_data)
        except DeedError as error:
            form.add_error(None, str(error))
        else:
            is_good = moved.count and not moved.left
            level = messages.SUCCESS if is_good else messages.WARNING
            screen.message_user(request, moved.told(decision.said), level)
            return HttpResponseRedirect(back)
    context = {"about": about, "back": back, "hidden": hidden}
    return _ask(screen, request, rows, decision, form, context)


def _apply(
    request: HttpRequest,
    rows: QuerySet[Any],
    decision: Decision,
    said: dict[str, Any],
) -> Moved:
    asked = {"rows": _first(rows, decision), "by": request.user.get_username(), **said}
    if decision.action is not Action.NOTED:  # a note takes nothing from anybody
        asked["seen"] = _seen(request)
    return decision.apply(now=timezone.now(), **asked)


def _first(rows: QuerySet[Any], decision: Decision) -> list[int]:
    """Return the oldest of the mismatches, as many as are decided about at once.

    What no such decision concerns comes last, so that it keeps no other out.
    """
    ids = rows.order_by("pk").values_list("pk", flat=True)
    sources = Deed(action=decision.action, by="-").sources
    found = list(ids.filter(state__in=sources)[:AT_ONCE])
    if len(found) < AT_ONCE:
        found += ids.exclude(state__in=sources)[: AT_ONCE - len(found)]
    return found


def _seen(request: HttpRequest) -> int | None:
    given = request.POST.get("seen", "")[:18]
    return int(given) if given.isascii() and given.isdigit() else None


def _ask(
    screen: Any,
    request: HttpRequest,
    rows: QuerySet[Any],
    decision: Decision,
    form: forms.Form,
    given: dict[str, Any],
) -> HttpResponse:
    # Read before the mismatches: what changes from now on was not on the page.
    seen = request.POST.get("seen") if form.is_bound else str(last_line())
    deed = Deed(action=decision.action, by=request.user.get_username())
    preview = mismatches_preview(rows=rows, deed=deed)
    count = min(preview.count, AT_ONCE)
    noun, were = ("mismatch", "was") if count == 1 else ("mismatches", "were")
    number = f"{count:,} {noun}"
    context = {
        **screen.admin_site.each_context(request),
        **given,
        "title": decision.title,
        "opts": screen.opts,
        "question": decision.question.format(n=number, were=were),
        "submit_text": decision.button.format(n=number),
        "form": form,
        "hidden": [*given["hidden"], ("seen", seen or "")],
        **_told(preview),
    }
    return TemplateResponse(request, "admin/reconciliation/decide.html", context)


def _told(preview: Preview) -> dict[str, Any]:
    most_first = sorted(preview.stakes, key=lambda stake: -stake.count)
    return {
        "count": preview.count,
        "is_cut": preview.count > AT_ONCE,
        "at_once": AT_ONCE,
        "stakes": [
            {
                "tenant": stake.tenant,
                "kind": stake.mismatch_type.replace("_", " "),
                "count": f"{stake.count:,}",
                "amount": f"{stake.amount:,.2f} {stake.currency}",
                "difference": f"{stake.difference:,.2f} {stake.currency}",
            }
            for stake in most_first[:NAMED]
        ],
        "more_stakes": max(0, len(most_first) - NAMED),
        "totals": [
            (f"{amount:,.2f} {currency}", f"{difference:,.2f} {currency}")
            for currency, amount, difference in preview.totals
        ],
        "left": in_words(preview.left),
    }
