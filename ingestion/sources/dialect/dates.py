"""Dates by the forms that a dialect lists, with a time of day behind or beside them.

A form is spelled with DD, MM, Mon, YYYY or YY and what stands between them: DD/MM/YYYY,
DD-Mon-YY, YYYYMMDD. A day or month between separators may have one digit. YY is 2000 to
2099. Nothing is guessed: a text that fits no form is refused, and so is the number that
a spreadsheet keeps for a day.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from ingestion.sources.base import FieldError, Reason, visible

#: A longer text is no date; this bounds the work on it.
MAX_CHARS: Final = 64
INDIA: Final = "Asia/Kolkata"

_TOKENS: Final = re.compile("DD|MM|Mon|YYYY|YY")
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)
_MONTH_NUMBERS: Final = {
    name: number
    for number, full in enumerate(_MONTHS, 1)
    for name in (full[:3], full, "sept" if number == 9 else full)
}
_OFFSET: Final = r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
_CLOCK: Final = (
    r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,9}))?)?"
    r"(?: ?([AaPp])\.?[Mm]\.?)?" + _OFFSET
)
_COMPACT_CLOCK: Final = r"([01][0-9]|2[0-3])([0-5][0-9])([0-5][0-9])()()" + _OFFSET
_ALONE: Final = (
    re.compile(_CLOCK),
    re.compile(_COMPACT_CLOCK),
)
_SERIAL: Final = re.compile(r"[2-6][0-9]{4}(?:\.[0-9]+)?")


_PART: Final = {
    "DD": "day",
    "MM": "month",
    "Mon": "month",
    "YYYY": "year",
    "YY": "year",
}


def form_fault(form: str) -> str | None:
    """Return what is wrong with a form, None if nothing is."""
    tokens, between = _TOKENS.findall(form), _TOKENS.sub("\0", form).split("\0")
    if sorted(_PART[token] for token in tokens) != ["day", "month", "year"]:
        return f"{form!r} needs DD, one of MM and Mon, and one of YYYY and YY."
    if between[0] or between[-1] or between[1] != between[2]:
        return f"{form!r} needs the same separator in both places, and none around."
    if between[1] not in ("", "-", "/", ".", " "):
        return f"{form!r} may be separated by - / . or a blank, or by nothing."
    if not between[1] and "YYYY" not in tokens:
        return f"{form!r} needs YYYY: without separators two digits say too little."
    return None


def are_ambiguous(forms: Sequence[str]) -> bool:
    """Return whether one text could be two dates by these forms."""
    orders: dict[tuple[str, int], set[tuple[str, ...]]] = {}
    for form in forms:
        tokens, separator = _split(form)
        # Four digits between separators show which part is the year.
        year = tokens.index("YYYY") if separator and "YYYY" in tokens else -1
        if "Mon" not in tokens:
            parts = tuple(_PART[token] for token in tokens)
            orders.setdefault((separator, year), set()).add(parts)
    return any(len(found) > 1 for found in orders.values())


def _split(form: str) -> tuple[list[str], str]:
    """Return the tokens of a sound form, and what separates them."""
    return _TOKENS.findall(form), _TOKENS.sub("\0", form).split("\0")[1]


def zone_of(name: str) -> tzinfo:
    """Return the time zone of that name; raises LookupError or ValueError."""
    # India has had one offset since 1945, so no time zone database is needed.
    if name == INDIA:
        return timezone(timedelta(hours=5, minutes=30))
    return ZoneInfo(name)


class Dates:
    """Reads dates of some forms in one time zone."""

    def __init__(self, forms: Sequence[str], zone: str) -> None:
        self._forms = [_Form(form) for form in forms]
        self._zone = zone_of(zone)
        #: Days come again and again in a file; how many are kept is bounded.
        self._known: dict[str, tuple[date, datetime]] = {}

    def moment(
        self, column: str, text: str, clock: str = "", clock_column: str = ""
    ) -> tuple[date, datetime]:
        """Return the day as written and the moment in UTC; raises FieldError.

        A day without a time of day is its first moment.
        """
        if not clock and (known := self._known.get(text)):
            return known
        day, at, offset = self._parsed(column, text)
        if clock:
            at, offset = self._beside(clock_column or column, at, offset, clock)
        found = day, self._in_utc(column, text, datetime.combine(day, at), offset)
        if not clock and at == time():
            if len(self._known) > 1000:
                self._known.clear()
            self._known[text] = found
        return found

    def day(self, column: str, text: str) -> date:
        """Return a day; raises FieldError."""
        return self.moment(column, text)[0]

    def fits(self, text: str) -> bool:
        """Return whether a text is a date by one of the forms."""
        try:
            self.moment("", text)
        except FieldError:
            return False
        return True

    def _parsed(self, column: str, text: str) -> tuple[date, time, str]:
        if not text:
            raise FieldError(column, Reason.MISSING_VALUE, "")
        if len(text) <= MAX_CHARS:
            for form in self._forms:
                if found := form.read(text):
                    return found
        is_serial = len(text) <= MAX_CHARS and _SERIAL.fullmatch(text)
        reason = Reason.EXCEL_SERIAL_DATE if is_serial else Reason.INVALID_TIMESTAMP
        raise FieldError(column, reason, visible(text))

    @staticmethod
    def _beside(column: str, at: time, offset: str, clock: str) -> tuple[time, str]:
        """Return the time of day that stands in a column of its own."""
        matches = (pattern.fullmatch(clock[:MAX_CHARS]) for pattern in _ALONE)
        match = next(filter(None, matches), None)
        found = _time(match.groups()[:5]) if match else None
        # Spreadsheets put a midnight behind a day without being asked.
        if match and found is not None and at in (time(), found):
            return found, match[6] or offset
        raise FieldError(column, Reason.INVALID_TIMESTAMP, visible(clock))

    def _in_utc(self, column: str, text: str, local: datetime, offset: str) -> datetime:
        try:
            if offset:
                return datetime.fromisoformat(
                    f"{local.isoformat()}{offset}"
                ).astimezone(UTC)
            moment = local.replace(tzinfo=self._zone).astimezone(UTC)
            # Where clocks are put forward, an hour of a day does not exist.
            is_steady = isinstance(self._zone, timezone)
            if is_steady or moment.astimezone(self._zone).replace(tzinfo=None) == local:
                return moment
        except (ValueError, OverflowError) as error:
            reason = Reason.INVALID_TIMESTAMP
            raise FieldError(column, reason, visible(text)) from error
        raise FieldError(column, Reason.INVALID_TIMESTAMP, visible(text))


class _Form:
    """One form of a date."""

    def __init__(self, form: str) -> None:
        tokens, separator = _split(form)
        patterns = _DIVIDED if separator else _JOINED
        day = re.escape(separator).join(patterns[token] for token in tokens)
        clock = f"(?:[ T]|, ){_CLOCK}" if separator else f"[ T]?{_COMPACT_CLOCK}"
        self._pattern = re.compile(f"{day}(?:{clock})?")
        self._places = [_PART[token] for token in tokens]

    def read(self, text: str) -> tuple[date, time, str] | None:
        """Return day, time of day and offset; None if the text has another form."""
        match = self._pattern.fullmatch(text)
        if not match:
            return None
        parts = dict(zip(self._places, match.groups()[:3], strict=True))
        at = _time(match.groups()[3:8]) if match[4] else time()
        if at is None:
            return None
        try:
            day = date(_year(parts["year"]), _month(parts["month"]), int(parts["day"]))
        except (ValueError, KeyError):
            return None
        if day.year < _FIRST_YEAR:
            return None
        return day, at, match[9] or ""


#: Before, there was no transfer by wire: what says so is damaged.
_FIRST_YEAR: Final = 1871

_DIVIDED: Final = {
    "DD": "([0-9]{1,2})",
    "MM": "([0-9]{1,2})",
    "Mon": "([A-Za-z]{3,9})",
    "YYYY": "([0-9]{4})",
    "YY": "([0-9]{2})",
}
_JOINED: Final = {
    **_DIVIDED,
    "DD": "([0-9]{2})",
    "MM": "([0-9]{2})",
}


def _year(text: str) -> int:
    return int(text) + 2000 if len(text) == 2 else int(text)


def _month(text: str) -> int:
    return int(text) if text.isdigit() else _MONTH_NUMBERS[text.lower()]


def _time(parts: Sequence[str | None]) -> time | None:
    """Return the time of day that hour, minute, second, fraction and half name."""
    hour, minute, second, fraction, half = (part or "" for part in parts)
    number = int(hour)
    if half:
        if not 1 <= number <= 12:
            return None
        number = number % 12 + (12 if half in "Pp" else 0)
    micros = int(f"{fraction[:6]:0<6}") if fraction else 0
    return time(number, int(minute), int(second or 0), micros)
