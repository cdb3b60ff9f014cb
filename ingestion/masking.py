"""Hides account numbers from people who only need to recognise them. Pure.

A number keeps its last four characters, a UPI address the first two letters of its name
and its handle. Inside a raw row a value is masked for its key's sake, or for its shape
when the key says nothing.
"""

import re
from typing import Any, Final

_DOTS: Final = "••••"
_SHOWN: Final = 4

#: Parts of a key that say its value points at somebody's account.
_ACCOUNT_KEY: Final = re.compile(
    r"acct|acc(?:$|[_ .-])|account|iban|vpa|upi[_ ]?id|card|mobile|phone|msisdn"
    r"|beneficiary|remitter|payee|payer|debtor|creditor|aadhaar|pan(?:$|[_ .-])",
    re.IGNORECASE,
)
#: Keys that name something else, whatever stands before: `account_type`, `payer_ifsc`.
_OTHER_KEY: Final = re.compile(
    r"(?:^|[_ .-])(?:txn|transaction|reference|ref|rrn|utr|amount|status|currency|type"
    r"|ifsc|date|time|timestamp)(?:[_ .-]?(?:id|no|num|number))?$",
    re.IGNORECASE,
)
_VPA: Final = re.compile(r"(?<![\w.@-])([\w.-]{1,255})@([A-Za-z][\w.-]{1,63})(?![\w@])")
_IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b")
#: Indian account numbers have 9 to 18 digits; a UTR or RRN of 12 looks the same, so
#: bare numbers are masked by shape only in free text, never under a telling key.
_LONG_NUMBER: Final = re.compile(r"(?<![\w.])\d{9,18}(?![\w.])")


def mask_account(value: str | None) -> str:
    """Return an account number or UPI address that can be recognised, not used."""
    text = (value or "").strip()
    if not text:
        return ""
    if "@" in text:
        return _VPA.sub(_masked_vpa, text) if _VPA.search(text) else _masked_tail(text)
    return _masked_tail(text)


def mask_id(value: str) -> str:
    """Return a transaction's id without the account that it may be made of.

    Rows of statements have no id of their own: theirs is the format, the account and
    the place, with colons between them.
    """
    form, *parts = value.split(":")
    if len(parts) < 2:
        return value
    return ":".join([form, mask_account(parts[0]), *parts[1:]])


def mask_text(text: str) -> str:
    """Mask whatever in a free text has the shape of an account."""
    text = _VPA.sub(_masked_vpa, text)
    text = _IBAN.sub(lambda found: _masked_tail(found.group()), text)
    return _LONG_NUMBER.sub(lambda found: _masked_tail(found.group()), text)


def mask_value(key: str, value: Any) -> Any:
    """Mask a value by its key, or by its shape; containers entry by entry."""
    if isinstance(value, dict):
        return mask_row(value)
    if isinstance(value, list):
        return [mask_value(key, item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if _OTHER_KEY.search(key):
        return value if not isinstance(value, str) else _VPA.sub(_masked_vpa, value)
    if _ACCOUNT_KEY.search(key):
        return mask_account(str(value))
    text = str(value)
    masked = mask_text(text)
    return value if masked == text else masked


def mask_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a raw row with the same keys and nobody's account in it."""
    return {key: mask_value(key, value) for key, value in row.items()}


def _masked_vpa(found: re.Match[str]) -> str:
    name, handle = found.groups()
    if handle.lower().endswith(".npci"):
        # account@IFSC.ifsc.npci: the name is an account number.
        return f"{_masked_tail(name)}@{handle}"
    return f"{name[:2]}***@{handle}" if len(name) > 2 else f"***@{handle}"


def _masked_tail(text: str) -> str:
    """Keep the last four characters, but never more than half of a short text."""
    shown = min(_SHOWN, len(text) // 2)
    return _DOTS + text[len(text) - shown :]
