"""Small ISO 20022 files for tests, put together from their parts."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from ingestion.sources.base import Row, Statement
from ingestion.sources.registry import source_get
from tests.readings import Found, records

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:camt.{kind}.001.{version}"
ROOTS = {
    "052": ("BkToCstmrAcctRpt", "Rpt"),
    "053": ("BkToCstmrStmt", "Stmt"),
    "054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
}
ACCOUNT = "DE89370400440532013000"
OTHER = "NL91ABNA0417164300"


def tag(name: str, *inner: Any, **attributes: str) -> str:
    """Return one element; None inside is nothing."""
    told = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return f"<{name}{told}>{''.join(str(i) for i in inner if i is not None)}</{name}>"


def nested(path: str, text: Any) -> str:
    """Return elements one in the other: `a/b`."""
    for name in reversed(path.split("/")):
        text = tag(name, text)
    return str(text)


def money(amount: str, currency: str | None = "EUR") -> str:
    """Return an `Amt`."""
    return tag("Amt", amount, **({} if currency is None else {"Ccy": currency}))


def balance(code: str, amount: str, way: str = "CRDT", day: str = "2026-01-05") -> str:
    """Return a `Bal`."""
    kind = nested("Tp/CdOrPrtry/Cd", code)
    return tag("Bal", kind, money(amount), tag("CdtDbtInd", way), nested("Dt/Dt", day))


def details(
    amount: str | None = None, *inner: str, way: str | None = None, refs: str = ""
) -> str:
    """Return a `TxDtls`."""
    return tag(
        "TxDtls",
        tag("Refs", refs) if refs else None,
        None if amount is None else money(amount),
        None if way is None else tag("CdtDbtInd", way),
        *inner,
    )


def entry(
    amount: str = "10.00",
    *inner: str,
    currency: str | None = "EUR",
    way: str | None = "CRDT",
    status: str | None = "<Sts>BOOK</Sts>",
    booked: str | None = "2026-01-05",
    reference: str | None = None,
) -> str:
    """Return an `Ntry`."""
    return tag(
        "Ntry",
        money(amount, currency),
        None if way is None else tag("CdtDbtInd", way),
        status,
        None if booked is None else nested("BookgDt/Dt", booked),
        None if reference is None else tag("AcctSvcrRef", reference),
        *inner,
    )


def side(party: str, account: str, bic: str = "") -> str:
    """Return the account of a party, and its bank."""
    accounts = nested(f"RltdPties/{party}Acct/Id/IBAN", account)
    agent = f"RltdAgts/{party}Agt/FinInstnId/BICFI"
    return accounts + (nested(agent, bic) if bic else "")


def sides(debtor: str, creditor: str) -> str:
    """Return the accounts of both parties."""
    accounts = (("Dbtr", debtor), ("Cdtr", creditor))
    return tag(
        "RltdPties", *(nested(f"{party}Acct/Id/IBAN", own) for party, own in accounts)
    )


def statement(
    *inner: str,
    kind: str = "053",
    id: str | None = "S1",
    account: str | None = ACCOUNT,
    currency: str | None = "EUR",
    head: str = "",
) -> str:
    """Return one statement with its account."""
    own = tag(
        "Acct",
        None if account is None else nested("Id/IBAN", account),
        None if currency is None else tag("Ccy", currency),
    )
    name = None if id is None else tag("Id", id)
    return tag(ROOTS[kind][1], name, head, own, *inner)


def document(
    *statements: str,
    kind: str = "053",
    version: str = "08",
    namespace: str | None = None,
    header: str = "<GrpHdr><MsgId>M1</MsgId></GrpHdr>",
) -> str:
    """Return a document, without the line that says that it is XML."""
    uri = NAMESPACE.format(kind=kind, version=version)
    uri = uri if namespace is None else namespace
    message = tag(ROOTS[kind][0], header, *statements)
    return tag("Document", message, **({"xmlns": uri} if uri else {}))


def lines(text: str) -> str:
    """Return the text with each element in a line of its own."""
    return text.replace("><", ">\n<")


def one(*entries: str, **how: Any) -> str:
    """Return a document of one statement."""
    return document(statement(*entries, kind=how.get("kind", "053")), **how)


def blocks(data: bytes, edges: Iterable[int]) -> list[bytes]:
    """Return the data cut at these places."""
    places = [0, *sorted(edge % (len(data) + 1) for edge in edges), len(data)]
    return [data[begin:end] for begin, end in pairwise(places)]


def found(data: str | bytes, kind: str = "053") -> list[Found]:
    """Return what the source of that kind finds in a file."""
    data = data.encode() if isinstance(data, str) else data
    return records(source_get(f"CAMT{kind}").read, [data])


def every(data: str | bytes, kind: str = "053") -> list[Any]:
    """Return all its records."""
    return [each.record for each in found(data, kind)]


def rows(data: str | bytes, kind: str = "053") -> list[Any]:
    """Return its rows."""
    return [record for record in every(data, kind) if isinstance(record, Row)]


def statements(data: str | bytes, kind: str = "053") -> list[Any]:
    """Return its statements."""
    return [record for record in every(data, kind) if isinstance(record, Statement)]


def flags(row: Row) -> list[tuple[str, str]]:
    """Return the doubts about a row."""
    return [(flag.column, str(flag.reason)) for flag in row.flags]
