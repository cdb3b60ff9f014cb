"""References that the other side of a payment knows too: their forms, and where one
stands in a narration.

Every pattern looks at a fixed number of characters from each place of the text, so the
work is linear whatever the narration says.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

#: Narrations are searched so far.
MAX_CHARS: Final = 2000

_RRN: Final = re.compile("[0-9]{12}")
#: One bank pads what is shorter than its column with zeros.
_PADDED_RRN: Final = re.compile("0000([0-9]{12})")
_NEFT: Final = re.compile("[A-Z]{4}[A-Z][0-9]{11}|N[0-9]{15}")
_NEFT_LIKE: Final = re.compile("[A-Z0-9]{16}|[A-Z]{4}N[A-Z0-9]{17}")
_RTGS: Final = re.compile("[A-Z]{4}R[A-Z0-9]([0-9]{8})[0-9]{8}")
#: How messages of ISO 20022 carry an older reference.
_MIGRATED: Final = "/XUTR/"


class Read(NamedTuple):
    """A reference in its one form, and whether its form is beyond doubt."""

    text: str
    is_sure: bool


def _rrn(text: str) -> Read | None:
    if _RRN.fullmatch(text):
        return Read(text, True)
    padded = _PADDED_RRN.fullmatch(text)
    # A cheque's number is padded too: an RRN has a day of the year behind its first.
    is_rrn = padded and 1 <= int(padded[1][1:4]) <= 366
    return Read(padded[1], True) if padded and is_rrn else None


def _neft(text: str) -> Read | None:
    utr = text.upper().removeprefix(_MIGRATED)
    if _NEFT.fullmatch(utr):
        return Read(utr, True)
    return Read(utr, False) if _NEFT_LIKE.fullmatch(utr) else None


def _rtgs(text: str) -> Read | None:
    utr = text.upper().removeprefix(_MIGRATED)
    match = _RTGS.fullmatch(utr)
    return Read(utr, True) if match and _is_day(match[1]) else None


def _is_day(digits: str) -> bool:
    try:
        datetime.strptime(digits, "%Y%m%d")  # noqa: DTZ007 - only whether it exists
    except ValueError:
        return False
    return True


def _utr(text: str) -> Read | None:
    return _rtgs(text) or _neft(text)


#: What a dialect may demand of its column of references.
RULES: Final[Mapping[str, Callable[[str], Read | None]]] = MappingProxyType(
    {
        "any": lambda text: Read(text, True),
        "rrn12": _rrn,
        "neft_utr": _neft,
        "rtgs_utr": _rtgs,
        "utr": _utr,
    }
)


def known(text: str) -> str | None:
    """Return a text's one form if it is beyond doubt a reference of some network."""
    for read in (_rrn, _rtgs, _neft):
        if (found := read(text)) and found.is_sure:
            return found.text
    return None


# --- In narrations --------------------------------------------------------------------

_UPI_WORD: Final = re.compile(r"(?<![A-Za-z0-9])UPI(?![A-Za-z])", re.IGNORECASE)
_IMPS_WORD: Final = re.compile(r"(?<![A-Za-z0-9])(?:IMPS|MMT)(?![A-Za-z])", re.I)
#: Twelve digits before an @ are a telephone number that serves as an address.
_RRN_TOKEN: Final = re.compile("(?<![A-Za-z0-9])[0-9]{12}(?![A-Za-z0-9@])")
_NEFT_WORD: Final = re.compile("NEFT", re.IGNORECASE)
_NEFT_TOKEN: Final = re.compile(
    "(?<![A-Z0-9])(?:[A-Z]{4}[A-Z][0-9]{11}|N[0-9]{15}|[A-Z]{4}N[0-9]{17}"
    "|[A-Z]{4}[0-9]{12})(?![A-Z0-9])"
)
_RTGS_WORD: Final = re.compile("RTGS", re.IGNORECASE)
_RTGS_TOKEN: Final = re.compile("(?<![A-Z0-9])[A-Z]{4}R[A-Z0-9][0-9]{16}(?![A-Z0-9])")


def _rrn_after(word: re.Pattern[str]) -> Callable[[str, date], str | None]:
    def extract(narration: str, day: date) -> str | None:
        if not word.search(narration):
            return None
        found: list[str] = _RRN_TOKEN.findall(narration)
        if len(found) < 2:
            return found[0] if found else None
        return next((rrn for rrn in found if _names_day(rrn, day)), found[0])

    return extract


def _names_day(rrn: str, day: date) -> bool:
    """Return whether an RRN begins with the last digit of a year and a day near."""
    number = int(rrn[1:4])
    near = (day + timedelta(days=shift) for shift in (0, -1, 1, -2))
    return any(
        rrn[0] == str(other.year % 10) and number == other.timetuple().tm_yday
        for other in near
    )


def _neft_in(narration: str, day: date) -> str | None:
    if not _NEFT_WORD.search(narration):
        return None
    match = _NEFT_TOKEN.search(narration.upper())
    return match[0] if match else None


def _rtgs_in(narration: str, day: date) -> str | None:
    if not _RTGS_WORD.search(narration):
        return None
    found = _RTGS_TOKEN.findall(narration.upper())
    return next((utr for utr in found if _is_day(utr[6:14])), None)


#: What a dialect may ask for by name.
EXTRACTORS: Final[Mapping[str, Callable[[str, date], str | None]]] = MappingProxyType(
    {
        "rtgs_utr": _rtgs_in,
        "neft_utr": _neft_in,
        "upi_rrn": _rrn_after(_UPI_WORD),
        "imps_rrn": _rrn_after(_IMPS_WORD),
    }
)


def extract(names: Sequence[str], narration: str, day: date) -> str | None:
    """Return the first reference that one of the named extractors finds."""
    text = narration[:MAX_CHARS]
    found = (EXTRACTORS[name](text, day) for name in names)
    return next((reference for reference in found if reference), None)
