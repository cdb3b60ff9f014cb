"""How much a row moves, and whether it is a credit or a debit."""

from collections.abc import Sequence
from decimal import Decimal

from ingestion.sources.base import FieldError, Reason, visible
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.headers import Layout, key_of
from ingestion.sources.dialect.money import Money, read_money

Side = tuple[Decimal, str]


class Sides:
    """Reads the amount of a row from the columns that its file has for it."""

    def __init__(self, dialect: Dialect, layout: Layout) -> None:
        self._decimal = dialect.decimal
        self._layout = layout
        self._debit, self._credit = layout.place("debit"), layout.place("credit")
        self._amount = layout.place("amount")
        self._direction = layout.place("direction")
        self._rule = "column" if "direction" in layout.at else dialect.direction
        self._negative_debits = dialect.negative_debits
        self._words = {key_of(word): "D" for word in dialect.debit_words} | {
            key_of(word): "C" for word in dialect.credit_words
        }
        self.read = self._of_columns if layout.has_sides else self._of_amount

    def is_blank(self, texts: Sequence[str]) -> bool:
        """Return whether the row says nothing of an amount."""
        if self._layout.has_sides:
            return not texts[self._debit] and not texts[self._credit]
        return not texts[self._amount]

    def _of_columns(self, texts: Sequence[str], currency: str) -> Side:
        """Return amount and direction of a row that has a column for each side."""
        debit = self._one_side("debit", texts[self._debit], currency)
        credit = self._one_side("credit", texts[self._credit], currency)
        if debit and credit:
            column = self._layout.name("credit")
            raise FieldError(column, Reason.BOTH_SIDES, visible(texts[self._credit]))
        if debit:
            return debit, "D"
        if credit:
            return credit, "C"
        # A zero is written where there is nothing; with nothing else it is an amount.
        for field, amount in (("debit", debit), ("credit", credit)):
            if amount is not None:
                text = texts[self._layout.at[field]]
                raise FieldError(
                    self._layout.name(field), Reason.ZERO_AMOUNT, visible(text)
                )
        raise FieldError(self._layout.name("debit"), Reason.MISSING_VALUE, "")

    def _one_side(self, field: str, text: str, currency: str) -> Decimal | None:
        column = self._layout.name(field)
        money = read_money(column, text, currency, self._decimal)
        if money is None:
            return None
        own = "D" if field == "debit" else "C"
        if money.side not in ("", own):
            raise FieldError(column, Reason.INVALID_SIDE, visible(text))
        if money.amount and own == "D" and self._negative_debits:
            if not money.is_negative:  # among debits with a minus, one that is none
                raise FieldError(column, Reason.INVALID_SIDE, visible(text))
        elif money.amount and money.is_negative and money.side != "D":
            raise FieldError(column, Reason.NEGATIVE_AMOUNT, visible(text))
        return money.amount

    def _of_amount(self, texts: Sequence[str], currency: str) -> Side:
        """Return amount and direction of a row that has one column for the amount."""
        column, text = self._layout.name("amount"), texts[self._amount]
        money = read_money(column, text, currency, self._decimal)
        if money is None:
            raise FieldError(column, Reason.MISSING_VALUE, "")
        direction = self._direction_of(column, text, texts, money)
        if not money.amount:
            raise FieldError(column, Reason.ZERO_AMOUNT, visible(text))
        return money.amount, direction

    def _direction_of(
        self, column: str, text: str, texts: Sequence[str], money: Money
    ) -> str:
        if self._rule == "column":
            direction = self._told(texts[self._direction])
        else:
            direction = _BY_RULE[self._rule][money.is_negative]
            if self._rule not in _FIXED:
                direction = money.side or direction
        if not direction or money.side not in ("", direction):
            raise FieldError(column, Reason.INVALID_SIDE, visible(text))
        if money.is_negative and not self._may_be_negative(direction, money):
            raise FieldError(column, Reason.NEGATIVE_AMOUNT, visible(text))
        return direction

    def _may_be_negative(self, direction: str, money: Money) -> bool:
        """Return whether a minus only says what is known: that it is a debit."""
        reads_sign = self._rule in ("sign", "reversed_sign")
        says_debit = self._rule == "column" or money.side == "D"
        return reads_sign or (direction == "D" and says_debit)

    def _told(self, word: str) -> str:
        """Return the direction that a word of the column says."""
        column = self._layout.name("direction")
        if not word:
            raise FieldError(column, Reason.MISSING_VALUE, "")
        if direction := self._words.get(key_of(word)):
            return direction
        raise FieldError(column, Reason.INVALID_SIDE, visible(word))


#: The rules by which every amount of a file goes the same way.
_FIXED = ("credit", "debit")
#: For each rule the direction of an amount without a minus, and with one.
_BY_RULE = {
    "sign": ("C", "D"),
    "reversed_sign": ("D", "C"),
    "suffix": ("", ""),
    "credit": ("C", "C"),
    "debit": ("D", "D"),
}
