"""Pieces of SQL that say what matching.py says: days, fees and tolerances."""

from typing import Any, Final

from reconciliation.matching import Rule, Terms

#: For statements over open rows, until the end of the transaction. Of rows that were
#: written a moment ago PostgreSQL knows nothing: it takes thousands for a few, and
#: looks at each pair of them.
SET_BASED: Final = "SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '32MB'"

_SINCE_MONDAY: Final = "({day} - DATE '1900-01-01')"
_WEEKDAYS: Final = (
    f"({_SINCE_MONDAY} / 7 * 5 + LEAST(mod({_SINCE_MONDAY}, 7), 5))"  # Monday to Friday
)


def day_of(moment: str) -> str:
    """Return the day to which a moment belongs."""
    return f"(({moment} AT TIME ZONE %(zone)s) + %(shift)s)::date"


def ordinal(day: str, rule: Rule) -> str:
    """Return a number whose differences are days, as the rule counts them."""
    return (_WEEKDAYS if rule.is_business_days else _SINCE_MONDAY).format(day=day)


def days_between(one: str, other: str, rule: Rule) -> str:
    """Return how many days apart two days are."""
    return f"abs({ordinal(one, rule)} - {ordinal(other, rule)})"


def tolerance(amount: str) -> str:
    """Return how far an external amount may be from an internal one."""
    return f"GREATEST(%(amount)s, {amount} * %(percent)s / 100)"


def less_fee(amount: str) -> str:
    """Return an amount less the profile's fee."""
    return f"({amount} - round({amount} * %(fee_percent)s / 100, 2) - %(fee_fixed)s)"


def due(amount: str, rule: Rule, terms: Terms) -> str:
    """Return the amount that the external side should have."""
    return less_fee(amount) if rule.is_less_fee and terms.fee is not None else amount


def values_of(rule: Rule, terms: Terms) -> dict[str, Any]:
    """Return the parameters of these pieces."""
    fee = terms.fee
    return {
        "zone": terms.zone.key,
        "shift": terms.shift,
        "amount": rule.amount,
        "percent": rule.percent,
        "days": rule.days,
        "fee_percent": 0 if fee is None else fee.percent,
        "fee_fixed": 0 if fee is None else fee.fixed,
    }
