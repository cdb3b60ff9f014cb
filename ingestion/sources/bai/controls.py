"""What a BAI2 file says of itself as a whole: balances, totals and counts."""

from decimal import Decimal

from ingestion.sources.bai.detail import FUNDS_TYPES, amount_of, small_number
from ingestion.sources.bai.known import Account, Stated, Total
from ingestion.sources.base import Control, Fault, Record, visible
from ingestion.sources.currencies import EXPONENTS

_OPENING, _CLOSING, _ALL_CREDITS, _ALL_DEBITS = "010", "015", "100", "400"


def some(fields: list[str], count: int) -> list[str]:
    """Return the first fields, blank ones in place of those that are missing."""
    return [*fields[:count], *[""] * (count - len(fields))]


def read_summary(account: Account, fields: list[str]) -> str | None:
    """Take the status and summary types of an account; return what makes no sense."""
    at, bad = 0, None
    while at < len(fields):
        code = fields[at]
        if not code:  # all of it was left out, or a bank wrote a comma too many
            at += 1
            continue
        if not (len(code) == 3 and code.isascii() and code.isdigit()):
            return ",".join(fields[at:])
        amount_text, count, funds = some(fields[at + 1 : at + 4], 3)
        amount = amount_of(amount_text)
        at += 4
        if funds.upper() not in FUNDS_TYPES and len(count) == 3:
            # The item count and the funds type were left out at the end of a record.
            at, count, funds = at - 2, "", ""
        at += _skipped(funds.upper(), fields, at)
        if amount is None:
            bad = f"{code},{amount_text}"
        else:
            _keep(account, code, amount, count)
    return bad


def _skipped(funds_type: str, fields: list[str], at: int) -> int:
    """Return how many fields follow a funds type."""
    if funds_type == "D":
        return 1 + 2 * (small_number(fields[at]) or 0 if at < len(fields) else 0)
    return {"S": 3, "V": 2}.get(funds_type, 0)


def _keep(account: Account, code: str, amount: int, count: str) -> None:
    account.sum += amount
    if code == _OPENING:
        account.opening = amount
    elif code == _CLOSING:
        account.closing = amount
    elif code in (_ALL_CREDITS, _ALL_DEBITS):
        stated = Stated(amount, small_number(count))
        if code == _ALL_CREDITS:
            account.all_credits = stated
        else:
            account.all_debits = stated


def balance_faults(line: int, account: Account) -> list[Record]:
    """Return what does not hold between the balances, the totals and the details.

    Details may be only some of what the totals count, so they can only be too much; or
    else be all of them by number and another sum.
    """
    faults: list[Record] = []
    for control, total, stated in (
        (Control.CREDIT_SUM, account.credits, account.all_credits),
        (Control.DEBIT_SUM, account.debits, account.all_debits),
    ):
        if stated.amount is not None and not _agrees(total, stated):
            faults.append(_fault(line, control, stated.amount, total.sum, account))
    if account.opening is None or account.closing is None:
        return faults
    if not account.entries and account.all_credits.amount is None:
        return faults
    found = account.opening + _moved(account)
    if found != account.closing:
        control = Control.CLOSING_BALANCE
        faults.append(_fault(line, control, account.closing, found, account))
    return faults


def _agrees(total: Total, stated: Stated) -> bool:
    if stated.amount is None or total.sum == stated.amount:
        return True
    is_complete = stated.count is not None and total.count >= stated.count
    return total.sum < stated.amount and not (is_complete and total.count)


def _moved(account: Account) -> int:
    credits, debits = account.all_credits.amount, account.all_debits.amount
    return (account.credits.sum if credits is None else credits) - (
        account.debits.sum if debits is None else debits
    )


def total_faults(line: int, text: str, *found: int) -> list[Record]:
    stated = amount_of(text)
    if not text or stated in found:
        return []
    return [Fault(line, Control.TOTAL_SUM, visible(text), str(found[0]))]


def count_faults(line: int, text: str, found: int, what: str) -> list[Record]:
    if not text or amount_of(text) == found:
        return []
    return [
        Fault(line, Control.ROW_COUNT, visible(f"{text} {what}"), f"{found} {what}")
    ]


def _fault(
    line: int, control: Control, expected: int, found: int, account: Account
) -> Fault:
    return Fault(
        line, control, _told(expected, account.currency), _told(found, account.currency)
    )


def _told(amount: int, currency: str) -> str:
    return f"{scaled(amount, currency):f} {currency}"


def scaled(amount: int, currency: str) -> Decimal:
    return Decimal(amount).scaleb(-EXPONENTS.get(currency, 2))
