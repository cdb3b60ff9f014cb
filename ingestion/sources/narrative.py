"""What the free text of a statement's entry says about the payment behind it.

Banks write references into the text in a few manners, and often several of them: by
keywords (`EREF+…`, `/EREF/…`, `EREF: …`), or as the network's own number among other
words. The text arrives as lines, those that were broken for their length joined again.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from mt940.processors import GVC_KEYS

#: What stands in the place of a reference that nobody gave, or that is told elsewhere.
NO_REFERENCE = frozenset(
    {
        *("", "NONREF", "NOREF", "NOTPROVIDED", "NONE", "N", "N/A"),
        *("EREF", "EREF+", "KREF", "KREF+", "PREF", "MARF", "MREF+"),
    }
)

# The library's keywords of text after `+`, and those of text between slashes.
_PLUS = "|".join(sorted({key.strip() for key in GVC_KEYS if key}))
_SLASH = (
    "ACCW|ADDR|BAI|BENM|BIC|CHGS|CNTP|CSID|EREF|EXCH|IBAN|INST|IREF|ISDT|KREF|MARF|NAME"
    "|OCMT|ORDP|PREF|PURP|REMI|RTRN|SVCL|TRCD|TRTP|UDTR|ULTB|ULTC|ULTD"
)
_STOP = rf"(?=\s*/{{1,3}}(?:{_SLASH})/|\s*\b(?:{_PLUS}|BIC|MTLG)[+:]|\s*\n|\s*/*\s*\Z)"


def _said(keyword: str, value: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?:/{keyword}/|(?<![A-Z]){keyword}(?:\+|:[ ]?))[ ]*({value}){_STOP}"
    )


_END_TO_END = _said("EREF", r"[^\n]{1,70}?")
_SPELLED_OUT = re.compile(r"(?i:END-TO-END-REF)\.?:\s*([^\s?/]{1,35})(?=\s|\Z)")
_CUSTOMER = _said("KREF", r"[^\n]{1,70}?")
_ACCOUNT = re.compile(
    r"(?:/IBAN/|/CNTP/|(?<![A-Z])IBAN(?:\+|:[ ]?)|/ACNO/|(?:REK: ))"
    r"([A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}|[0-9][0-9-]{5,33})(?![A-Z0-9])"
)
_BIC_CODE = r"[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?"
_BIC = re.compile(
    rf"(?:/BIC/|(?<![A-Z])BIC(?:\+|:[ ]?)|/CNTP/[^/\n]*/)({_BIC_CODE})(?![A-Z0-9])"
)
_BIC_ALONE = re.compile(_BIC_CODE)
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}")
_IFSC = re.compile(r"(?<![A-Z0-9])[A-Z]{4}0[A-Z0-9]{6}(?![A-Z0-9])")
# 22 characters of RTGS or 16 of NEFT, as the Reserve Bank's networks number payments.
_UTR = re.compile(
    r"(?<![A-Z0-9])(?:[A-Z]{4}R[A-Z0-9][0-9]{16}|[A-Z]{5}[0-9]{11})(?![A-Z0-9])"
)
_RRN = re.compile(
    r"\b(?:UPI|IMPS|RRN)\b[^\n]{0,100}?(?<![0-9A-Z])([0-9]{12})(?![0-9A-Z])"
)
_BEFORE_ACCOUNT = ("IBAN", "/CNTP/", "/ACNO/", "REK: ")
_BEFORE_SPELLED = ("END-TO-END", "End-to-End")
_BEFORE_BIC = ("BIC", "/CNTP/")
_BEFORE_RRN = ("UPI", "IMPS", "RRN")
_NETWORKS = ("UPI", "IMPS", "NEFT", "RTGS")
_INDIAN = re.compile(r"\b(?:UPI|IMPS|NEFT|RTGS)\b")


class Told(NamedTuple):
    """What a text tells, and None for what it does not."""

    end_to_end: str | None = None
    network: str | None = None
    customer: str | None = None
    account: str | None = None
    bank: str | None = None


NOTHING = Told()


def told(text: str) -> Told:
    """Return what the text of an entry says of references and of the other side."""
    return Told(
        _end_to_end(text),
        network_number(text),
        reference(_CUSTOMER, text) if "KREF" in text else None,
        _first(_ACCOUNT, text) if _has(_BEFORE_ACCOUNT, text) else None,
        (_first(_BIC, text) if _has(_BEFORE_BIC, text) else None) or _ifsc(text),
    )


def _end_to_end(text: str) -> str | None:
    if "EREF" in text and (found := reference(_END_TO_END, text)):
        return found
    return reference(_SPELLED_OUT, text) if _has(_BEFORE_SPELLED, text) else None


def _has(words: Iterable[str], text: str) -> bool:
    """Return whether any of the words is there: quicker than to look for a pattern."""
    for word in words:  # noqa: SIM110 - `any` takes twice as long
        if word in text:
            return True
    return False


def reference(pattern: re.Pattern[str], text: str) -> str | None:
    """Return the reference that a keyword announces, if it is one."""
    for match in pattern.finditer(text):
        if given := meant(match[1]):
            return given
    return None


def meant(text: str) -> str | None:
    """Return a reference, or None if the text stands for having none."""
    text = text.strip()
    if not text.isprintable():
        text = "".join(char for char in text if char.isprintable())
    return None if text.upper() in NO_REFERENCE else text


def network_number(text: str) -> str | None:
    """Return the UTR or the RRN that stands in a text."""
    if match := _UTR.search(text):
        return match[0]
    return _first(_RRN, text) if _has(_BEFORE_RRN, text) else None


def is_iban(text: str) -> bool:
    """Return whether a text is an IBAN with right check digits."""
    if not _IBAN.fullmatch(text):
        return False
    return int("".join(str(int(c, 36)) for c in text[4:] + text[:4])) % 97 == 1


def is_bank(text: str) -> bool:
    """Return whether a text has the form of a BIC or an IFSC."""
    return bool(_BIC_ALONE.fullmatch(text) or _IFSC.fullmatch(text))


def _ifsc(text: str) -> str | None:
    if not _has(_NETWORKS, text) or not _INDIAN.search(text):
        return None
    match = _IFSC.search(text)
    return match[0] if match else None


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match[1] if match else None
