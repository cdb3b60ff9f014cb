"""What every screen of the admin shares: read-only ledgers, pills, capped counts."""

import json
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from unfold.decorators import action as unfold_action

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    StackedInline = admin.StackedInline[Any, Any]
    _Base = admin.ModelAdmin[Any]

    from django.contrib.admin.views.main import ChangeList
    from django.forms import Form as DialogForm
else:
    from unfold.admin import ModelAdmin, StackedInline
    from unfold.forms import BaseDialogForm as DialogForm
    from unfold.views import ChangeList

    _Base = object

__all__ = ["ChangeList", "DialogForm", "ModelAdmin", "StackedInline"]

MAX_COUNTED: Final = 10_000

Method = TypeVar("Method", bound=Callable[..., Any])


class CappedCount(int):
    """A count that stopped at the cap, and says so."""

    def __str__(self) -> str:
        return f"{int(self):,}+" if self >= MAX_COUNTED else f"{int(self):,}"


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts at most `MAX_COUNTED` rows: an exact count reads the whole table."""

    @cached_property
    def count(self) -> CappedCount:
        """Return the number of rows, or the cap."""
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return CappedCount(len(rows))
        return CappedCount(rows.order_by()[:MAX_COUNTED].count())


class LedgerChangeList(ChangeList):
    """Does not offer to show all where all are shown."""

    def get_results(self, request: HttpRequest) -> None:
        """Read a page of rows."""
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = self.result_count


class ReadOnlyAdmin(ModelAdmin):
    """A table to look at: nothing is added, changed or deleted by hand.

    Made for big tables: no exact counts, and no ordering but by the primary key.
    """

    show_full_result_count = False
    paginator = CappedPaginator
    list_per_page = 50
    list_max_show_all = 50
    sortable_by: ClassVar[tuple[str, ...]] = ()
    ordering: ClassVar[tuple[str, ...]] = ("-pk",)
    list_filter_submit = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the kind of list that these tables have."""
        return LedgerChangeList

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse."""
        return False


class ChangesOnly(_Base):
    """Saves what a person changed in the form, and nothing else of the row.

    The form carries what it showed, so that a switch which somebody turned between the
    showing and the saving stays as it was turned. Put it before ModelAdmin.
    """

    #: Fields that `save_model` sets by itself.
    saved_too: ClassVar[tuple[str, ...]] = ()

    def formfield_for_dbfield(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Send along what the field showed."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            field.show_hidden_initial = True
        return field

    def save_model(
        self, request: HttpRequest, obj: Any, form: Any, change: bool
    ) -> None:
        """Save a new row whole, and of an old one what was changed."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        columns = {field.name for field in obj._meta.concrete_fields}
        changed = columns.intersection([*form.changed_data, *self.saved_too])
        obj.save(update_fields=sorted(changed))


def opening_scopes(view: Method) -> Method:
    """Mark a view whose POST opens scopes itself: it talks to what may be slow.

    Otherwise an admin request runs as platform staff in one transaction.
    """
    view._opens_scopes = True  # type: ignore[attr-defined]
    return view


def opens_scopes(view: Callable[..., Any]) -> bool:
    """Tell whether a view is marked so."""
    return getattr(view, "_opens_scopes", False)


def dialog_action(
    *, description: str, text: str, form: type[Any], **options: Any
) -> Callable[[Method], Method]:
    """Declare a button of a detail page that first opens a dialog with a form."""
    dialog = {
        "title": description,
        "description": text,
        "form_class": form,
        "form_submit_text": description,
    }
    decorator: Callable[[Method], Method] = unfold_action(
        description=description, dialog=dialog, **options
    )
    return decorator


def link_action(*, description: str, **options: Any) -> Callable[[Method], Method]:
    """Declare a button of a detail page that leads to a page of its own."""
    decorator: Callable[[Method], Method] = unfold_action(
        description=description, **options
    )
    return decorator


def after_dialog(url: str) -> HttpResponse:
    """Return the answer that makes the page of a dialog go to `url`."""
    return HttpResponse(headers={"HX-Redirect": url})


def log_change(request: HttpRequest, rows: "QuerySet[Any]", message: str) -> None:
    """Write who did what to these rows into the admin's history."""
    LogEntry.objects.log_actions(
        user_id=request.user.pk or 0,
        queryset=rows,
        action_flag=CHANGE,
        change_message=message,
    )


def pill(text: object, tone: str) -> SafeString:
    """Return a coloured label; the tones are those of admin.css."""
    return format_html('<span class="dtq-pill dtq-tone-{}">{}</span>', tone, text)


def subtle(text: object) -> SafeString:
    """Return text that steps back."""
    return format_html('<span class="dtq-subtle">{}</span>', text)


def two_lines(first: object, second: str) -> SafeString:
    """Return the lines of a cell; on a phone they stand beside the column's name."""
    below = format_html(
        '<br><span class="dtq-subtle dtq-clip" title="{}">{}</span>', second, second
    )
    return format_html(
        '<div class="dtq-two">{}{}</div>', first, below if second else ""
    )


def mono(text: object) -> SafeString:
    """Return an identifier in letters of one width."""
    return format_html('<span class="dtq-mono">{}</span>', text)


def json_block(value: object) -> SafeString:
    """Return a value as indented, escaped JSON."""
    if value is None:
        return subtle("–")
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return format_html('<pre class="dtq-code">{}</pre>', text)


def code_block(text: str) -> SafeString:
    """Return text as it is, escaped, in letters of one width."""
    return format_html('<pre class="dtq-code">{}</pre>', text) if text else subtle("–")


def change_url(model: type[Model] | Model, pk: object) -> str:
    """Return the address of a row's own page."""
    options = model._meta
    return reverse(
        f"admin:{options.app_label}_{options.model_name}_change", args=[str(pk)]
    )


def moment(field: str, title: str) -> Callable[[Any, Any], str]:
    """Return a column that shows a time to the second, with its zone."""

    @admin.display(description=title)
    def column(_: Any, row: Any) -> str:
        value = getattr(row, field)
        return f"{localtime(value):%Y-%m-%d %H:%M:%S %Z}" if value else "–"

    return column


def row_link(model: type[Model] | Model, pk: object, text: object) -> SafeString:
    """Return a link to a row's own page."""
    return format_html(
        '<a class="dtq-link" href="{}">{}</a>', change_url(model, pk), text
    )
