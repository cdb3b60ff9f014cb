"""What is wrong with a dialect, field by field, in words for whoever wrote it."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

from ingestion.sources.currencies import EXPONENTS
from ingestion.sources.dialect import dates, references
from ingestion.sources.dialect.definition import FIELDS, LABELS, Dialect, DialectError
from ingestion.sources.dialect.encodings import ENCODINGS
from ingestion.sources.dialect.headers import key_of

DELIMITER_MARKS: Final = ",;\t|~^"
DIRECTIONS: Final = ("sign", "reversed_sign", "suffix", "credit", "debit")
ORDERS: Final = ("auto", "oldest_first", "newest_first")
STATUSES: Final = ("SUCCESS", "FAILED", "PENDING", "REVERSED")
#: The cells that may be demanded of every row; the others are demanded anyway, or
#: may be blank.
FILLABLE: Final = ("reference", "account", "counterparty", "ifsc", "vpa", "narration")
MAX_SEARCH_LINES: Final = 500
MAX_TEXTS: Final = 100
MAX_TEXT_CHARS: Final = 200

_NAME: Final = re.compile("[A-Z0-9][A-Z0-9_-]{0,31}")
_PREFIX: Final = re.compile("[A-Za-z0-9._-]{0,32}")
_ACCOUNT: Final = re.compile("[A-Za-z0-9*]{0,64}")
_PLACE: Final = re.compile("[1-9][0-9]{0,2}")

Said = Iterator[tuple[str, str]]


def checked(dialect: Dialect) -> Dialect:
    """Return the dialect; raises DialectError with every reason not to use it."""
    errors: dict[str, list[str]] = {}
    for name, text in chain.from_iterable(check(dialect) for check in _CHECKS):
        errors.setdefault(name, []).append(text)
    if errors:
        raise DialectError(errors)
    return dialect


def _names(dialect: Dialect) -> Said:
    if not _NAME.fullmatch(dialect.name):
        yield (
            "name",
            "Use 1 to 32 capital letters, digits, _ or -, starting with a letter or a "
            "digit.",
        )
    if not _PREFIX.fullmatch(dialect.txn_prefix):
        yield "txn_prefix", "Use at most 32 letters, digits, dots, _ or -."
    if dialect.txn_prefix and "id" not in dialect.columns:
        yield "txn_prefix", "It stands before the file's own ids: name their column."
    if not _ACCOUNT.fullmatch(dialect.account):
        yield "account", "Use at most 64 letters and digits."
    if dialect.account and "account" in dialect.columns:
        yield "account", "Each row names its account: leave this empty."


def _file(dialect: Dialect) -> Said:
    if not dialect.delimiters:
        yield "delimiters", "Name at least one."
    for delimiter in dialect.delimiters:
        if not 1 <= len(delimiter) <= 3 or set(delimiter) - set(DELIMITER_MARKS):
            yield (
                "delimiters",
                f"{delimiter!r} is not 1 to 3 out of comma, semicolon, tab, | ~ and ^.",
            )
    yield from _known("encodings", dialect.encodings, ENCODINGS)
    if not dialect.encodings:
        yield "encodings", "Name at least one."
    if {"cp1252", "iso-8859-1"} <= set(dialect.encodings):
        yield "encodings", "Name one of cp1252 and iso-8859-1: any text is both."
    if not 1 <= dialect.search_lines <= MAX_SEARCH_LINES:
        yield "search_lines", f"Search 1 to {MAX_SEARCH_LINES} lines."


def _columns(dialect: Dialect) -> Said:
    yield from _known("columns", dialect.columns, FIELDS)
    for field, told in dialect.columns.items():
        at = f"columns.{field}"
        if not told:
            yield at, "Name a column, or leave the field out."
        if not dialect.has_header:
            yield from _place(at, told)
        elif not all(key_of(alias) for alias in told):
            yield at, "A name is blank."
    if "date" not in dialect.columns:
        yield "columns.date", "Name the column of the date."


def _demands(dialect: Dialect) -> Said:
    for field in dialect.required:
        if field not in dialect.columns:
            yield "required", f"{field} has no column."
    for field in dialect.filled:
        if field not in FILLABLE:
            yield "filled", f"{field} is not one of {', '.join(FILLABLE)}."
        elif field not in dialect.columns:
            yield "filled", f"{field} has no column."


def _place(at: str, told: tuple[str, ...]) -> Said:
    if len(told) > 1:
        yield at, "Without a header there can be one place only."
    if not all(map(_PLACE.fullmatch, told)):
        yield at, "Without a header this is the column's place, from 1."


def _money(dialect: Dialect) -> Said:
    columns = dialect.columns.keys()
    if ("debit" in columns) != ("credit" in columns):
        lacking = "credit" if "debit" in columns else "debit"
        yield f"columns.{lacking}", "Name the columns of both debits and credits."
    elif not columns & {"debit", "amount"}:
        text = "Name the column of the amount, or of debits and credits."
        yield "columns.amount", text
    if "direction" in columns and "amount" not in columns:
        yield "columns.amount", "The direction is of an amount: name its column."
    if "balance_direction" in columns and "balance" not in columns:
        yield "columns.balance", "Its direction has a column: name its own."
    yield from _known("direction", (dialect.direction,), DIRECTIONS)
    yield from _known("decimal", (dialect.decimal,), (".", ","))
    yield from _known("currency", (dialect.currency,), EXPONENTS)
    if dialect.is_statement and "currency" in columns:
        yield "columns.currency", "A statement has one currency: leave this empty."
    both = set(map(key_of, dialect.debit_words)) & set(
        map(key_of, dialect.credit_words)
    )
    if both:
        yield "credit_words", f"{', '.join(sorted(both))} means a debit as well."
    yield from _known("order", (dialect.order,), ORDERS)


def _references(dialect: Dialect) -> Said:
    yield from _known("reference_rule", (dialect.reference_rule,), references.RULES)
    yield from _known("extractors", dialect.extractors, references.EXTRACTORS)
    if dialect.extractors and "narration" not in dialect.columns:
        yield "extractors", "They search the narration: name its column."
    if dialect.continued and "narration" not in dialect.columns:
        yield "continued", "It is the narration that goes on: name its column."


def _statuses(dialect: Dialect) -> Said:
    yield from _known("status", (dialect.status,), STATUSES)
    yield from _known("status_words", dialect.status_words, STATUSES)
    if "status" in dialect.columns and not any(dialect.status_words.values()):
        yield "status_words", "Say which words of the column mean which status."
    words = [key_of(w) for told in dialect.status_words.values() for w in told]
    for status, told in dialect.status_words.items():
        for word in told:
            if words.count(key_of(word)) > 1:
                yield f"status_words.{status}", f"{word} means two things."


def _dates(dialect: Dialect) -> Said:
    if not dialect.dates:
        yield "dates", "Name at least one form, such as DD/MM/YYYY."
    faults = [text for form in dialect.dates if (text := dates.form_fault(form))]
    for text in faults:
        yield "dates", text
    if not faults and dates.are_ambiguous(dialect.dates):
        yield "dates", "One text could be two dates by these forms: keep one of them."
    try:
        dates.zone_of(dialect.zone)
    except (LookupError, ValueError, OSError):
        yield "zone", f"{dialect.zone!r} is not a time zone such as Asia/Kolkata."


def _labels(dialect: Dialect) -> Said:
    yield from _known("labels", dialect.labels, LABELS)
    for name, phrases in dialect.labels.items():
        if not all(key_of(phrase.partition("@")[0]) for phrase in phrases):
            yield f"labels.{name}", "A phrase is blank."
    if not all(map(key_of, dialect.trailer)):
        yield "trailer", "A phrase is blank."
    counted = {"row_count", "debit_count", "credit_count"} | {
        "debit_sum",
        "credit_sum",
        "total_sum",
        "totals",
    }
    if dialect.trailer_required and not counted & dialect.labels.keys():
        yield "trailer_required", "Name the label of a count or a sum."


def _sizes(dialect: Dialect) -> Said:
    for name, told in dialect.to_json().items():
        texts = list(_texts(told))
        if len(texts) > MAX_TEXTS or any(len(t) > MAX_TEXT_CHARS for t in texts):
            yield name, f"Use {MAX_TEXTS} texts of {MAX_TEXT_CHARS} characters at most."
        if any("\0" in text or not text.isprintable() for text in texts) and (
            name != "delimiters"
        ):
            yield name, "Use printable characters."


def _texts(told: object) -> Iterator[str]:
    if isinstance(told, str):
        yield told
    elif isinstance(told, Mapping):
        yield from chain(told, *told.values())
    elif isinstance(told, Iterable):
        yield from told


def _known(name: str, told: Iterable[str], choices: Iterable[str]) -> Said:
    choices = tuple(choices)
    for value in told:
        if value not in choices:
            shown = ", ".join(choices) if len(choices) < 20 else "a known code"
            yield (
                name,
                f"{value!r} is not {'' if len(choices) > 19 else 'one of '}{shown}.",
            )


_CHECKS: Final[tuple[Callable[[Dialect], Said], ...]] = (
    *(
        _names,
        _file,
        _columns,
        _demands,
        _money,
        _references,
        _statuses,
        _dates,
        _labels,
        _sizes,
    ),
)
