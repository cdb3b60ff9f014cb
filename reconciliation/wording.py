"""Rules and terms in plain words. Pure: no Django, no clock."""

import re
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Final

from reconciliation.matching import Key, Rule, Shape, Terms
from tenants.wording import plain

KEYS: Final = {
    Key.REFERENCE: "reference",
    Key.ID: "id of the payment",
    Key.ACCOUNT: "account",
}
SHAPES: Final = {
    Shape.ONE_TO_ONE: "one to one",
    Shape.ONE_TO_MANY: "one of ours to several of theirs",
    Shape.MANY_TO_ONE: "several of ours to one of theirs",
}
#: The whole part of an amount that stands before its side or its currency.
_WHOLE_PART: Final = re.compile(
    r"(?<![\w.,-])[0-9]{4,}(?=\.[0-9]+ (?:here\b|there\b|[A-Z]{3}\b))", re.ASCII
)


def rule_words(rule: Rule) -> str:
    """Return what a rule says, as one line."""
    parts = [
        f"Same {KEYS[rule.key]}",
        SHAPES[rule.shape],
        _amounts(rule),
        _days(rule),
    ]
    outcome = "matched" if rule.is_confirmed else "suggested"
    return f"{', '.join(parts)} → {outcome}"


def _amounts(rule: Rule) -> str:
    fee = " less the fee" if rule.is_less_fee else ""
    bounds = [_money(rule.amount)] if rule.amount else []
    bounds += [f"{plain(rule.percent)} %"] if rule.percent else []
    if not bounds:
        return f"equal amounts{fee}"
    return f"amounts{fee} within {' or '.join(bounds)}"


def _money(amount: Decimal) -> str:
    return f"{amount:,.2f}"


def _days(rule: Rule) -> str:
    kind = "business day" if rule.is_business_days else "day"
    if not rule.days:
        return f"on the same {kind}"
    return f"within {rule.days} {kind}{'' if rule.days == 1 else 's'}"


def terms_words(terms: Terms) -> list[tuple[str, str]]:
    """Return terms as titles and lines, the rules by their places."""
    lines = [
        ("Internal", ", ".join(terms.internal)),
        ("External", ", ".join(terms.external)),
        ("Days", _zone(terms)),
        ("Fee", _fee(terms)),
        ("Pending for", _hours(terms.stale_after)),
        ("Resolved by itself", _closes(terms)),
    ]
    rules = enumerate(terms.rules, start=1)
    return [*lines, *((f"Rule {place}", rule_words(rule)) for place, rule in rules)]


def _zone(terms: Terms) -> str:
    if terms.cutoff == time(0):
        return f"of {terms.zone.key}"
    return f"of {terms.zone.key}, until {terms.cutoff:%H:%M}"


def _fee(terms: Terms) -> str:
    fee = terms.fee
    if fee is None:
        return "none"
    parts = [f"{plain(fee.percent)} %"] if fee.percent else []
    parts += [_money(fee.fixed)] if fee.fixed else []
    return " and ".join(parts)


def _closes(terms: Terms) -> str:
    parts = ["fees"] if terms.closes_fees else []
    if terms.closes_up_to:
        parts.insert(0, f"amounts up to {_money(terms.closes_up_to)} apart")
    return " and ".join(parts) or "nothing"


def _hours(span: timedelta) -> str:
    hours = span // timedelta(hours=1)
    return f"{hours} hour{'' if hours == 1 else 's'} at most"


def days_words(first: date, last: date) -> str:
    """Return the days from the first to the last; one day is told once."""
    return f"{first}" if first == last else f"{first} to {last}"


# --- What runs told -------------------------------------------------------------------


def grouped(text: str) -> str:
    """Return what a run told, its amounts as people read them.

    >>> grouped("7996.35 here, 7993.99 there: 2.36 INR apart")
    '7,996.35 here, 7,993.99 there: 2.36 INR apart'
    """
    return _WHOLE_PART.sub(lambda found: f"{int(found[0]):,}", text)
