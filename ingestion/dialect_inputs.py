"""The kinds of inputs that the form of a dialect has.

Lists are written as one line: texts with ` | ` between them, for a name of a column may
hold almost anything else.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

BETWEEN: Final = " | "
DELIMITER_WORDS: Final = {
    ",": "comma",
    ";": "semicolon",
    "\t": "tab",
    "|": "pipe",
    "~": "tilde",
    "^": "caret",
}


class ListField(forms.CharField):
    """Several texts in one line."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", UnfoldAdminTextInputWidget())
        super().__init__(required=False, strip=True, **options)

    def prepare_value(self, value: Any) -> Any:
        """Return the texts as one line."""
        return value if value is None or isinstance(value, str) else BETWEEN.join(value)

    def to_python(self, value: Any) -> Any:
        """Return the texts of a line; blank ones are dropped."""
        line = str(super().to_python(value))
        return [text for part in line.split(BETWEEN) if (text := part.strip())]


class DelimitersField(ListField):
    """Delimiters by their names, or as they are."""

    def prepare_value(self, value: Any) -> Any:
        """Return the delimiters as words."""
        if value is None or isinstance(value, str):
            return value
        return " ".join(DELIMITER_WORDS.get(text, text) for text in value)

    def to_python(self, value: Any) -> Any:
        """Return the delimiters that the words name."""
        words = str(forms.CharField(required=False).to_python(value)).split()
        by_word = {word: mark for mark, word in DELIMITER_WORDS.items()}
        return [by_word.get(word.lower(), word) for word in words]


class LinesField(ListField):
    """Several texts, one in each line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(widget=UnfoldAdminTextareaWidget(attrs={"rows": 6}), **options)

    def prepare_value(self, value: Any) -> Any:
        """Return the texts as lines."""
        return value if value is None or isinstance(value, str) else "\n".join(value)

    def to_python(self, value: Any) -> Any:
        """Return the lines that are not blank."""
        text = str(forms.CharField(required=False).to_python(value))
        return [line.strip() for line in text.splitlines() if line.strip()]


def text(label: str, help_text: str = "", **options: Any) -> forms.CharField:
    return forms.CharField(
        label=label,
        help_text=help_text,
        required=False,
        widget=UnfoldAdminTextInputWidget(),
        **options,
    )


def switch(label: str, help_text: str = "") -> forms.BooleanField:
    return forms.BooleanField(
        label=label,
        help_text=help_text,
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
    )


def choice(label: str, choices: Mapping[str, str], help_text: str = "") -> Any:
    return forms.ChoiceField(
        label=label,
        choices=list(choices.items()),
        help_text=help_text,
        widget=UnfoldAdminSelectWidget(),
    )


def several(label: str, choices: Iterable[str], help_text: str = "") -> Any:
    return forms.MultipleChoiceField(
        label=label,
        choices=[(name, name.replace("_", " ")) for name in choices],
        required=False,
        help_text=help_text,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )
