"""Screens for dialect profiles: a form, a trial on a sample, and copies."""

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminTextareaWidget

from ingestion.dialect_forms import (
    COLUMN_INPUTS,
    LABEL_INPUTS,
    STATUS_INPUTS,
    DialectProfileForm,
    inputs_of,
)
from ingestion.models import DialectProfile
from ingestion.profiles import profile_restore
from ingestion.trials import MAX_BYTES, SHOWN, Trial, try_on
from tenants.adminkit import (
    DialogForm,
    ModelAdmin,
    after_dialog,
    change_url,
    dialog_action,
    json_block,
    link_action,
    log_change,
    pill,
    subtle,
)
from tenants.wording import age

#: Of what is pasted: a form is read into memory, and bounded for that reason.
MAX_PASTED_CHARS: Final = 256 * 1024
TOO_LARGE: Final = f"Choose a file of at most {MAX_BYTES // 1024:,} KiB."
TOO_LONG: Final = f"Paste {MAX_PASTED_CHARS:,} characters at most, or choose a file."


class SampleForm(forms.Form):
    """A sample, pasted or as a file."""

    sample_text = forms.CharField(
        label="Paste some lines",
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 8, "class": "dtq-mono", "wrap": "off", "spellcheck": "false"}
        ),
    )
    sample_file = forms.FileField(
        label="or choose a file", required=False, widget=UnfoldAdminFileFieldWidget()
    )

    def clean(self) -> dict[str, Any]:
        """Return the bytes of the sample as `sample`."""
        values = super().clean() or self.cleaned_data
        file = values.get("sample_file")
        text = values.get("sample_text") or ""
        if file is not None and file.size > MAX_BYTES:
            raise forms.ValidationError(TOO_LARGE)
        if len(text) > MAX_PASTED_CHARS:
            raise forms.ValidationError(TOO_LONG)
        values["sample"] = text.encode() if file is None else file.read()
        if not values["sample"]:
            raise forms.ValidationError("Paste some lines of a file, or choose one.")
        return values


class ConfirmForm(DialogForm):
    """Asks nothing but a yes."""


class BuiltInFilter(admin.SimpleListFilter):
    """Offers what the product brought along, and what people made."""

    title = "origin"
    parameter_name = "origin"

    def lookups(self, *_: Any) -> list[tuple[str, str]]:
        """Return the two origins."""
        return [("product", "of the product"), ("people", "made by people")]

    def queryset(self, request: HttpRequest, rows: Any) -> Any:
        """Keep the profiles of the chosen origin."""
        if self.value() is None:
            return rows
        return rows.filter(shipped__isnull=self.value() == "people")


def _rows(inputs: Any, width: int) -> tuple[tuple[str, ...], ...]:
    names = list(inputs)
    return tuple(
        tuple(names[start : start + width]) for start in range(0, len(names), width)
    )


@admin.register(DialectProfile)
class DialectProfileAdmin(ModelAdmin):
    """Dialects of the platform and of tenants."""

    form = DialectProfileForm
    list_display = ("name", "title", "owner", "origin", "changed")
    list_select_related = ("tenant",)
    list_filter = (("tenant", AutocompleteSelectFilter), BuiltInFilter)
    list_filter_submit = True
    search_fields = ("name", "title", "tenant__slug")
    search_help_text = "A name, a title, or a tenant"
    ordering = ("name", "tenant")
    autocomplete_fields = ("tenant",)
    readonly_fields = ("as_json",)
    warn_unsaved_form = True
    compressed_fields = False  # labels above the inputs: there are many
    change_form_after_template = "admin/ingestion/dialectprofile/sample.html"
    actions_detail: ClassVar = ["copy", "restore"]
    fieldsets = (
        (None, {"fields": (("name", "title", "tenant"),)}),
        (
            "The file",
            {
                "fields": (
                    ("delimiters", "search_lines"),
                    ("quoted", "has_header", "encodings"),
                    "trailer",
                ),
            },
        ),
        (
            "Columns",
            {
                "description": "The names that a column goes by in the file, with "
                "<code>&nbsp;|&nbsp;</code> between them. Only letters and digits "
                "count: Withdrawal Amount (INR ) is WITHDRAWAL AMOUNT(INR).",
                "fields": (*_rows(COLUMN_INPUTS, 3), ("required", "filled")),
            },
        ),
        (
            "Amounts and statuses",
            {
                "fields": (
                    ("direction", "decimal", "currency"),
                    ("debit_words", "credit_words", "negative_debits"),
                    ("status", *list(STATUS_INPUTS)[:2]),
                    tuple(list(STATUS_INPUTS)[2:]),
                ),
            },
        ),
        (
            "Dates, ids and references",
            {
                "fields": (
                    ("dates", "zone"),
                    ("txn_prefix", "account"),
                    ("reference_rule", "reference_strict", "extractors"),
                ),
            },
        ),
        (
            "Balances and totals",
            {
                "description": "Phrases that a cell begins with. What they state is "
                "behind them, in a later cell, or below in the next line.",
                "fields": (
                    *_rows(LABEL_INPUTS, 3),
                    ("order", "continued", "trailer_required"),
                ),
            },
        ),
        ("As JSON", {"classes": ("collapse",), "fields": ("as_json",)}),
    )

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Return the form; most of its inputs are no fields of the row."""
        kwargs["fields"] = ("name", "title", "tenant")
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Leave the JSON out of the form of a new profile."""
        return self.fieldsets if obj else self.fieldsets[:-1]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Begin with another profile, if a copy was asked for."""
        initial = super().get_changeform_initial_data(request)
        copied = str(initial.pop("copy", ""))
        if copied.isdigit():
            profile = DialectProfile.objects.filter(pk=int(copied)).first()
            if profile is not None:
                return inputs_of(profile.dialect_json)
        return initial

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Show the form with the place for a sample below."""
        return super().render_change_form(
            request,
            {**context, "sample_form": SampleForm(), "max_kib": MAX_BYTES // 1024},
            *args,
            **kwargs,
        )

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        """Save, and remember when."""
        obj.changed_at = timezone.now()
        super().save_model(request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse for what the product brings along: the next migration would, again."""
        may = super().has_delete_permission(request, obj)
        return may and (obj is None or not obj.is_built_in)

    def get_actions(self, request: HttpRequest) -> Any:
        """Offer no deletion of many: some of them may be the product's."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def has_copy_permission(self, request: HttpRequest, _: Any = None) -> bool:
        """Let those copy a profile who may add one."""
        return self.has_add_permission(request)

    # --- Trial ------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Add the trial."""
        trial = self.admin_site.admin_view(self.trial)
        name = "ingestion_dialectprofile_try"
        return [path("try/", trial, name=name), *super().get_urls()]

    def trial(self, request: HttpRequest) -> HttpResponse:
        """Show what the form as it stands makes of a sample; nothing is saved."""
        may = self.has_add_permission(request) or self.has_change_permission(request)
        if request.method != "POST" or not may:
            raise PermissionDenied
        form = self.get_form(request)(request.POST)
        sample = SampleForm(request.POST, request.FILES)
        form.full_clean()
        trial: Trial | None = None
        if form.dialect is not None and sample.is_valid():
            trial = try_on(form.dialect, sample.cleaned_data["sample"])
        context = {
            "trial": trial,
            "shown": SHOWN,
            "flaws": [] if form.dialect else list(_flaws(form)),
            "sample_errors": sample.non_field_errors(),
        }
        template = "admin/ingestion/dialectprofile/trial.html"
        return TemplateResponse(request, template, context)

    # --- Copies, and the way back -----------------------------------------------------

    @link_action(
        description="Copy this profile", permissions=["copy"], icon="content_copy"
    )
    def copy(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Open the form of a new profile that says the same."""
        profile = get_object_or_404(DialectProfile, pk=object_id)
        url = reverse("admin:ingestion_dialectprofile_add")
        return HttpResponseRedirect(f"{url}?copy={profile.pk}")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer the way back only where there is one."""
        actions = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        profile = DialectProfile.objects.filter(pk=object_id).first()
        if profile is not None and profile.is_edited:
            return list(actions)
        return [each for each in actions if not each.action_name.endswith("_restore")]

    @dialog_action(
        description="Restore",
        text="Puts back what the product brought along. Loads that have begun go on "
        "with the dialect that they began with.",
        form=ConfirmForm,
        permissions=["change"],
        icon="history",
    )
    def restore(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        """Put back what the product brought along."""
        profile = get_object_or_404(DialectProfile, pk=object_id)
        profile_restore(profile=profile, now=timezone.now())
        rows = DialectProfile.objects.filter(pk=profile.pk)
        log_change(request, rows, "Restored what the product brought along.")
        self.message_user(request, f"{profile.name}: restored.", messages.SUCCESS)
        return after_dialog(change_url(DialectProfile, profile.pk))

    # --- Columns ----------------------------------------------------------------------

    @admin.display(description="Whose", ordering="tenant")
    def owner(self, profile: DialectProfile) -> SafeString | str:
        """Return the tenant, or that it is the platform's."""
        return profile.tenant_id or subtle("platform")

    @admin.display(description="Origin", ordering="shipped")
    def origin(self, profile: DialectProfile) -> SafeString:
        """Return who made it, and whether it was changed."""
        if not profile.is_built_in:
            return pill("made by people", "info")
        if profile.is_edited:
            return pill("edited", "retryable")
        return pill("of the product", "succeeded")

    @admin.display(description="Changed", ordering="changed_at")
    def changed(self, profile: DialectProfile) -> SafeString:
        """Return when somebody saved it last."""
        return subtle(age(profile.changed_at, now=timezone.now()) or "–")

    @admin.display(description="Dialect")
    def as_json(self, profile: DialectProfile) -> SafeString:
        """Return the dialect as docs/dialects.md describes it."""
        return json_block(profile.dialect_json)


def _flaws(form: Any) -> Iterator[tuple[str, str]]:
    """Yield label and reason for everything that is wrong with a dialect.

    Its name, its tenant and whether there is one already do not matter for a trial.
    """
    for name, texts in form.errors.items():
        if name not in {"name", "tenant", NON_FIELD_ERRORS}:
            for text in texts:
                yield form.fields[name].label, text
