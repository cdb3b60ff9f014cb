"""Where the parts of an entry stand, in all versions of the messages.

A key is the path of an element below its entry, as `markup.py` writes it.
"""

from typing import Final, NamedTuple

_ACCOUNTS: Final = ("IBAN", "Othr/Id", "BBAN", "PrtryAcct/Id", "UPIC")
_AGENTS: Final = (
    *("BICFI", "BIC", "ClrSysMmbId/MmbId", "CmbndId/BIC", "ClrSysMmbId/Id"),
    "ClrSysMmbId/Prtry",
)
_RETURNS: Final = ("Rsn/Cd", "Rsn/Prtry", "RtrRsn/Cd", "RtrRsn/Prtry", "AddtlInf")
_AMOUNTS: Final = ("TxAmt", "CntrValAmt", "InstdAmt")

#: The account of a statement, below its `Acct`.
ACCOUNT: Final = tuple(f"Id/{name}" for name in _ACCOUNTS)


class Side(NamedTuple):
    """Where one party of a payment stands: its account, a proxy of it, its bank."""

    accounts: tuple[str, ...]
    proxy: str
    agents: tuple[str, ...]


class Keys(NamedTuple):
    """Where the parts of one transaction stand."""

    #: Each amount with its currency.
    amounts: tuple[tuple[str, str], ...]
    direction: str
    bank_reference: str
    references: tuple[str, ...]
    debtor: Side
    creditor: Side
    #: Of a payment that came back there is one of these.
    returns: tuple[str, ...]
    texts: tuple[str, ...]


def _side(prefix: str, party: str) -> Side:
    account = f"{prefix}RltdPties/{party}Acct/"
    agents = f"{prefix}RltdAgts/{party}Agt/FinInstnId/"
    return Side(
        tuple(f"{account}Id/{name}" for name in _ACCOUNTS),
        f"{account}Prxy/Id",
        (
            *(agents + name for name in _AGENTS),
            f"{prefix}RltdPties/{party}/Agt/FinInstnId/BICFI",
        ),
    )


def _keys(prefix: str) -> Keys:
    details = f"{prefix}AmtDtls/"
    refs = f"{prefix}Refs/"
    remittance = f"{prefix}RmtInf/"
    return Keys(
        amounts=tuple(
            (key, f"{key}/@Ccy")
            for key in (
                f"{prefix}Amt",
                *(f"{details}{name}/Amt" for name in _AMOUNTS),
            )
        ),
        direction=f"{prefix}CdtDbtInd",
        bank_reference=f"{refs}AcctSvcrRef",
        # The id that the payer gave goes all the way; the others are made on the way.
        references=(
            *(refs + name for name in ("EndToEndId", "UETR", "TxId", "InstrId")),
            f"{refs}ChqNb",
            f"{remittance}Strd/CdtrRefInf/Ref",
            f"{remittance}Strd/CdtrRefInf/CdtrRef",
        ),
        debtor=_side(prefix, "Dbtr"),
        creditor=_side(prefix, "Cdtr"),
        returns=tuple(f"{prefix}RtrInf/{name}" for name in _RETURNS),
        texts=(
            f"{remittance}Ustrd",
            f"{remittance}Ustrd[2]",
            f"{remittance}Strd/CdtrRefInf/Ref",
            f"{prefix}AddtlTxInf",
            "AddtlNtryInf",
        ),
    )


#: By the path of the transaction: version 01 had no `NtryDtls` around it.
KEYS: Final = {path: _keys(f"{path}/") for path in ("NtryDtls/TxDtls", "TxDtls")}

#: What a batch as a whole is called, if its transactions are not told apart.
BATCH_REFERENCES: Final = (
    *("NtryDtls/Btch/PmtInfId", "NtryDtls/Btch/MsgId"),
    *("Btch/PmtInfId", "Btch/MsgId"),
)
ENTRY_TEXTS: Final[tuple[str, ...]] = ("AddtlNtryInf",)
#: Where a batch counts its transactions, and how such a key ends if it has a number.
BATCH_COUNTS: Final = ("NtryDtls/Btch/NbOfTxs", "Btch/NbOfTxs")
BATCH_COUNT: Final = "Btch/NbOfTxs"

BOOKING_DATE: Final = ("BookgDt/Dt", "BookgDt/DtTm", "BookgDt")
VALUE_DATE: Final = ("ValDt/Dt", "ValDt/DtTm", "ValDt")
STATUS: Final = ("Sts", "Sts/Cd", "Sts/Prtry")
