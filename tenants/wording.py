"""How durations and numbers read on screen. Pure: no Django, no clock."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

_MINUTE: Final = 60
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


def duration(seconds: float | Decimal) -> str:
    """Return a duration in at most two units: `850 ms`, `4 min 5 s`, `3 d 4 h`."""
    if seconds < 0.9995:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = max(int(seconds), 10)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def _two(seconds: int, big: int, big_name: str, small: int, small_name: str) -> str:
    count, rest = divmod(seconds, big)
    rest //= small
    return f"{count} {big_name} {rest} {small_name}" if rest else f"{count} {big_name}"


def between(start: datetime | None, end: datetime) -> str:
    """Return how long something took, or an empty text when it has not begun."""
    if start is None:
        return ""
    return duration(max(0.0, (end - start).total_seconds()))


def age(moment: datetime | None, *, now: datetime) -> str:
    """Return when something was or will be, seen from `now`: `4 min ago`, `in 2 h`."""
    if moment is None:
        return "never"
    seconds = (now - moment).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    return f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"


def plain(number: Decimal) -> str:
    """Return a decimal number without the zeros that say nothing: `2.5`, `1`."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def printable(text: str) -> str:
    """Return a text of others for a terminal: what it would obey is shown escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as columns under their keys, which are the same, for a terminal."""
    lines = [list(rows[0])]
    for row in rows:
        told = ("–" if value in (None, "") else str(value) for value in row.values())
        lines.append([printable(text) for text in told])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
