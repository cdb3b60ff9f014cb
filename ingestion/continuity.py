"""Whether an account's statement follows from the one before it. Pure."""

from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from ingestion.sources.base import Control

#: What only shows between files.
CONTROLS: Final = (
    Control.STATEMENT_GAP,
    Control.STATEMENT_REPEAT,
    Control.CARRIED_BALANCE,
)
#: Numbers that a new count begins with: most banks begin again every year.
_FIRST: Final = (0, 1)


class Told(NamedTuple):
    """What of a statement counts for that."""

    number: int | None
    opening: Decimal | None
    closing: Decimal | None
    rows: int
    credits: Decimal
    debits: Decimal
    opening_date: date | None = None
    closing_date: date | None = None

    def __str__(self) -> str:
        """Return it in a few words."""
        return f"{self.opening} to {self.closing} in {self.rows} rows"


class Broken(NamedTuple):
    """A control that does not hold between two statements."""

    control: Control
    expected: str
    found: str


def broken(before: Told, after: Told) -> Broken | None:
    """Return what does not hold between two statements in a row, if something does not.

    Where a statement is missing or came twice, the balances are no fault of their own.
    """
    if before.number is None or after.number is None:
        if _overlap(before, after):
            return None
    elif after.number == before.number:
        return _repeated(before, after)
    elif after.number not in (before.number + 1, *_FIRST):
        following = str(before.number + 1)
        return Broken(Control.STATEMENT_GAP, following, str(after.number))
    if _joins(before, after):
        return None
    return Broken(Control.CARRIED_BALANCE, str(before.closing), str(after.opening))


def _repeated(before: Told, after: Told) -> Broken | None:
    """Return the fault of a number that came before.

    The same once more is none, and neither is a further page, which goes on where the
    one before ended. Without balances nobody can tell a page from another statement.
    """
    if before == after or _joins(before, after):
        return None
    return Broken(Control.STATEMENT_REPEAT, str(before), str(after))


def _joins(before: Told, after: Told) -> bool:
    return None in (before.closing, after.opening) or before.closing == after.opening


def _overlap(before: Told, after: Told) -> bool:
    """Return whether both tell of one day, as exports do that somebody asks for.

    The second one then opens before the first one closes.
    """
    end, begin = before.closing_date, after.opening_date
    return end is not None and begin is not None and begin <= end
