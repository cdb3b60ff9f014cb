"""What may be decided about a match, in words, and what is counted before it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from django import forms
from django.db.models import Count, QuerySet

from reconciliation import pairing
from reconciliation.decisions_admin import ApproveForm, ReopenForm
from reconciliation.models import Match

#: Kinds of suggestions that the page which asks names.
_NAMED: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Something to be decided about one match, and its words."""

    state: Match.State
    title: str
    question: str
    button: str
    said: str
    form: type[forms.Form]
    apply: Callable[..., Any]
    is_danger: bool = False


DECISIONS: Final[Mapping[str, Decision]] = MappingProxyType(
    {
        "accept": Decision(
            state=Match.State.SUGGESTED,
            title="Accept a match",
            question="Do these rows belong together? What was told of them is "
            "resolved.",
            button="Accept it",
            said="Accepted.",
            form=ApproveForm,
            apply=pairing.match_accept,
        ),
        "refuse": Decision(
            state=Match.State.SUGGESTED,
            title="Refuse a match",
            question="Do these rows not belong together? They are held then: no rule "
            "touches them until a person matches them.",
            button="Refuse it",
            said="Refused: its rows are held.",
            form=ReopenForm,
            apply=pairing.match_refuse,
            is_danger=True,
        ),
        "undo": Decision(
            state=Match.State.CONFIRMED,
            title="Undo a match",
            question="Take this match apart? Its rows are held then: no rule touches "
            "them until a person matches them. What it resolved is open again.",
            button="Undo it",
            said="Undone: its rows are held.",
            form=ReopenForm,
            apply=pairing.match_undo,
            is_danger=True,
        ),
    }
)


def stakes(suggested: QuerySet[Any]) -> list[dict[str, str]]:
    """Return how many of which tenant, profile and rule are suggested."""
    counted = suggested.order_by().values("tenant_id", "rule", "profile__name")
    groups = counted.annotate(total=Count("pk", distinct=True)).order_by("-total")
    return [
        {
            "tenant": group["tenant_id"],
            "kind": f"{group['profile__name']}, rule {group['rule']}",
            "count": f"{group['total']:,}",
        }
        for group in groups[:_NAMED]
    ]
