"""What the lines around the rows state: the account, balances, counts and sums.

A label begins a cell, and its value stands behind it, in a later cell of its line, or
in the same place of the next line. `T@3` is the third cell of a line whose first is T.
What is found is kept as text in a short list, which travels in the reader's state.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import takewhile
from typing import Final, NamedTuple

from ingestion.sources.base import FieldError
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.headers import Layout, key_of
from ingestion.sources.dialect.money import Money, read_money

#: Cells are looked at so far, and so many statements are kept.
MAX_CHARS: Final = 500
MAX_TOLD: Final = 40
COUNTS: Final = frozenset({"row_count", "debit_count", "credit_count"})
BALANCES: Final = frozenset({"opening", "closing"})
UNSIGNED: Final = frozenset({"debit_sum", "credit_sum"})

#: A number, masked or whole, that separators may divide. A date is none.
_NUMBER: Final = re.compile("[0-9A-Za-z*]+(?:[-/.][0-9A-Za-z*]+)*")
_DATE: Final = re.compile("[0-9]{1,4}([-/.])(?:[0-9]{1,2}|[A-Za-z]{3})\\1[0-9]{2,4}")
#: Numbers are written in groups of that many, each group a word.
_GROUP: Final = re.compile("[0-9Xx*]{2,6}")
_IBAN_BEGINS: Final = re.compile("[A-Z]{2}[0-9]{2}")
_IBAN_GROUP: Final = re.compile("[0-9A-Z]{1,4}")
#: What spreadsheets and banks put around a number, so that it stays one.
_AROUND: Final = "()[],;:.'\"_-"
_DIVIDERS: Final = re.compile("[-/.]")
_ACCOUNT_CHARS: Final = range(4, 35)
_COUNT: Final = re.compile("[0-9]{1,3}(?:,[0-9]{2,3})+|[0-9]+")
_SEPARATOR: Final = re.compile("[*=_+-]+")


class Told(NamedTuple):
    """A figure that the file states, and in which line."""

    line: int
    label: str
    value: str


def is_separator(cells: Sequence[str]) -> bool:
    """Return whether a line holds nothing, or only stars and rules."""
    return all(_SEPARATOR.fullmatch(text) for cell in cells if (text := cell.strip()))


class Notes:
    """Collects what is stated; `told` is what was found so far."""

    def __init__(self, dialect: Dialect, told: Sequence[Told] = ()) -> None:
        self._dialect = dialect
        self._phrases = [
            (key, label, int(place or 0))
            for label, phrases in dialect.labels.items()
            for phrase in phrases
            for name, _, place in [phrase.partition("@")]
            if (key := key_of(name))
        ]
        # The longest first: "Account Number" before "Account No".
        self._phrases.sort(key=lambda phrase: -len(phrase[0]))
        self._trailer = tuple(map(key_of, dialect.trailer))
        self.told = list(told)
        #: Labels that wait for their values in the next line, by place.
        self._waiting: dict[int, str] = {}

    @property
    def account(self) -> str:
        """Return the account that was stated first, blank without one."""
        return next((told.value for told in self.told if told.label == "account"), "")

    @property
    def waits(self) -> bool:
        """Return whether the next line holds values of labels in this one."""
        return bool(self._waiting)

    def forget(self) -> None:
        """Wait for no values any more: a row came instead."""
        self._waiting.clear()

    def begins_trailer(self, cells: Sequence[str]) -> bool:
        """Return whether the part behind the rows begins with this line."""
        first = next((text for cell in cells if (text := cell.strip())), "")
        key = key_of(first[:MAX_CHARS])
        return bool(self._trailer) and key.startswith(self._trailer)

    def states(self, cells: Sequence[str]) -> bool:
        """Return whether the line has one of the labels."""
        return any(self._labels(cells))

    def take(
        self, line: int, cells: Sequence[str], layout: Layout | None = None
    ) -> None:
        """Keep what the line states."""
        waiting, self._waiting = self._waiting, {}
        for place, label in waiting.items():
            if place < len(cells):
                self._keep(line, label, self._value(label, cells[place]))
        labels = list(self._labels(cells))
        places = {place for place, _, _ in labels}
        for place, label, rest in labels:
            if label == "totals":
                self._take_totals(line, cells, layout)
            elif label in BALANCES and self._keep(
                line, label, self._in_column(label, "balance", cells, layout)
            ):
                continue
            elif not self._keep(line, label, self._value(label, rest)):
                self._look_on(line, label, place, cells, places)

    def _labels(self, cells: Sequence[str]) -> Iterator[tuple[int, str, str]]:
        """Yield place, label and the text behind it, for each cell with a label."""
        first = True
        for place, cell in enumerate(cells):
            text = cell.strip()[:MAX_CHARS]
            if not text:
                continue
            for key, label, told_place in self._phrases:
                if told_place:
                    if first and key_of(text) == key and told_place <= len(cells):
                        yield place, label, cells[told_place - 1]
                elif (rest := _behind(text, key)) is not None:
                    yield place, label, rest
                    break
            first = False

    def _look_on(
        self,
        line: int,
        label: str,
        place: int,
        cells: Sequence[str],
        labelled: set[int],
    ) -> None:
        """Look for a label's value in the cells behind it, else wait for it."""
        for later in range(place + 1, len(cells)):
            if later in labelled:
                break
            if self._keep(line, label, self._value(label, cells[later])):
                return
        self._waiting[place] = label

    def _take_totals(
        self, line: int, cells: Sequence[str], layout: Layout | None
    ) -> None:
        """Keep the sums of a line that has them in the columns of the amounts."""
        for field, label in (
            ("debit", "debit_sum"),
            ("credit", "credit_sum"),
            ("amount", "total_sum"),
        ):
            self._keep(line, label, self._in_column(label, field, cells, layout))

    def _in_column(
        self, label: str, field: str, cells: Sequence[str], layout: Layout | None
    ) -> str:
        """Return the value in the column of a field, if the line has the columns."""
        if layout is None or field not in layout.at or len(cells) < len(layout.names):
            return ""
        return self._value(label, cells[layout.at[field]])

    def _keep(self, line: int, label: str, value: str) -> bool:
        if not value:
            return False
        if all((told.label, told.value) != (label, value) for told in self.told):
            self.told.append(Told(line, label, value))
            del self.told[MAX_TOLD:]
        return True

    def _value(self, label: str, text: str) -> str:
        """Return the value in a text in its one form, blank without one."""
        words = text[:MAX_CHARS].strip(" \t:=").split()
        if label == "account":
            return account_in(words)
        if label in COUNTS:
            return next((_plain(w) for w in words if _COUNT.fullmatch(w)), "")
        money = self._amount(words)
        if money is None:
            return ""
        return str(money.amount if label in UNSIGNED else money.signed)

    def _amount(self, words: Sequence[str]) -> Money | None:
        """Return the last amount of a text: dates and words may stand before it."""
        for size in (1, 2, 3):
            text = " ".join(words[-size:])
            # Bare digits behind other words may as well be a date.
            is_plain = len(words) <= size or "." in text or "," in text
            if is_plain and (money := self._money(text)) is not None:
                return money
        return None

    def _money(self, text: str) -> Money | None:
        dialect = self._dialect
        try:
            return read_money("", text, dialect.currency, dialect.decimal)
        except FieldError:
            return None


def account_in(words: Sequence[str]) -> str:
    """Return the first account number among words, whole and in one piece, or "".

    `9170-1001-2345`, `0004 0112 3456` and `XXXX XXXX 1234` are one number each: cut at
    a separator, the accounts of a bank would all be one.
    """
    for place, word in enumerate(words):
        number = word.strip(_AROUND)
        if not _NUMBER.fullmatch(number) or _DATE.fullmatch(number):
            continue
        is_iban = _IBAN_BEGINS.fullmatch(number)
        group = _IBAN_GROUP if is_iban else _GROUP
        more: Iterable[str] = ()
        if is_iban or _GROUP.fullmatch(number):
            more = takewhile(group.fullmatch, words[place + 1 :])
        account = _DIVIDERS.sub("", "".join([number, *more]))
        if len(account) in _ACCOUNT_CHARS and any(map(str.isdigit, account)):
            return account
    return ""


def _plain(count: str) -> str:
    return count.replace(",", "")


def _behind(text: str, key: str) -> str | None:
    """Return what stands behind a label in a text; None if it does not begin so."""
    wanted = iter(key)
    letter = next(wanted, None)
    for place, char in enumerate(text):
        if letter is None:
            return None if char.isalnum() else text[place:]
        if not char.isalnum():
            continue
        if char.casefold() != letter:
            return None
        letter = next(wanted, None)
    return "" if letter is None else None


def figure(told: Told) -> Decimal:
    """Return the figure that is told."""
    return Decimal(told.value)
