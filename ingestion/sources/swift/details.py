"""Field 86: the details of an entry, as text or in numbered parts.

The library's own processor is not used for the parts: it knows only `?` between them,
cuts at nine lines, and goes through the text a character at a time. Its names of the
parts are.
"""

import re
from functools import lru_cache

from mt940.processors import DETAIL_KEYS_APPLICANT_IBAN

from ingestion.sources import narrative
from ingestion.sources.narrative import NOTHING, Told

#: `166?00GUTSCHRIFT?20EREF+…`: banks use other signs than the question mark too.
_PARTED = re.compile(r"\s*([0-9]{3})?\s*([?>~<^|!])(?=[0-9]{2})")
#: A line as long as this was broken by the width of the field, not by its meaning.
_FULL_LINE = 64
#: The same of a part of the purpose.
_FULL_PART = 27
_PURPOSE = frozenset([f"2{n}" for n in range(10)] + [f"6{n}" for n in range(4)])
_NAMES = {**DETAIL_KEYS_APPLICANT_IBAN, "33": "applicant_name", "38": "applicant_iban"}
_BROKEN_ACCOUNT = re.compile(r"(?:[A-Z]{2}[0-9]{2})?[0-9 ]+")
#: Nothing is looked for behind this many characters; `raw_row` has all of them.
_MOST_CHARS = 4096


def parts_of(text: str) -> tuple[str | None, dict[str, str]]:
    """Return the business code and the parts by number; no parts if it is free text."""
    match = _PARTED.match(text)
    if not match:
        return None, {}
    joined = text.replace("\n", "")
    match = _PARTED.match(joined)
    if not match:
        return None, {}
    pieces = _splitter(match[2]).split(joined)
    found: dict[str, str] = {}
    for number, value in zip(pieces[1::2], pieces[2::2], strict=True):
        found[number] = found[number] + "\n" + value if number in found else value
    return match[1], found


@lru_cache(maxsize=16)
def _splitter(sign: str) -> re.Pattern[str]:
    return re.compile(re.escape(sign) + "([0-9]{2})")


def named(parts: dict[str, str]) -> dict[str, str]:
    """Return the parts of a counterparty and such under the library's names."""
    found: dict[str, str] = {}
    for number, value in parts.items():
        name = "purpose" if number in _PURPOSE else _NAMES.get(number, f"part_{number}")
        found[name] = found[name] + value if name in found else value
    return found


def told(text: str) -> tuple[Told, str | None, dict[str, str]]:
    """Return what the details tell, their business code and their parts."""
    if not text:
        return NOTHING, None, {}
    text = text[:_MOST_CHARS]
    code, parts = parts_of(text)
    if not parts:
        return narrative.told(_unbroken(text.split("\n"), _FULL_LINE)), code, parts
    purpose = [value for number, value in parts.items() if number in _PURPOSE]
    found = narrative.told(_unbroken(purpose, _FULL_PART))
    account = _account(parts.get("38") or parts.get("31") or "")
    bank = parts.get("30", "").strip()
    if account:
        found = found._replace(account=account)
    if narrative.is_bank(bank):
        found = found._replace(bank=bank)
    return found, code, parts


def _account(text: str) -> str:
    """Return an account without the blanks where its line was broken."""
    return "".join(text.split()) if _BROKEN_ACCOUNT.fullmatch(text) else text.strip()


def _unbroken(lines: list[str], width: int) -> str:
    """Return lines as text, those that go on in the next one joined."""
    if len(lines) == 1:
        return lines[0]
    return "".join(
        line if len(line) >= width else line.rstrip() + "\n" for line in lines
    )
