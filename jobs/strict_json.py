"""JSON as RFC 8259 has it, without the usual leniencies.

No two readers of one text see different things, and PostgreSQL can store what is read.
"""

import json
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 32


class StrictJSONError(ValueError):
    """JSON that is refused: why, for programs and for people, and where if known."""

    def __init__(self, code: str, detail: str, pointer: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        #: A JSON Pointer to the offending place.
        self.pointer = pointer


def loads(text: str) -> Any:
    """Return the value of a text.

    Raises StrictJSONError for a byte-order mark, duplicate keys, NaN and Infinity,
    numbers out of range, NUL characters, lone surrogates, and nesting deeper than
    MAX_DEPTH.
    """
    if text.startswith("\ufeff"):
        raise StrictJSONError("byte_order_mark", "Drop the byte-order mark.")
    value = _loads(text)
    _check(value, "", 1)
    return value


def _loads(text: str) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_float,
        )
    except json.JSONDecodeError as error:
        detail = f"{error.msg} at line {error.lineno} column {error.colno}."
        raise StrictJSONError("invalid_json", detail) from None
    except RecursionError:
        raise _too_deep("") from None
    except StrictJSONError:
        raise
    except ValueError:
        # The interpreter's own limit on the digits of one number.
        raise _out_of_range() from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    twice = next(name for name in found if names.count(name) > 1)
    detail = f"The key {twice!a} stands twice in one object."
    raise StrictJSONError("duplicate_key", detail)


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJSONError("invalid_json", f"{name} is not JSON.")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _out_of_range()
    return value


def _out_of_range() -> StrictJSONError:
    return StrictJSONError("number_out_of_range", "A number is out of range.")


def _too_deep(pointer: str) -> StrictJSONError:
    detail = f"It is nested deeper than {MAX_DEPTH} levels."
    return StrictJSONError("too_deep", detail, pointer or None)


def _check(value: Any, pointer: str, depth: int) -> None:
    """Refuse what PostgreSQL cannot store as text or JSON; the value may be deep."""
    if isinstance(value, str):
        _check_text(value, pointer)
        return
    if not isinstance(value, dict | list):
        return
    if depth > MAX_DEPTH:
        raise _too_deep(pointer)
    if isinstance(value, dict):
        for key in value:
            _check_text(key, pointer)
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        token = str(key).replace("~", "~0").replace("/", "~1")
        _check(item, f"{pointer}/{token}", depth + 1)


def _check_text(text: str, pointer: str) -> None:
    if "\0" in text:
        detail = "The text has a NUL character."
        raise StrictJSONError("nul_character", detail, pointer)
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        detail = "The text has half of a surrogate pair."
        raise StrictJSONError("lone_surrogate", detail, pointer)
