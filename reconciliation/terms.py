"""A profile's terms: as a run takes them, as JSON, and what is wrong with them.

A run keeps its terms as JSON, so that what it found can be told by them later, whatever
the profile says then.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from reconciliation.matching import Fee, Key, Rule, Shape, Terms
from reconciliation.models import MatchRule, Profile

MOST_PERCENT: Final = 100
MOST_DAYS: Final = 366

#: What a tolerance may be at most, and how many places it may have.
_GREATEST: Final = 10**16
_PLACES: Final = 4
_NO_NUMBER: Final = Decimal("NaN")

#: The field of the profile, or `rules`, `rules.1`, `rules.1.key`; and what is wrong.
Fault = tuple[str, str]


class NotARuleError(ValueError):
    """What should be a rule as JSON is none: a field of it is wrong, or all of it."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field}: {text}" if field else text)
        self.field = field
        self.text = text


def rules_of(profile: Profile) -> tuple[Rule, ...]:
    """Return the rules of a profile in the order of their places."""
    return tuple(rule_of(row) for row in profile.rules.order_by("place"))


def rule_of(row: MatchRule) -> Rule:
    """Return the rule that a row says."""
    return Rule(
        key=Key(row.key),
        shape=Shape(row.shape),
        amount=Decimal(row.amount),
        percent=Decimal(row.percent),
        days=row.days,
        is_business_days=row.is_business_days,
        is_less_fee=row.is_less_fee,
        is_confirmed=row.is_confirmed,
    )


def terms_of(profile: Profile, rules: Sequence[Rule] | None = None) -> Terms:
    """Return what a run of the profile goes by, with other rules if they are given.

    The profile has no faults: its zone is one.
    """
    fee = Fee(percent=Decimal(profile.fee_percent), fixed=Decimal(profile.fee_fixed))
    return Terms(
        internal=tuple(profile.internal_sources),
        external=tuple(profile.external_sources),
        rules=rules_of(profile) if rules is None else tuple(rules),
        zone=ZoneInfo(profile.time_zone),
        cutoff=_time(profile.cutoff),
        fee=fee if fee != Fee() else None,
        stale_after=timedelta(hours=profile.stale_after_hours),
        closes_up_to=Decimal(profile.closes_up_to),
        closes_fees=profile.closes_fees,
    )


def _time(value: time | str) -> time:
    """Return a time; a row that was just made has its default as text."""
    return value if isinstance(value, time) else time.fromisoformat(value)


# --- JSON -----------------------------------------------------------------------------


def terms_json(terms: Terms) -> dict[str, Any]:
    """Return terms as JSON; amounts are text, so that nothing is rounded."""
    fee = terms.fee
    return {
        "internal": list(terms.internal),
        "external": list(terms.external),
        "rules": [rule_json(rule) for rule in terms.rules],
        "zone": terms.zone.key,
        "cutoff": terms.cutoff.isoformat(),
        "fee": fee and {"percent": str(fee.percent), "fixed": str(fee.fixed)},
        "stale_after_seconds": terms.stale_after // timedelta(seconds=1),
        "closes_up_to": str(terms.closes_up_to),
        "closes_fees": terms.closes_fees,
    }


def terms_from_json(said: Mapping[str, Any]) -> Terms:
    """Return the terms of which `terms_json` made this, be it that of an older one."""
    fee = said["fee"]
    return Terms(
        internal=tuple(said["internal"]),
        external=tuple(said["external"]),
        rules=tuple(rule_from_json(rule) for rule in said["rules"]),
        zone=ZoneInfo(said["zone"]),
        cutoff=time.fromisoformat(said["cutoff"]),
        fee=fee and Fee(percent=Decimal(fee["percent"]), fixed=Decimal(fee["fixed"])),
        stale_after=timedelta(seconds=said["stale_after_seconds"]),
        closes_up_to=Decimal(said.get("closes_up_to", 0)),
        closes_fees=said.get("closes_fees", False),
    )


def rule_json(rule: Rule) -> dict[str, Any]:
    """Return a rule as JSON."""
    return {
        "key": rule.key.value,
        "shape": rule.shape.value,
        "amount": str(rule.amount),
        "percent": str(rule.percent),
        "days": rule.days,
        "is_business_days": rule.is_business_days,
        "is_less_fee": rule.is_less_fee,
        "is_confirmed": rule.is_confirmed,
    }


def rule_from_json(said: Any) -> Rule:
    """Return the rule of which `rule_json` made this; what it leaves out is as usual.

    Raises NotARuleError for anything else.
    """
    if not isinstance(said, Mapping):
        raise NotARuleError("", "A rule is an object.")
    return Rule(**{name: _part(name, value) for name, value in said.items()})


def _part(name: str, value: Any) -> Any:
    """Return a part of a rule. Raises NotARuleError."""
    if name not in _PARTS:
        text = f"There is no such field. A rule has: {', '.join(_PARTS)}."
        raise NotARuleError(name, text)
    read, hint = _PARTS[name]
    try:
        return read(value)
    except (TypeError, ValueError, ArithmeticError):
        raise NotARuleError(name, hint) from None


def _tolerance(value: Any) -> Decimal:
    """Return a number that the database can take; text, so that nothing is rounded."""
    number = Decimal(value) if isinstance(value, str) else _NO_NUMBER
    is_bounded = number.is_finite() and abs(number) <= _GREATEST
    if not is_bounded or round(number, _PLACES) != number:
        raise ValueError(value)
    return number


def _exactly(kind: type) -> Callable[[Any], Any]:
    """Return what takes values of one type alone: true is no 1."""

    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(value)
        return value

    return read


def _one_of(names: type[StrEnum]) -> tuple[Callable[[Any], Any], str]:
    return names, f"Give one of: {', '.join(names)}."


_A_SWITCH: Final = _exactly(bool), "Give true or false."
#: How each part of a rule is read, and what is said of one that cannot be.
_PARTS: Final[Mapping[str, tuple[Callable[[Any], Any], str]]] = {
    "key": _one_of(Key),
    "shape": _one_of(Shape),
    "amount": (_tolerance, 'Give an amount as text, like "0.50".'),
    "percent": (_tolerance, 'Give a percentage as text, like "0.5".'),
    "days": (_exactly(int), "Give a whole number."),
    "is_business_days": _A_SWITCH,
    "is_less_fee": _A_SWITCH,
    "is_confirmed": _A_SWITCH,
}


# --- Faults ---------------------------------------------------------------------------


def faults_of(
    profile: Profile, rules: Sequence[Rule], *, known: Collection[str]
) -> list[Fault]:
    """Return what is wrong with a profile that has these rules.

    `known` are the names of all sources of the tenant (ingestion.profiles).
    """
    return [
        *faults_of_settings(profile, known=known),
        *faults_of_rules(profile, rules),
    ]


def faults_of_settings(profile: Profile, *, known: Collection[str]) -> list[Fault]:
    """Return what is wrong with a profile beside its rules."""
    return [*_faults_of_sources(profile, known), *_faults_of_numbers(profile)]


def faults_of_rules(profile: Profile, rules: Sequence[Rule]) -> list[Fault]:
    """Return what is wrong with rules for a profile with its fee."""
    has_fee = bool(profile.fee_percent or profile.fee_fixed)
    return list(_faults_of_rules(rules, has_fee=has_fee))


def _faults_of_sources(profile: Profile, known: Collection[str]) -> Iterator[Fault]:
    sides = {
        "internal_sources": profile.internal_sources or [],
        "external_sources": profile.external_sources or [],
    }
    for field, names in sides.items():
        if not names:
            yield field, "Choose one source at least."
        for name in sorted(set(names) - set(known)):
            yield field, f"The tenant has no source {name}."
    for name in sorted(set.intersection(*map(set, sides.values()))):
        yield "external_sources", f"{name} is on both sides: a source is on one."


def _faults_of_numbers(profile: Profile) -> Iterator[Fault]:
    if profile.time_zone not in available_timezones():
        yield "time_zone", f"There is no time zone {profile.time_zone}."
    cutoff = _time(profile.cutoff)
    if cutoff.second or cutoff.microsecond:
        yield "cutoff", "Hours and minutes only."
    if profile.fee_percent > MOST_PERCENT:
        yield "fee_percent", f"At most {MOST_PERCENT} percent."
    for field in ("fee_percent", "fee_fixed", "closes_up_to"):
        if getattr(profile, field) < 0:
            yield field, "Not below zero."


def _faults_of_rules(rules: Sequence[Rule], *, has_fee: bool) -> Iterator[Fault]:
    if not rules:
        yield "rules", "Add one rule at least."
        return
    yield from _faults_of_first(rules[0])
    for place, rule in enumerate(rules, start=1):
        for field, text in _faults_of_rule(rule, has_fee=has_fee):
            yield f"rules.{place}.{field}", text
        for earlier, other in enumerate(rules[: place - 1], start=1):
            if _takes_all_of(other, rule, is_next=earlier + 1 == place):
                text = f"rule {place} can match nothing that rule {earlier} has not"
                yield f"rules.{place}", text
                break


def _faults_of_first(rule: Rule) -> Iterator[Fault]:
    """Yield why a rule cannot be the one by whose key the rest is told."""
    if rule.shape is not Shape.ONE_TO_ONE:
        yield "rules.1.shape", "The first rule is one to one."
    if rule.key is Key.ACCOUNT:
        yield "rules.1.key", "The first rule goes by a reference or the bank's id."
    if not rule.is_confirmed:
        yield "rules.1.is_confirmed", "Nobody has to confirm what the first rule says."
    if rule.is_less_fee:
        yield "rules.1.is_less_fee", "The first rule compares whole amounts."


def _faults_of_rule(rule: Rule, *, has_fee: bool) -> Iterator[Fault]:
    for field in ("amount", "percent", "days"):
        if getattr(rule, field) < 0:
            yield field, "Not below zero."
    if rule.percent > MOST_PERCENT:
        yield "percent", f"At most {MOST_PERCENT} percent."
    if rule.days > MOST_DAYS:
        yield "days", f"At most {MOST_DAYS} days."
    if rule.is_less_fee and not has_fee:
        yield "is_less_fee", "The profile has no fee: say it above."


def _takes_all_of(earlier: Rule, later: Rule, *, is_next: bool) -> bool:
    """Tell whether the earlier rule leaves nothing that the later one allows.

    What is in between may take a row out of a sum, so that the rest adds up.
    """
    is_alike = (earlier.key, earlier.shape, earlier.is_less_fee) == (
        later.key,
        later.shape,
        later.is_less_fee,
    )
    return (
        is_alike
        and (is_next or later.shape is Shape.ONE_TO_ONE)
        and later.amount <= earlier.amount
        and later.percent <= earlier.percent
        and _most_days(later, as_in=earlier) <= earlier.days
    )


def _most_days(rule: Rule, *, as_in: Rule) -> int:
    """Return how far apart a rule lets rows be, in the days of another one."""
    if rule.is_business_days and not as_in.is_business_days:
        # From a Saturday on: that weekend, and one more for each full week.
        return rule.days + 2 * (rule.days // 5 + 1)
    return rule.days
