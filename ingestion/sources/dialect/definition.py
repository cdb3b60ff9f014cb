"""What a dialect says: a frozen value that goes to JSON and back.

Everything here is data; checks.py says what is wrong with it, field by field, and
source.py turns it into a reader.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, Self

#: What a column of the file may mean.
FIELDS: Final = (
    *("id", "reference", "account", "counterparty", "ifsc", "vpa"),
    *("date", "time", "value_date", "narration"),
    *("debit", "credit", "amount", "direction", "currency", "status"),
    *("balance", "balance_direction"),
)
#: What the lines around the rows may state.
LABELS: Final = (
    *("account", "opening", "closing", "row_count", "debit_count", "credit_count"),
    *("debit_sum", "credit_sum", "total_sum", "totals"),
)
#: The labels whose values are checked against the rows.
TOTALS: Final = LABELS[1:]


class DialectError(ValueError):
    """A dialect that cannot be used; `errors` has the reasons of each field."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        text = "; ".join(f"{name}: {' '.join(said)}" for name, said in errors.items())
        super().__init__(text)
        self.errors = dict(errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A layout of delimited text; docs/dialects.md explains every field."""

    name: str
    title: str = ""
    # The file
    delimiters: tuple[str, ...] = (",",)
    quoted: bool = True
    encodings: tuple[str, ...] = ("utf-8",)
    has_header: bool = True
    search_lines: int = 50
    trailer: tuple[str, ...] = ()
    # Its columns: for each field the names it goes by, or its place
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()
    # Ids
    txn_prefix: str = ""
    account: str = ""
    # References
    reference_rule: str = "any"
    reference_strict: bool = False
    extractors: tuple[str, ...] = ()
    # Money
    direction: str = "sign"
    debit_words: tuple[str, ...] = ("D", "DR", "DEBIT")
    credit_words: tuple[str, ...] = ("C", "CR", "CREDIT")
    negative_debits: bool = False
    decimal: str = "."
    currency: str = "INR"
    # Status
    status: str = "SUCCESS"
    status_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # Time
    dates: tuple[str, ...] = ()
    zone: str = "Asia/Kolkata"
    # Statements
    continued: bool = False
    order: str = "auto"
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    trailer_required: bool = False

    @property
    def has_totals(self) -> bool:
        """Return whether its files state totals or balances."""
        return "balance" in self.columns or any(name in self.labels for name in TOTALS)

    @property
    def is_statement(self) -> bool:
        """Return whether its files are statements of an account."""
        stated = {"opening", "closing"} & self.labels.keys()
        return "balance" in self.columns or bool(stated)

    @property
    def stands_alone(self) -> bool:
        """Return whether a row of its files is good without the others.

        It has an id of its own, is one record, and no balance or trailer counts on it.
        """
        counts_on_others = self.continued or self.trailer_required or self.is_statement
        return "id" in self.columns and not counts_on_others

    def to_json(self) -> dict[str, Any]:
        """Return the dialect as a JSON object."""
        return {name: _plain(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Return the dialect that a JSON object describes.

        Raises DialectError for what is no field, or of the wrong type; whether the
        values make sense is for `checks.checked`.
        """
        if not isinstance(data, Mapping):
            raise DialectError({"": ["A dialect is a JSON object."]})
        errors: dict[str, list[str]] = {}
        values: dict[str, Any] = {}
        for name, value in data.items():
            if name not in _TYPES:
                errors[str(name)] = ["There is no such field."]
                continue
            try:
                values[name] = _TYPES[name](value)
            except TypeError as error:
                errors[name] = [str(error)]
        if "name" not in data:
            errors["name"] = ["A dialect needs a name."]
        if errors:
            raise DialectError(errors)
        return cls(**values)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, dict):
        return {name: list(texts) for name, texts in value.items()}
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("Use text.")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("Use true or false.")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError("Use a whole number.")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(item, str) for item in value
    ):
        raise TypeError("Use a list of texts.")
    return tuple(value)


def _map_of_texts(value: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise TypeError("Use an object whose values are lists of texts.")
    try:
        return {_text(name): _texts(texts) for name, texts in value.items()}
    except TypeError:
        raise TypeError("Use an object whose values are lists of texts.") from None


_BY_ANNOTATION: Final[dict[Any, Callable[[object], Any]]] = {
    str: _text,
    bool: _flag,
    int: _number,
    tuple[str, ...]: _texts,
    Mapping[str, tuple[str, ...]]: _map_of_texts,
}
_TYPES: Final = {item.name: _BY_ANNOTATION[item.type] for item in fields(Dialect)}
