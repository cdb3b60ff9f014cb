"""`manage.py whatif`: what other settings would have done to the recorded jobs."""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from fairshare.explain import in_words
from fairshare.whatif import MOST_JOBS, Outcome, TenantChange
from jobs import previews
from jobs.backlog import TenantConfig
from jobs.previews import NothingToReplayError, NoWorkersError, Preview
from quotas.models import MAX_CAP, MAX_WEIGHT, MIN_WEIGHT
from tenants.management.product_command import ProductCommand, command_errors
from tenants.models import slug_validator
from tenants.scoping import all_tenants
from tenants.selectors import UnknownTierError, tier_get

Pair = tuple[str, Any]

#: Tenants in the table; the others are counted, and --json has them all.
MOST_LINES: Final = 25
#: The longest time that --since takes.
LONGEST: Final = timedelta(days=3650)
#: Most digits of a number.
_DIGITS: Final = 10
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Command(ProductCommand):
    help = "Replay recorded jobs under other settings, and compare the waits."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the window, the changes and what to assume."""
        self.add_common_arguments(parser)
        parser.add_argument(
            "--since",
            type=window,
            default="24h",
            metavar="AGO",
            help="replay what arrived since then: 90m, 24h, 7d (default: 24h)",
        )
        for name, convert, metavar, text in (
            ("weight", weight, "TENANT=W", "at this weight"),
            ("cap", cap, "TENANT=N", "with at most so many in flight; 0: no cap"),
            ("tier", _word, "TENANT=TIER", "in this tier"),
            ("pool", pool, "TENANT=POOL", "in this pool"),
        ):
            parser.add_argument(
                f"--{name}",
                type=pair(convert),
                action="append",
                default=[],
                metavar=metavar,
                help=text,
            )
        for name in ("pause", "resume"):
            parser.add_argument(
                f"--{name}",
                action="append",
                default=[],
                metavar="TENANT",
                help=f"{name}d all that time",
            )
        parser.add_argument(
            "--slots",
            type=slots,
            action="append",
            default=[],
            metavar="[POOL=]N",
            help="slots to assume instead of those of the live workers",
        )
        parser.add_argument(
            "--most-jobs",
            type=_positive,
            default=MOST_JOBS,
            metavar="N",
            help=f"replay the newest N jobs at most (default: {MOST_JOBS})",
        )

    def handle(self, *_: Any, as_json: bool, **options: Any) -> None:
        """Read, replay twice, and print what differs."""
        with (
            command_errors(UnknownTierError, NothingToReplayError),
            all_tenants(reason="manage.py whatif"),
        ):
            before = previews.settings()
            after = {**before, **dict(_changed(before, options))}
            if after == before:
                raise CommandError(
                    "Nothing would change: say what with --weight TENANT=W, --cap, "
                    "--tier, --pool, --pause or --resume; "
                    "`manage.py tenant list` shows the settings."
                )
            found = _preview(before, after, options)
        self.write("\n".join(_lines(found)), _report(found), as_json=as_json)


# --- What was typed -------------------------------------------------------------------


def window(text: str) -> timedelta:
    """Return a length of time: a number and `s`, `m`, `h` or `d`."""
    match = re.fullmatch(r"(\d{1,6})([smhd])", text)
    if match is None or not int(match[1]):
        raise ArgumentTypeError(
            f"{text!r} is no length of time: use a number and s, m, h or d, as in 24h"
        )
    length = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    if length > LONGEST:
        raise ArgumentTypeError(f"{text} is more than {LONGEST.days}d")
    return length


def pair(convert: Callable[[str], Any]) -> Callable[[str], Pair]:
    """Return what reads `TENANT=VALUE`."""

    def read(text: str) -> Pair:
        slug, sign, value = text.partition("=")
        if not (slug and sign):
            raise ArgumentTypeError(f"{text!r} is not TENANT=VALUE")
        return slug, convert(value)

    return read


def weight(text: str) -> int:
    """Return a weight, as an operator writes it, in thousandths."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite():
        raise ArgumentTypeError(f"the weight {text!r} is not a number")
    if not MIN_WEIGHT <= value <= MAX_WEIGHT:
        raise ArgumentTypeError(
            f"the weight {text} is not between {MIN_WEIGHT} and {MAX_WEIGHT}"
        )
    if (1000 * Fraction(value)).denominator > 1:
        raise ArgumentTypeError(f"the weight {text} has more than three decimals")
    return int(value * 1000)


def cap(text: str) -> int | None:
    """Return a cap; 0 means none, as in `manage.py tenant set`."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"the cap {text!r} is not a whole number")
    if len(text) > _DIGITS or int(text) > MAX_CAP:
        raise ArgumentTypeError(f"the cap {text} is more than {MAX_CAP}")
    return int(text) or None


def pool(text: str) -> str:
    """Return the name of a pool."""
    try:
        slug_validator(text)
    except ValidationError:
        raise ArgumentTypeError(f"{text!r} is not the name of a pool") from None
    return text


def slots(text: str) -> tuple[str | None, int]:
    """Return a pool, None for all, and how many slots it is to have."""
    name, _, number = text.rpartition("=")
    return name or None, _positive(number)


def _positive(text: str) -> int:
    if not text.isdecimal() or len(text) > _DIGITS or not int(text):
        raise ArgumentTypeError(
            f"{text!r} is not a whole number from 1 to {10**_DIGITS - 1}"
        )
    return int(text)


def _word(text: str) -> str:
    return text


# --- What it means --------------------------------------------------------------------


def _changed(
    before: Mapping[str, TenantConfig], options: Mapping[str, Any]
) -> Iterator[tuple[str, TenantConfig]]:
    """Yield each tenant that an option names, with all its changes."""
    wishes: dict[str, dict[str, Any]] = {}
    for slug, values in _wishes(options):
        if slug not in before:
            raise CommandError(
                f"There is no tenant {slug!r}; `manage.py tenant list` shows them."
            )
        wish = wishes.setdefault(slug, {})
        if wish.keys() & values.keys():
            raise CommandError(f"Two of the changes of {slug!r} contradict each other.")
        wish.update(values)
    for slug, values in wishes.items():
        yield slug, replace(before[slug], **values)


def _wishes(options: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in ("weight", "cap", "pool"):
        yield from ((slug, {name: value}) for slug, value in options[name])
    for slug, name in options["tier"]:
        tier = tier_get(name=name)
        yield slug, {"tier": tier.name, "tier_weight": tier.weight * 1000}
    yield from ((slug, {"is_paused": True}) for slug in options["pause"])
    yield from ((slug, {"is_paused": False}) for slug in options["resume"])


def _preview(
    before: Mapping[str, TenantConfig],
    after: Mapping[str, TenantConfig],
    options: Mapping[str, Any],
) -> Preview:
    try:
        return previews.preview(
            before=before,
            after=after,
            slots=_assumed(previews.live_slots(), before, after, options["slots"]),
            now=timezone.now(),
            window=options["since"],
            most_jobs=options["most_jobs"],
        )
    except NoWorkersError as error:
        raise CommandError(f"{error} Or say how many it has with --slots.") from None


def _assumed(
    live: Mapping[str, int],
    before: Mapping[str, TenantConfig],
    after: Mapping[str, TenantConfig],
    given: Sequence[tuple[str | None, int]],
) -> dict[str, int]:
    """Return the slots of each pool: those given, else those of live workers."""
    pools = {config.pool for each in (before, after) for config in each.values()}
    assumed = dict(live)
    for name, number in given:
        if name and name not in pools:
            known = ", ".join(sorted(pools))
            raise CommandError(f"No tenant is in a pool {name!r}; there are: {known}.")
        assumed.update(dict.fromkeys([name] if name else pools, number))
    return assumed


# --- What is printed ------------------------------------------------------------------

_WIDTHS: Final = (9, 12, 11, 12, 11, 8, 6, 13, 11)


def _lines(found: Preview) -> Iterator[str]:
    shown = found.tenants[:MOST_LINES]
    name_width = max(len(each.tenant) for each in shown) + 2
    yield from found.sentences
    if found.sentences:
        yield ""
    pools = ", ".join(f"{name} ({number})" for name, number in found.slots.items())
    zone = timezone.get_current_timezone_name()
    yield f"{found.jobs:,} jobs replayed; pools (slots): {pools}; times are in {zone}."
    yield ""
    yield _line(
        name_width, "", "", *("wait p50", "", "wait p99", "", "share", "", "ends")
    )
    head = ("tenant", "jobs", *("before", "after") * 4)
    yield _line(name_width, *head)
    for each in shown:
        mark = " *" if each.tenant in found.changed else ""
        yield _line(
            name_width, each.tenant + mark, f"{each.before.jobs:,}", *_row(each)
        )
    if len(found.tenants) > len(shown):
        yield f"and {len(found.tenants) - len(shown):,} more; --json has them all"
    if found.notes:
        yield ""
        yield from found.notes


def _row(change: TenantChange) -> Iterator[str]:
    outcomes = (change.before, change.after)
    for name in ("wait_p50_us", "wait_p99_us"):
        yield from (_wait(getattr(outcome, name)) for outcome in outcomes)
    yield from (
        "–" if outcome.share is None else f"{outcome.share:.1%}" for outcome in outcomes
    )
    for outcome in outcomes:
        ends = _at(outcome)
        yield "never" if ends is None else f"{ends:%m-%d %H:%M}"


def _wait(wait_us: int | None) -> str:
    return "for ever" if wait_us is None else in_words(wait_us)


def _at(outcome: Outcome) -> datetime | None:
    ends = outcome.backlog_ends_us
    return None if ends is None else previews.moment(ends)


def _line(name_width: int, name: str, *cells: str) -> str:
    widths = _WIDTHS[: len(cells)]
    numbers = " ".join(
        f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True)
    )
    return f"{name:<{name_width}} {numbers}".rstrip()


def _report(found: Preview) -> dict[str, Any]:
    return {
        "jobs": found.jobs,
        "slots": found.slots,
        "changed": sorted(found.changed),
        "sentences": found.sentences,
        "notes": found.notes,
        "tenants": [
            {
                "tenant_id": each.tenant,
                "before": _outcome(each.before),
                "after": _outcome(each.after),
                "sentence": each.sentence,
            }
            for each in found.tenants
        ],
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    ends = _at(outcome)
    return {
        "jobs": outcome.jobs,
        "wait_p50_us": outcome.wait_p50_us,
        "wait_p99_us": outcome.wait_p99_us,
        "share": outcome.share,
        "backlog_ends_at": None if ends is None else ends.astimezone(UTC).isoformat(),
    }
