"""Who stands on either side of a payment, and by which reference both know it."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Final, NamedTuple

from ingestion.sources import fields
from ingestion.sources.base import FieldError, Flag, Reason, visible
from ingestion.sources.dialect import references
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.headers import Layout
from ingestion.sources.dialect.money import NOTHING

MAX_ACCOUNT_CHARS: Final = 64

_IFSC: Final = re.compile("[A-Z]{4}0[A-Z0-9]{6}")
_EXCEL_ID: Final = re.compile(r"[0-9](?:\.[0-9]+)?[Ee]\+[0-9]+")
#: What can be a reference: anything in one word.
_REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/#:-]{0,63}")

Texts = Sequence[str]
Flags = list[Flag]


class Sides(NamedTuple):
    """The holder's account, the other side's, and the other side's address."""

    account: str | None
    counterparty: str | None
    address: str | None


class Parties:
    """Reads references and parties; what is doubtful is flagged, not refused."""

    def __init__(self, dialect: Dialect, layout: Layout, account: str) -> None:
        self._dialect = dialect
        self._layout = layout
        self._account = dialect.account or account or None
        self._at = {
            field: layout.place(field)
            for field in ("reference", "account", "counterparty", "ifsc", "vpa")
        }

    def reference(
        self, texts: Texts, narration: str, day: date, flags: Flags
    ) -> str | None:
        """Return the reference that the other side would know.

        The column's if it has the form of one, else what the narration holds, else the
        column's as it is. Raises FieldError where the dialect is strict.
        """
        dialect, text = self._dialect, texts[self._at["reference"]]
        given = "" if text in NOTHING or not text.strip("0") else text
        if given and dialect.reference_rule != "any":
            return self._by_rule(given, flags)
        if given and (known := references.known(given)):
            return known
        if dialect.extractors and (
            found := references.extract(dialect.extractors, narration, day)
        ):
            return found
        return self.own_reference(texts) or None

    def _by_rule(self, text: str, flags: Flags) -> str:
        column = self._layout.name("reference")
        found = references.RULES[self._dialect.reference_rule](text)
        if found and found.is_sure:
            return found.text
        is_damaged = len(text) <= MAX_ACCOUNT_CHARS and _EXCEL_ID.fullmatch(text)
        reason = Reason.EXCEL_DAMAGED_ID if is_damaged else Reason.INVALID_REFERENCE
        if not found and self._dialect.reference_strict:
            raise FieldError(column, reason, visible(text))
        flags.append(Flag(column, reason, visible(text)))
        return found.text if found else visible(text)

    def own_reference(self, texts: Texts) -> str:
        """Return the text of the column of references if it can be one, else blank."""
        text = texts[self._at["reference"]]
        return text if text.strip("0") and _REFERENCE.fullmatch(text) else ""

    def sides(self, texts: Texts, flags: Flags) -> Sides:
        """Return the accounts and the address of a row."""
        own = self._party("account", texts, flags) or self._account
        other = self._party("counterparty", texts, flags)
        ifsc = self._ifsc(texts[self._at["ifsc"]], flags)
        vpa = self._vpa(texts[self._at["vpa"]], flags)
        if not vpa:
            return Sides(own, other, ifsc)
        account, address = fields.split_vpa(vpa)
        return Sides(own, other or account, (ifsc or address) if account else vpa)

    def _party(self, field: str, texts: Texts, flags: Flags) -> str | None:
        text = texts[self._at[field]]
        if text in NOTHING:
            return None
        if len(text) <= MAX_ACCOUNT_CHARS and text.isprintable():
            return text
        column = self._layout.name(field)
        flags.append(Flag(column, Reason.INVALID_ACCOUNT, visible(text)))
        return None

    def _ifsc(self, text: str, flags: Flags) -> str | None:
        if text in NOTHING:
            return None
        ifsc = text.upper()
        if _IFSC.fullmatch(ifsc):
            return ifsc
        column = self._layout.name("ifsc")
        flags.append(Flag(column, Reason.INVALID_IFSC, visible(text)))
        return visible(text)

    def _vpa(self, text: str, flags: Flags) -> str | None:
        if text in NOTHING:
            return None
        try:
            return fields.parse_vpa(self._layout.name("vpa"), text)
        except FieldError as error:
            flags.append(Flag(error.column, error.reason, error.value))
            return visible(text).lower()
