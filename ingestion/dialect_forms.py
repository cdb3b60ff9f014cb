"""The form of a dialect: each part of its definition is an input of its own."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from django import forms
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from ingestion.dialect_inputs import (
    DelimitersField,
    LinesField,
    ListField,
    choice,
    several,
    switch,
    text,
)
from ingestion.models import DialectProfile
from ingestion.profiles import definition_of
from ingestion.sources.dialect import references
from ingestion.sources.dialect.checks import FILLABLE, STATUSES, checked
from ingestion.sources.dialect.definition import FIELDS, LABELS, Dialect, DialectError
from ingestion.sources.dialect.encodings import ENCODINGS
from ingestion.sources.registry import SOURCES

DIRECTION_CHOICES: Final = {
    "sign": "its sign: a minus is a debit",
    "reversed_sign": "its sign: a minus is a credit",
    "suffix": "Dr or Cr behind it",
    "credit": "nothing: every row is a credit",
    "debit": "nothing: every row is a debit",
}
RULE_CHOICES: Final = {
    "any": "anything",
    "rrn12": "an RRN of 12 digits",
    "neft_utr": "a UTR of NEFT",
    "rtgs_utr": "a UTR of RTGS",
    "utr": "a UTR of NEFT or RTGS",
}
ORDER_CHOICES: Final = {
    "auto": "as the days and balances tell",
    "oldest_first": "the oldest row first",
    "newest_first": "the newest row first",
}


_COLUMN_HELP: Final = {
    "id": "The file's own id of a payment. Statements rarely have one: leave it empty.",
    "date": "Needed.",
    "value_date": "Checked, and kept in the raw row.",
    "debit": "Withdrawals. With credits it goes before the amount.",
    "credit": "Deposits.",
    "amount": "One column for both sides.",
    "direction": "Says whether the amount is a debit or a credit.",
    "balance": "The balance behind the row: it is checked.",
    "balance_direction": "Dr or Cr of the balance. The second column of a name is "
    "written with #2: Dr / Cr#2.",
    "narration": "Any text; references are looked for in it.",
    "reference": "UTR, RRN, cheque number.",
    "time": "If it is not behind the date.",
}
_LABEL_HELP: Final = {
    "account": "Account No | A/c No",
    "opening": "Opening Balance",
    "closing": "Closing Balance",
    "row_count": "Total Records, or T@2: the second cell of a line whose first is T",
    "debit_sum": "Total Debits",
    "credit_sum": "Total Credits",
    "total_sum": "Total Amount: debits and credits together, without their signs",
    "totals": "A line with sums in the columns of the amounts: Grand Total",
}


def _title(name: str) -> str:
    return {"id": "Id", "ifsc": "IFSC", "vpa": "VPA"}.get(
        name, name.replace("_", " ").capitalize()
    )


#: The parts of a dialect that are inputs of their own, by the input's name.
COLUMN_INPUTS: Final = {f"columns_{name}": name for name in FIELDS}
LABEL_INPUTS: Final = {f"labels_{name}": name for name in LABELS}
STATUS_INPUTS: Final = {f"status_words_{name}": name for name in STATUSES}


def _lists() -> Iterator[tuple[str, ListField]]:
    for key, name in COLUMN_INPUTS.items():
        yield key, ListField(label=_title(name), help_text=_COLUMN_HELP.get(name, ""))
    for key, name in LABEL_INPUTS.items():
        yield key, ListField(label=_title(name), help_text=_LABEL_HELP.get(name, ""))
    for key, name in STATUS_INPUTS.items():
        yield key, ListField(label=f"Words for {name}")


class DialectProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """Makes a dialect of its inputs; `dialect` is it, unless something is wrong."""

    delimiters = DelimitersField(
        label="Delimiters",
        help_text="In the order of trial: comma, semicolon, tab, pipe, tilde, caret, "
        "or up to three of the characters themselves, such as ~|~.",
    )
    quoted = switch("Quotes hold fields", "Else a quote is a character.")
    encodings = several(
        "Encodings",
        ENCODINGS,
        "A line that is not UTF-8 is read as the single-byte one, if it is allowed.",
    )
    has_header = switch(
        "Has a header", "Else the columns below are places: 1, 2 and so on."
    )
    search_lines = forms.IntegerField(
        label="Search lines",
        help_text="The header stands within so many lines.",
        widget=UnfoldAdminIntegerFieldWidget(),
    )
    trailer = LinesField(
        label="Trailer", help_text="How the part behind the rows begins; one a line."
    )
    required = several(
        "The header must have",
        FIELDS,
        "Besides id, date and amount.",
    )
    filled = several("Every row must have", FILLABLE)
    txn_prefix = text("Prefix of ids", "LEDGER makes LEDGER:&lt;id&gt;.")
    account = text("Account", "Of all rows, if the file does not say it.")
    reference_rule = choice("A reference is", RULE_CHOICES)
    reference_strict = switch(
        "Refuse other references", "Else the row is kept, and flagged."
    )
    extractors = several(
        "Look in the narration for",
        references.EXTRACTORS,
        "The first one that is found is the row's reference.",
    )
    direction = choice(
        "An amount's side is told by",
        DIRECTION_CHOICES,
        "Where one column has the amounts and none the direction.",
    )
    debit_words = ListField(label="Words for debits")
    credit_words = ListField(label="Words for credits")
    negative_debits = switch("Debits have a minus", "In the column of debits.")
    decimal = choice("Decimal point", {".": "1,234.50", ",": "1.234,50"})
    currency = text("Currency", "Of rows that name none.")
    status = choice(
        "Status", {s: s for s in STATUSES}, "Of all rows, where no column says it."
    )
    dates = LinesField(
        label="Forms of dates",
        help_text="One a line: DD/MM/YYYY, DD-MM-YY, DD-Mon-YYYY, YYYY-MM-DD, "
        "YYYYMMDD. A time may stand behind the date.",
    )
    zone = text("Time zone", "Of times without an offset.")
    continued = switch(
        "Narrations go on", "A row without date and amount belongs to the one above."
    )
    order = choice("Order", ORDER_CHOICES)
    trailer_required = switch("A count or sum must come", "Else the file is a fault.")

    class Meta:
        model = DialectProfile
        # The tenant comes with the request: its choices are read within a scope.
        fields: ClassVar = ["name", "title"]
        widgets: ClassVar = {
            "name": UnfoldAdminTextInputWidget(),
            "title": UnfoldAdminTextInputWidget(),
        }
        help_texts: ClassVar = {
            "tenant": "Empty: the platform's, for every tenant. A tenant's own profile "
            "goes before the platform's of the same name.",
            "title": "For people.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(_lists())
        self.dialect: Dialect | None = None
        profile = self.instance
        known = profile.dialect_json if profile.pk else NEW
        self.initial = {**inputs_of(known), **self.initial}

    def clean_name(self) -> str:
        """Refuse a name that would never be asked for."""
        name = str(self.cleaned_data["name"])
        if name in SOURCES:
            said = f"{name} is a format of the product: choose another name."
            raise forms.ValidationError(said)
        return name

    def clean(self) -> dict[str, Any]:
        """Make the dialect; what is wrong with it is told at its input."""
        values = super().clean() or self.cleaned_data
        if self.errors.keys() - {"name", "tenant"}:
            return values
        try:
            self.dialect = checked(Dialect.from_json(dialect_json(values)))
        except DialectError as error:
            for place, texts in error.errors.items():
                name = place.replace(".", "_")
                self.add_error(name if name in self.fields else None, texts)
        else:
            self.instance.definition = definition_of(self.dialect.to_json())
        return values


#: What a new profile begins with.
NEW: Final = Dialect(
    name="",
    encodings=("utf-8", "cp1252"),
    dates=("DD/MM/YYYY", "DD-MM-YYYY", "DD-Mon-YYYY", "YYYY-MM-DD"),
).to_json()
#: The parts that are not inputs of their own.
_SPREAD: Final = {
    "columns": COLUMN_INPUTS,
    "labels": LABEL_INPUTS,
    "status_words": STATUS_INPUTS,
}


def inputs_of(dialect: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the inputs that make a dialect."""
    dialect = {**Dialect(name="").to_json(), **dialect}
    values = {name: value for name, value in dialect.items() if name not in _SPREAD}
    for part, inputs in _SPREAD.items():
        values |= {key: dialect[part].get(name, []) for key, name in inputs.items()}
    return values


def dialect_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dialect that the values of the inputs make, as JSON."""
    made = {name: value for name, value in values.items() if name in NEW}
    for part, inputs in _SPREAD.items():
        filled = {name: values.get(key) for key, name in inputs.items()}
        made[part] = {name: texts for name, texts in filled.items() if texts}
    # A trial needs no name yet.
    return {"name": "NEW", **made}
