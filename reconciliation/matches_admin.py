"""The screen of matches: what rules suggest, what people made, and taking it apart."""

from decimal import Decimal
from functools import partial
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import (
    Case,
    Count,
    OuterRef,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    DropdownFilter,
)

from ingestion.masking import mask_id
from ingestion.models import Transaction
from reconciliation import pairing, plain_matches_admin
from reconciliation.decisions_admin import RESOLVE, ApproveForm
from reconciliation.deeds import DeedError
from reconciliation.match_decisions_admin import DECISIONS, stakes
from reconciliation.mismatch_filters_admin import ProfileFilter
from reconciliation.mismatch_rows import signed
from reconciliation.models import Match, MatchRow
from reconciliation.pairing import PairingError
from tenants.adminkit import (
    ReadOnlyAdmin,
    change_url,
    link_action,
    log_change,
    pill,
    row_link,
)
from tenants.wording import age

_NAME: Final = "reconciliation_match"
_TONES: Final = {
    "suggested": "running",
    "confirmed": "succeeded",
    "undone": "queued",
}
#: Matches accepted at once, and rows shown of one.
AT_ONCE: Final = 5_000
MOST_SHOWN: Final = 200
_MOST_DIGITS: Final = 18


class OriginFilter(DropdownFilter):  # type: ignore[misc]
    """Shows the matches of one rule, or those made by hand."""

    title = "rule"
    parameter_name = "rule"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return by hand, and the places of rules that have matches."""
        places = Match.objects.exclude(rule=None).values_list("rule", flat=True)
        rules = [(str(n), f"rule {n}") for n in sorted(set(places.distinct()))]
        return [("hand", "by hand"), *rules]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep the matches of that origin."""
        if not self.value():
            return rows
        return rows.filter(rule=None if self.value() == "hand" else self.value())


@admin.register(Match)
class MatchAdmin(ReadOnlyAdmin):
    """Rows that belong together by other than the first key; suggested ones first."""

    list_display = (
        *("number", "state_pill", "tenant", "profile_name", "origin", "row_count"),
        *("decided", "note", "made"),
    )
    list_select_related = ("tenant", "profile")
    list_filter = (
        ("state", ChoicesCheckboxFilter),
        ("tenant", AutocompleteSelectFilter),
        ("profile", ProfileFilter),
        OriginFilter,
    )
    change_form_template = "admin/reconciliation/match/change_form.html"
    search_fields = ("id",)
    search_help_text = "Number, or a transaction id"
    fields = ("id",)
    actions = ["accept_selected"]
    actions_list: ClassVar = ["take_plain_apart"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the matches, with what puts suggested ones first."""
        is_decided = Case(When(state="suggested", then=Value(0)), default=Value(1))
        rows = MatchRow.objects.filter(match=OuterRef("pk")).order_by()
        counted = rows.values("match").annotate(n=Count("pk")).values("n")
        return Match.objects.annotate(
            is_decided=is_decided, rows_count=Coalesce(Subquery(counted), 0)
        )

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Put suggested ones first, then the newest."""
        return ("is_decided", "-pk")

    def has_resolve_permission(self, request: HttpRequest, _: Any = None) -> bool:
        """Return whether the user may accept, refuse and undo."""
        return request.user.has_perm(RESOLVE)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by number, or by the transaction id of a row, exactly."""
        term = search_term.strip()
        if not term:
            return queryset, False
        rows = Transaction.objects.filter(txn_id=term).values("pk")
        rows = MatchRow.objects.filter(transaction_id__in=rows)
        ids = set(rows.values_list("match_id", flat=True))
        if term.isascii() and term.isdigit() and len(term) <= _MOST_DIGITS:
            ids.add(int(term))
        return queryset.filter(pk__in=ids), False

    def get_urls(self) -> list[URLPattern]:
        """Add the pages that ask."""
        pages = [
            path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(partial(self.decide_one, name=name)),
                name=f"{_NAME}_{name}",
            )
            for name in DECISIONS
        ]
        apart = partial(plain_matches_admin.take_apart, self)
        wrapped = self.admin_site.admin_view(apart)
        return [
            path("apart/", wrapped, name=f"{_NAME}_apart"),
            *pages,
            *super().get_urls(),
        ]

    # --- Decisions --------------------------------------------------------------------

    @link_action(
        description="Take a plain match apart",
        permissions=["resolve"],
        icon="link_off",
    )
    def take_plain_apart(self, request: HttpRequest) -> HttpResponseRedirect:
        """Lead to the page that finds rows by their key."""
        return HttpResponseRedirect(reverse(f"admin:{_NAME}_apart"))

    def decide_one(self, request: HttpRequest, pk: int, *, name: str) -> HttpResponse:
        """Ask, and then decide about one match. Raises Http404."""
        self._demand_resolve(request)
        match: Match = get_object_or_404(self.get_queryset(request), pk=pk)
        decision = DECISIONS[name]
        is_confirmed = "confirmed" in request.POST
        form = decision.form(request.POST if is_confirmed else None)
        if is_confirmed and form.is_valid():
            try:
                decision.apply(
                    match=match,
                    by=request.user.get_username(),
                    now=timezone.now(),
                    **form.cleaned_data,
                )
            except (PairingError, DeedError) as error:
                self.message_user(request, str(error), messages.ERROR)
            else:
                log_change(request, Match.objects.filter(pk=pk), decision.said)
                self.message_user(request, decision.said, messages.SUCCESS)
            return HttpResponseRedirect(change_url(Match, pk))
        return self._ask(
            request,
            title=decision.title,
            question=decision.question,
            submit_text=decision.button,
            form=form,
            is_danger=decision.is_danger,
            count=1,
            about=match,
            back=change_url(Match, pk),
        )

    @admin.action(description="Accept selected", permissions=["resolve"])
    def accept_selected(
        self, request: HttpRequest, rows: QuerySet[Any]
    ) -> HttpResponse:
        """Accept the chosen suggestions, after a page that counts them."""
        self._demand_resolve(request)
        suggested = rows.filter(state="suggested")
        ids = list(suggested.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
        is_confirmed = "confirmed" in request.POST
        form = ApproveForm(request.POST if is_confirmed else None)
        if is_confirmed and form.is_valid():
            return self._accept(request, ids, form.cleaned_data["note"])
        post = request.POST
        hidden = [
            (ACTION_CHECKBOX_NAME, pk) for pk in post.getlist(ACTION_CHECKBOX_NAME)
        ]
        hidden += [("action", "accept_selected")]
        hidden += [("select_across", post.get("select_across", "0"))]
        count = suggested.count()
        left = rows.count() - count
        noun = "match" if len(ids) == 1 else "matches"
        return self._ask(
            request,
            title="Accept matches",
            question=f"Accept {len(ids):,} suggested {noun}? What was told of their "
            "rows is resolved.",
            submit_text=f"Accept {len(ids):,}",
            form=form,
            count=count,
            is_cut=count > AT_ONCE,
            at_once=AT_ONCE,
            left=f"{left:,} decided already" if left else "",
            stakes=stakes(suggested),
            hidden=hidden,
        )

    def _accept(self, request: HttpRequest, ids: list[int], note: str) -> HttpResponse:
        try:
            moved = pairing.matches_accept(
                matches=ids,
                by=request.user.get_username(),
                now=timezone.now(),
                note=note,
            )
        except (PairingError, DeedError) as error:
            self.message_user(request, str(error), messages.ERROR)
        else:
            level = messages.WARNING if moved.left else messages.SUCCESS
            self.message_user(request, moved.told("accepted"), level)
        return HttpResponseRedirect(request.get_full_path())

    def _ask(self, request: HttpRequest, **context: Any) -> HttpResponse:
        given = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, "admin/reconciliation/decide.html", given)

    def _demand_resolve(self, request: HttpRequest) -> None:
        if not (
            self.has_view_permission(request) and self.has_resolve_permission(request)
        ):
            raise PermissionDenied

    # --- The page of one --------------------------------------------------------------

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show the rows of both sides, their sums, and what may be done."""
        match: Match = kwargs["obj"]
        may = self.has_resolve_permission(request)
        context |= {
            "match": match,
            "state": self.state_pill(match),
            "origin": self.origin(match),
            "decided": self.decided(match),
            "columns": [_column(match, side) for side in "IE"],
            "may": {n: may and match.state == d.state for n, d in DECISIONS.items()},
        }
        return super().render_change_form(request, context, *args, **kwargs)

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="No.", ordering="pk")
    def number(self, match: Match) -> str:
        """Return its number."""
        return str(match.pk)

    @admin.display(description="State")
    def state_pill(self, match: Match) -> SafeString:
        """Return the state as a coloured label."""
        return pill(match.state, _TONES[match.state])

    @admin.display(description="Profile")
    def profile_name(self, match: Match) -> str:
        """Return the name of its profile."""
        return match.profile.name

    @admin.display(description="Made by")
    def origin(self, match: Match) -> str:
        """Return which rule made it, or that a person did."""
        return "hand" if match.rule is None else f"rule {match.rule}"

    @admin.display(description="Rows")
    def row_count(self, match: Any) -> str:
        """Return how many rows it has."""
        return f"{match.rows_count:,}"

    @admin.display(description="Decided")
    def decided(self, match: Match) -> str:
        """Return who confirmed or undid it last, and when."""
        if match.decided_at is None:
            return "–"
        when = age(match.decided_at, now=timezone.now())
        return f"{when} by {match.decided_by or 'a rule'}"

    @admin.display(description="Made")
    def made(self, match: Match) -> str:
        """Return when it was made."""
        return age(match.created_at, now=timezone.now())


def _column(match: Match, side: str) -> dict[str, Any]:
    """Return the rows of one side, and what they come to."""
    kept = match.rows.filter(side=side).order_by("transaction_id")
    ids = list(kept.values_list("transaction_id", flat=True))
    rows = Transaction.objects.filter(pk__in=ids).defer("raw_row").order_by("pk")
    found = list(rows)
    currency = found[0].currency if found else ""
    total = abs(sum(map(signed, found), Decimal(0)))
    return {
        "title": "Ours" if side == "I" else "Theirs",
        "rows": [
            {
                "link": row_link(Transaction, row.pk, mask_id(row.txn_id)),
                "row": row,
                "amount": f"{row.amount:,.2f} {row.currency}",
                "reference": mask_id(row.reference_id or "–"),
                "at": f"{timezone.localtime(row.txn_timestamp):%Y-%m-%d %H:%M}",
            }
            for row in found[:MOST_SHOWN]
        ],
        "more": max(0, len(found) - MOST_SHOWN),
        "gone": len(ids) - len(found),
        "total": f"{total:,.2f} {currency}",
        "count": f"{len(found):,}",
    }
