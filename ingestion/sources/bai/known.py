"""What a reading knows of the file, the group and the account that it is in.

All of it is kept in the position of a reading, so it is small and made of JSON values.
Amounts are whole numbers in the smallest unit of their currency, as the file has them.
"""

from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(slots=True)
class Total:
    """Details of one direction: how many there were, and their sum."""

    count: int = 0
    sum: int = 0


@dataclass(slots=True)
class Stated:
    """The total of one direction as the account's summary gives it."""

    amount: int | None = None
    count: int | None = None


@dataclass(slots=True)
class Account:
    """An account, from its identifier (03) to its trailer (49)."""

    id: str
    currency: str
    #: Of several of the same account in a row, which one this is.
    repeat: int = 0
    #: Physical records so far, and the sum of all amounts in them.
    records: int = 0
    sum: int = 0
    opening: int | None = None
    closing: int | None = None
    credits: Total = field(default_factory=Total)
    debits: Total = field(default_factory=Total)
    all_credits: Stated = field(default_factory=Stated)
    all_debits: Stated = field(default_factory=Stated)
    entries: int = 0
    rows: int = 0

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Return what `asdict` wrote."""
        told = dict(data)
        for name in ("credits", "debits"):
            told[name] = Total(**told[name])
            told[f"all_{name}"] = Stated(**told[f"all_{name}"])
        return cls(**told)


@dataclass(slots=True)
class Group:
    """A group of accounts, from its header (02) to its trailer (98)."""

    status: str = ""
    as_of_date: str = ""
    as_of_time: str = ""
    currency: str = ""
    modifier: str = ""
    records: int = 0
    accounts: int = 0
    #: Of the accounts' control totals as stated, and as they should be.
    stated: int = 0
    found: int = 0


@dataclass(slots=True)
class File:
    """A file, from its header (01) to its trailer (99)."""

    sender: str = ""
    created: str = ""
    id: str = ""
    records: int = 0
    groups: int = 0
    stated: int = 0
    found: int = 0
