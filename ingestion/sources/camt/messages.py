"""Which message a file holds: by its element, its namespace and its version."""

import re
from typing import Final, NamedTuple

from ingestion.sources.base import FileFault, SourceError, visible

NEWEST_VERSION: Final = 13
#: What the root of a message is called, and its statements.
_ROOTS: Final = {
    "BkToCstmrAcctRpt": ("052", "Rpt"),
    "BkToCstmrStmt": ("053", "Stmt"),
    "BkToCstmrDbtCdtNtfctn": ("054", "Ntfctn"),
}
_NAMES: Final = {
    "052": "an account report",
    "053": "a statement",
    "054": "a debit or credit notification",
}
_FIRST_VERSION: Final = "V01"
_CAMT: Final = re.compile(r"camt\.(05[234])\.([0-9]{3})\.([0-9]{2})")
#: The variant that all messages of the standard are of.
_STANDARD: Final = "001"
_ANY_MESSAGE: Final = re.compile(r"([a-z]{4}\.[0-9]{3})\.[0-9]{3}\.[0-9]{2}")


class Message(NamedTuple):
    """One message: `version` is None where the namespace tells none that is known."""

    kind: str
    namespace: str
    version: int | None
    #: What its statements are called.
    statement: str


def message_of(namespace: str, local: str, kind: str) -> Message | None:
    """Return the message that begins with an element; None if none does.

    Raises SourceError if it is another one than the source of this kind reads.
    """
    root = _ROOTS.get(local.removesuffix(_FIRST_VERSION))
    named = _CAMT.search(namespace)
    if root is None:
        if local == "Document":
            _refuse_other(namespace, kind)
        return None
    for found in (root[0], named[1] if named else kind):
        if found != kind:
            raise _wrong_message(f"camt.{found}", kind)
    if namespace and not named:
        raise _wrong_message(f"{local} in the namespace {visible(namespace)}", kind)
    version = int(named[3]) if named and named[2] == _STANDARD else None
    return Message(kind, namespace, version, root[1])


def _refuse_other(namespace: str, kind: str) -> None:
    """Refuse a document of another message at once, however long it is."""
    other = _ANY_MESSAGE.search(namespace)
    if other and other[1] != f"camt.{kind}":
        raise _wrong_message(other[1], kind)


def _wrong_message(found: str, kind: str) -> SourceError:
    other = found.removeprefix("camt.")
    advice = (
        f"it is {_NAMES[other]}: load it as source CAMT{other}"
        if other in _NAMES
        else f"load {_NAMES[kind]} in ISO 20022 XML"
    )
    return SourceError(
        FileFault.WRONG_MESSAGE,
        f"The source CAMT{kind} reads camt.{kind}, and the file is {found}; {advice}.",
    )


def no_message(kind: str) -> SourceError:
    """Return the error for XML without any such message."""
    root = next(name for name, (known, _) in _ROOTS.items() if known == kind)
    return SourceError(
        FileFault.WRONG_MESSAGE,
        f"The file is XML, but there is no {root} in it, as a camt.{kind} message is "
        "called; export it as ISO 20022 XML.",
    )
