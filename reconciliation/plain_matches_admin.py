"""How the admin takes rows apart that plainly match, which are written down nowhere."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from ingestion.masking import mask_id
from ingestion.models import Transaction
from ingestion.transaction_search import TooSlowError, bounded
from reconciliation import pairing
from reconciliation.deeds import DeedError
from reconciliation.matching import Side
from reconciliation.mismatch_rows import rows_of_key, side_of
from reconciliation.models import Match, Profile
from reconciliation.pairing import PairingError
from tenants.adminkit import change_url, log_change, row_link

_RIGHT = "reconciliation.resolve_reconciliation"


class KeyForm(forms.Form):
    """Asks which rows are meant."""

    profile: Any = forms.ModelChoiceField(
        queryset=None,
        empty_label="Choose …",
        widget=forms.Select(attrs={"class": "dtq-input"}),
    )
    key = forms.CharField(
        label="Key, such as the reference",
        widget=forms.TextInput(attrs={"class": "dtq-input"}),
    )

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        field: Any = self.fields["profile"]
        field.queryset = Profile.objects.order_by("tenant_id", "name")


def take_apart(screen: Any, request: HttpRequest) -> HttpResponse:
    """Find rows by their key, and hold those that a person chooses."""
    if not (screen.has_view_permission(request) and request.user.has_perm(_RIGHT)):
        raise PermissionDenied
    form = KeyForm(request.GET or None)
    rows: list[Transaction] = []
    profile: Profile | None = None
    if form.is_valid():
        profile = form.cleaned_data["profile"]
        try:
            with bounded():
                rows = rows_of_key(form.cleaned_data["profile"], _key(form))
        except TooSlowError as error:
            form.add_error(None, str(error))
        if not rows:
            form.add_error("key", "The profile has no row with this key.")
    if request.method == "POST" and profile is not None and rows:
        match = _hold(screen, request, profile, rows)
        if match is not None:
            return HttpResponseRedirect(change_url(Match, match.pk))
    context = {
        **screen.admin_site.each_context(request),
        "title": "Take a plain match apart",
        "opts": screen.opts,
        "form": form,
        "rows": [_told(profile, row) for row in rows if profile is not None],
    }
    return TemplateResponse(request, "admin/reconciliation/match/apart.html", context)


def _key(form: KeyForm) -> str:
    return str(form.cleaned_data["key"])


def _hold(
    screen: Any, request: HttpRequest, profile: Profile, rows: list[Transaction]
) -> Match | None:
    """Hold those of the rows that were chosen; says what is wrong with them if not."""
    chosen = set(request.POST.getlist("row"))
    try:
        match = pairing.unmatch_plain(
            profile=profile,
            transaction_ids=[row.pk for row in rows if str(row.pk) in chosen],
            why=request.POST.get("why", ""),
            by=request.user.get_username(),
            now=timezone.now(),
        )
    except (PairingError, DeedError) as error:
        screen.message_user(request, str(error), messages.ERROR)
        return None
    log_change(request, Match.objects.filter(pk=match.pk), "Taken apart.")
    screen.message_user(request, "Its rows are held.", messages.SUCCESS)
    return match


def _told(profile: Profile, row: Transaction) -> dict[str, Any]:
    is_ours = side_of(profile, row) is Side.INTERNAL
    return {
        "pk": row.pk,
        "side": "ours" if is_ours else "theirs",
        "link": row_link(Transaction, row.pk, mask_id(row.txn_id)),
        "amount": f"{row.amount:,.2f} {row.currency}",
        "status": row.status,
        "at": f"{timezone.localtime(row.txn_timestamp):%Y-%m-%d %H:%M:%S %Z}",
    }
