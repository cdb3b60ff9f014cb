"""The queue of mismatches: what is to be worked off, and the way to do it."""

from datetime import date
from functools import partial
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
)

from ingestion.filters_admin import AmountFilter
from ingestion.masking import mask_id, mask_text
from ingestion.transaction_export import MOST_ROWS, count_capped
from reconciliation import pairing
from reconciliation.decisions_admin import APPROVE, DECISIONS, RESOLVE, decide
from reconciliation.deeds import DeedError
from reconciliation.lifecycle import ACTIVE, State
from reconciliation.mismatch_export import mismatch_lines
from reconciliation.mismatch_filters_admin import (
    AgeFilter,
    AssigneeFilter,
    DayFilter,
    ProfileFilter,
    StateFilter,
)
from reconciliation.mismatch_page_admin import TONES, page, told
from reconciliation.mismatch_rows import found_by
from reconciliation.mismatches import last_line, mismatches_assign
from reconciliation.models import Match, Reconciliation
from reconciliation.pairing import PairingError, SumsDifferError
from tenants.adminkit import (
    ReadOnlyAdmin,
    change_url,
    log_change,
    pill,
    subtle,
    two_lines,
)

_EXPORT: Final = "reconciliation.export_reconciliation"
_NAME: Final = "reconciliation_reconciliation"
#: Of an id; more would be out of its range.
_MOST_DIGITS: Final = 18


@admin.register(Reconciliation)
class MismatchAdmin(ReadOnlyAdmin):
    """Disagreements that runs found, newest first."""

    list_display = (
        *("number", "state_pill", "mismatch", "whose", "day_text", "money"),
        *("rows_text", "assignee_name"),
    )
    list_select_related = ("tenant", "profile", "assignee")
    list_filter = (
        StateFilter,
        ("mismatch_type", ChoicesCheckboxFilter),
        ("tenant", AutocompleteSelectFilter),
        ("profile", ProfileFilter),
        AssigneeFilter,
        AgeFilter,
        ("day", DayFilter),
        ("amount", AmountFilter),
    )
    sortable_by: ClassVar = ("day_text", "money")
    list_before_template = "admin/reconciliation/reconciliation/above.html"
    change_form_template = "admin/reconciliation/reconciliation/change_form.html"
    search_fields = ("key", "internal_txn_id", "external_txn_id")
    search_help_text = "Number, key or transaction id"
    fields = ("id",)
    actions = [f"{name}_selected" for name in DECISIONS if name != "note"]

    # --- Who may what -----------------------------------------------------------------

    def has_resolve_permission(self, request: HttpRequest, _: Any = None) -> bool:
        """Return whether the user may assign, resolve and match."""
        return request.user.has_perm(RESOLVE)

    def has_approve_permission(self, request: HttpRequest, _: Any = None) -> bool:
        """Return whether the user may approve what others resolved."""
        return request.user.has_perm(APPROVE)

    # --- The list ---------------------------------------------------------------------

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by number, key or transaction id, exactly."""
        term = search_term.strip()
        return (queryset.filter(pk__in=found_by(term)) if term else queryset), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """Show the list, with the export for those who may."""
        more = {"may_export": request.user.has_perm(_EXPORT)}
        return super().changelist_view(request, {**(extra_context or {}), **more})

    def get_urls(self) -> list[URLPattern]:
        """Add the export, the matching by hand, and the pages that ask."""
        wrap = self.admin_site.admin_view
        decisions = [
            path(
                f"<int:pk>/{name}/",
                wrap(partial(self.decide_one, name=name)),
                name=f"{_NAME}_{name}",
            )
            for name in DECISIONS
        ]
        take, match = require_POST(self.take_view), require_POST(self.match_view)
        return [
            path("export/", wrap(self.export_view), name=f"{_NAME}_export"),
            path("<int:pk>/take/", wrap(take), name=f"{_NAME}_take"),
            path("<int:pk>/match/", wrap(match), name=f"{_NAME}_match"),
            *decisions,
            *super().get_urls(),
        ]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Send the mismatches of the search and the filters, all pages, as CSV."""
        if not (self.has_view_permission(request) and request.user.has_perm(_EXPORT)):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        rows = self.get_changelist_instance(request).queryset
        count = count_capped(rows)
        if count > MOST_ROWS or rows.query.is_empty():
            text = f"An export has at most {MOST_ROWS:,} rows: narrow the filters."
            self.message_user(request, text, messages.ERROR)
            address = reverse(f"admin:{_NAME}_changelist")
            return HttpResponseRedirect(f"{address}?{request.GET.urlencode()}")
        _log_export(request, count)
        lines = mismatch_lines(rows, most=count, reason=f"export: {request.user.pk}")
        name = f"mismatches_{timezone.localtime():%Y%m%d_%H%M%S}.csv"
        return StreamingHttpResponse(
            lines,
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    # --- Decisions --------------------------------------------------------------------

    @admin.action(description="Assign selected", permissions=["resolve"])
    def assign_selected(self, request: HttpRequest, rows: Any) -> HttpResponse:
        """Give the chosen mismatches to somebody."""
        return self._decide_selected(request, rows, "assign")

    @admin.action(description="Unassign selected", permissions=["resolve"])
    def unassign_selected(self, request: HttpRequest, rows: Any) -> HttpResponse:
        """Take the chosen mismatches from whoever has them."""
        return self._decide_selected(request, rows, "unassign")

    @admin.action(description="Resolve selected", permissions=["resolve"])
    def resolve_selected(self, request: HttpRequest, rows: Any) -> HttpResponse:
        """Say why the chosen mismatches are no trouble."""
        return self._decide_selected(request, rows, "resolve")

    @admin.action(description="Approve selected", permissions=["approve"])
    def approve_selected(self, request: HttpRequest, rows: Any) -> HttpResponse:
        """Agree with how others resolved the chosen mismatches."""
        return self._decide_selected(request, rows, "approve")

    @admin.action(description="Reopen selected", permissions=["resolve"])
    def reopen_selected(self, request: HttpRequest, rows: Any) -> HttpResponse:
        """Put the chosen mismatches back to work."""
        return self._decide_selected(request, rows, "reopen")

    def _decide_selected(
        self, request: HttpRequest, rows: QuerySet[Any], name: str
    ) -> HttpResponse:
        post = request.POST
        hidden = [
            (ACTION_CHECKBOX_NAME, pk) for pk in post.getlist(ACTION_CHECKBOX_NAME)
        ]
        hidden += [("action", f"{name}_selected")]
        hidden += [("select_across", post.get("select_across", "0"))]
        back = request.get_full_path()
        return decide(self, request, rows, DECISIONS[name], hidden, back=back)

    def decide_one(self, request: HttpRequest, pk: int, *, name: str) -> HttpResponse:
        """Decide about one mismatch from its page. Raises Http404."""
        rows = self.get_queryset(request).filter(pk=pk)
        row = get_object_or_404(rows)
        back = change_url(Reconciliation, pk)
        decision = DECISIONS[name]
        return decide(self, request, rows, decision, [], back=back, about=row)

    def take_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Give a mismatch to whoever asks. Raises Http404."""
        self._demand_resolve(request)
        row = get_object_or_404(self.get_queryset(request), pk=pk)
        seen = _numbers([request.POST.get("seen", "")])
        moved = mismatches_assign(
            rows=row,
            assignee=request.user,  # type: ignore[arg-type]
            by=request.user.get_username(),
            now=timezone.now(),
            seen=seen[0] if seen else None,
        )
        level = messages.SUCCESS if moved.count else messages.WARNING
        self.message_user(request, moved.told("assigned to you"), level)
        return HttpResponseRedirect(change_url(Reconciliation, pk))

    def match_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Match the rows that were chosen on the page. Raises Http404."""
        self._demand_resolve(request)
        row = get_object_or_404(self.get_queryset(request), pk=pk)
        chosen = _numbers(request.POST.getlist("row"))
        note, back = request.POST.get("note", ""), change_url(Reconciliation, pk)
        try:
            match = pairing.match_by_hand(
                profile=row.profile,
                transaction_ids=chosen,
                note=note.strip(),
                by=request.user.get_username(),
                now=timezone.now(),
                may_differ="may_differ" in request.POST,
            )
        except (PairingError, DeedError) as error:
            self.message_user(request, str(error), messages.ERROR)
            asked = [("row", each) for each in chosen] + [("note", note)]
            if isinstance(error, SumsDifferError):
                asked.append(("differs", "1"))
            return HttpResponseRedirect(f"{back}?{urlencode(asked)}#match")
        log_change(request, Match.objects.filter(pk=match.pk), "Matched by hand.")
        self.message_user(request, f"Matched: match {match.pk}.", messages.SUCCESS)
        return HttpResponseRedirect(back)

    def _demand_resolve(self, request: HttpRequest) -> None:
        if not (
            self.has_view_permission(request) and self.has_resolve_permission(request)
        ):
            raise PermissionDenied

    # --- The page of one --------------------------------------------------------------

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Show both sides, what is around them, the history and what may be done."""
        row, may = kwargs["obj"], self.has_resolve_permission(request)
        chosen = _numbers(request.GET.getlist("row"))
        is_active, is_over = row.state in ACTIVE, row.state in ("resolved", "approved")
        context |= page(row, now=timezone.now(), chosen=chosen) | {
            "seen": last_line(),
            "may_note": may,
            "may_take": may and is_active and row.assignee_id != request.user.pk,
            "may_assign": may and is_active,
            "may_unassign": may and row.state == State.ASSIGNED,
            "may_resolve": may and is_active,
            "may_approve": self._may_approve(request, row),
            "may_reopen": may and is_over and row.reason_code != "matched",
            "may_match": may and row.profile_id is not None and row.fault_id is None,
            "note": request.GET.get("note", ""),
            "differs": "differs" in request.GET,
            "refusals": _refusals(request),
            "age": _age(row.day),
            "amount": _money(row.amount, row.currency),
            "apart": _money(row.difference, row.currency),
            "notes": told(row.notes),
            "key": mask_id(row.key or "–"),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def _may_approve(self, request: HttpRequest, row: Reconciliation) -> bool:
        return bool(
            row.state == State.RESOLVED
            and row.profile.needs_approval
            and row.resolved_by not in ("", request.user.get_username())
            and self.has_approve_permission(request)
        )

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="No.", ordering="pk")
    def number(self, row: Reconciliation) -> str:
        """Return its number."""
        return str(row.pk)

    @admin.display(description="State")
    def state_pill(self, row: Reconciliation) -> SafeString:
        """Return the state as a coloured label."""
        return pill(row.state, TONES[row.state])

    @admin.display(description="Mismatch")
    def mismatch(self, row: Reconciliation) -> SafeString:
        """Return its type, and what differs in words."""
        return two_lines(row.mismatch_type.replace("_", " "), told(row.notes))

    @admin.display(description="Tenant")
    def whose(self, row: Reconciliation) -> SafeString:
        """Return the tenant and the profile."""
        return two_lines(row.tenant_id, row.profile.name)

    @admin.display(description="Day", ordering="day")
    def day_text(self, row: Reconciliation) -> SafeString:
        """Return its day, and how long ago that is."""
        return two_lines(str(row.day or "–"), _age(row.day))

    @admin.display(description="Amount", ordering="amount")
    def money(self, row: Reconciliation) -> SafeString:
        """Return what is at stake, and how far the sides are apart."""
        if row.amount is None:
            return subtle("–")
        # Of what only one side has, all is missing.
        is_part = row.difference and row.difference != row.amount
        apart = f"{row.difference:,.2f} apart" if is_part else ""
        return two_lines(f"{row.amount:,.2f} {row.currency}", apart)

    @admin.display(description="Key and rows")
    def rows_text(self, row: Reconciliation) -> SafeString:
        """Return the key, and the ids of both rows."""
        ids = [mask_id(x) for x in (row.internal_txn_id, row.external_txn_id) if x]
        return two_lines(mask_id(row.key or "–"), " · ".join(ids))

    @admin.display(description="Assignee")
    def assignee_name(self, row: Reconciliation) -> str:
        """Return who has it."""
        return row.assignee.get_username() if row.assignee else "–"


def _refusals(request: HttpRequest) -> list[str]:
    """Return why a match was refused: the page comes back at its form, not its top."""
    return [
        each.message
        for each in messages.get_messages(request)
        if each.level == messages.ERROR
    ]


def _numbers(given: list[str]) -> list[int]:
    """Return the ids among what a form sent."""
    return [
        int(text)
        for text in given
        if text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    ]


def _log_export(request: HttpRequest, count: int) -> None:
    """Write who exported how many of which filter into the admin's history."""
    chosen = ", ".join(f"{k}={mask_text(str(v))}" for k, v in request.GET.items() if v)
    LogEntry.objects.create(
        user_id=request.user.pk or 0,
        content_type=ContentType.objects.get_for_model(Reconciliation),
        object_repr="mismatches",
        action_flag=CHANGE,
        change_message=f"Exported {count:,} rows as CSV: {chosen or 'no filter'}",
    )


def _money(amount: Any, currency: str) -> SafeString:
    if amount is None:
        return subtle("–")
    return format_html(
        '<span class="dtq-nowrap">{} {}</span>', f"{amount:,.2f}", currency
    )


def _age(day: date | None) -> str:
    if day is None:
        return ""
    days = (timezone.localdate() - day).days
    return "today" if days <= 0 else f"{days} day{'' if days == 1 else 's'} ago"
