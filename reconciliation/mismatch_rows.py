"""Reads the transactions around a mismatch, and the mismatches around transactions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from ingestion.models import Transaction
from ingestion.terms import read_term
from ingestion.transaction_search import with_id
from reconciliation.lifecycle import State
from reconciliation.matching import Key, Rule, Side, Terms
from reconciliation.models import MatchRow, Profile, Reconciliation

#: How far from a mismatch's rows others are looked for, and how many are shown.
NEAR_DAYS: Final = 4
KEY_DAYS: Final = 31
NEAR_PERCENT: Final = Decimal(1)
MOST_SHOWN: Final = 25
#: Mismatches that a search finds by each of the ways it has.
MOST_FOUND: Final = 200
_MOST_DIGITS: Final = 18


@dataclass(frozen=True, slots=True)
class Pair:
    """The rows of a mismatch; either may be missing, and both are for a file's."""

    ours: Transaction | None
    theirs: Transaction | None

    @property
    def rows(self) -> list[Transaction]:
        """Return those that are there."""
        return [row for row in (self.ours, self.theirs) if row is not None]


def terms_of(profile: Profile) -> Terms:
    """Return what tells sides, keys and days apart: no more rules than the first."""
    first = profile.rules.order_by("place").values_list("key", flat=True).first()
    return Terms(
        internal=profile.internal_sources,
        external=profile.external_sources,
        rules=[Rule(key=Key(first))] if first else [],
        zone=ZoneInfo(profile.time_zone),
        cutoff=profile.cutoff,
    )


def primary_key(profile: Profile) -> str:
    """Return the column by which both sides of the profile should agree."""
    return terms_of(profile).primary.value


def side_of(profile: Profile, row: Transaction) -> Side | None:
    """Return whose side a row is on; None if the profile does not look at it."""
    if row.source in profile.internal_sources:
        return Side.INTERNAL
    return Side.EXTERNAL if row.source in profile.external_sources else None


def signed(row: Transaction) -> Decimal:
    """Return what a row counts in a sum: credits are positive."""
    return row.amount if row.direction == "C" else -row.amount


def pair_of(mismatch: Reconciliation) -> Pair:
    """Return the rows of a mismatch, as far as they are still kept."""
    sides = (
        (mismatch.internal_id, mismatch.internal_txn_id),
        (mismatch.external_id, mismatch.external_txn_id),
    )
    ours, theirs = (_row(mismatch.tenant_id, *side) for side in sides)
    return Pair(ours, theirs)


def same_key(mismatch: Reconciliation, pair: Pair) -> list[Transaction]:
    """Return the other rows of its key, of both sides."""
    if not mismatch.key:
        return []
    key = primary_key(mismatch.profile)
    rows = _others(mismatch.profile, pair).filter(**{key: mismatch.key})
    if key != Key.REFERENCE.value:  # which has an index
        rows = _around(rows, pair, KEY_DAYS)
    return list(rows.order_by("txn_timestamp", "pk")[:MOST_SHOWN])


def rows_of_key(profile: Profile, key: str) -> list[Transaction]:
    """Return the rows of a key of the profile, of both sides, in the order of time."""
    rows = _others(profile, Pair(None, None)).filter(**{primary_key(profile): key})
    return list(rows.order_by("txn_timestamp", "pk")[:MOST_SHOWN])


def candidates(
    mismatch: Reconciliation, pair: Pair, *, but: Iterable[Transaction]
) -> list[Transaction]:
    """Return rows near in time whose amount is about its own, or fills its gap.

    Where one side is missing, of that side; the nearest first.
    """
    profile, amount = mismatch.profile, mismatch.amount
    if amount is None or not pair.rows:
        return []
    lone = pair.rows[0] if len(pair.rows) == 1 else None
    sources = [*profile.internal_sources, *profile.external_sources]
    if lone is not None:
        is_ours = side_of(profile, lone) is Side.INTERNAL
        sources = profile.external_sources if is_ours else profile.internal_sources
    margin = amount * NEAR_PERCENT / 100
    fits = Q(amount__range=(amount - margin, amount + margin))
    if mismatch.difference:
        fits |= Q(amount=mismatch.difference)
    rows = _others(profile, pair).filter(
        fits, source__in=sources, currency=mismatch.currency
    )
    rows = rows.exclude(pk__in=[row.pk for row in but])
    found = _around(rows, pair, NEAR_DAYS).order_by("txn_timestamp", "pk")
    at = pair.rows[0].txn_timestamp
    nearest = sorted(
        found[: 20 * MOST_SHOWN],
        key=lambda row: (abs(row.amount - amount), abs(row.txn_timestamp - at)),
    )
    return nearest[:MOST_SHOWN]


def found_by(term: str) -> list[int]:
    """Return the mismatches with this number, key or transaction id, by index."""
    ids: set[int] = set()
    told = Reconciliation.objects.values_list("pk", flat=True)
    if term.isascii() and term.isdigit() and len(term) <= _MOST_DIGITS:
        ids.update(told.filter(pk=int(term)))
    tenant_of = dict(Profile.objects.values_list("pk", "tenant_id"))
    active = told.exclude(state=State.CLOSED)
    ids.update(active.filter(profile_id__in=tenant_of, key=term)[:MOST_FOUND])
    kept = Transaction.objects.defer("raw_row")
    rows = list(with_id(kept, read_term(term))[:MOST_FOUND])
    for profile_id, tenant in tenant_of.items():
        own = [row for row in rows if row.tenant_id == tenant]
        if own:
            found = touching(profile_id, own).values_list("pk", flat=True)
            ids.update(found[:MOST_FOUND])
    return sorted(ids)


def touching(
    profile_id: int, rows: Sequence[MatchRow] | Sequence[Transaction]
) -> QuerySet[Any]:
    """Return the profile's mismatches that are about these rows.

    By the indexes `reconciliation_told_once` and `reconciliation_key`: a pair is found
    by our row, or by its key.
    """
    if not rows:
        none: QuerySet[Any] = Reconciliation.objects.none()
        return none
    ids = [getattr(row, "transaction_id", row.pk) for row in rows]
    keys = {key for row in rows for key in _keys(row)}
    told = Reconciliation.objects.annotate(
        ours=Coalesce("internal_id", 0), theirs=Coalesce("external_id", 0)
    )
    found: QuerySet[Any] = told.filter(
        Q(ours__in=ids)
        | Q(ours=0, theirs__in=ids)
        | Q(key__in=keys, external_id__in=ids),
        profile_id=profile_id,
        mismatch_type__in=Reconciliation.MismatchType.values,
    )
    return found


def _keys(row: MatchRow | Transaction) -> list[str]:
    if isinstance(row, MatchRow):
        return [row.key] if row.key else []
    return [key for key in (row.reference_id, row.source_txn_id) if key]


def _row(tenant: str, pk: int | None, txn_id: str | None) -> Transaction | None:
    kept = Transaction.objects.select_related("file").defer("raw_row")
    rows = kept.filter(tenant_id=tenant)
    if pk is not None:
        rows = rows.filter(pk=pk)
    elif txn_id:
        rows = rows.filter(txn_id=txn_id)
    else:
        return None
    found: Transaction | None = rows.first()
    return found


def _others(profile: Profile, pair: Pair) -> QuerySet[Any]:
    rows: QuerySet[Any] = Transaction.objects.filter(
        tenant_id=profile.tenant_id,
        source__in=[*profile.internal_sources, *profile.external_sources],
    )
    others = rows.exclude(pk__in=[row.pk for row in pair.rows])
    return others.select_related("file").defer("raw_row")


def _around(rows: QuerySet[Any], pair: Pair, days: int) -> QuerySet[Any]:
    """Keep the rows near in time: an index on time finds them."""
    times = [row.txn_timestamp for row in pair.rows]
    if not times:
        return rows.none()
    reach = timedelta(days=days)
    return rows.filter(txn_timestamp__range=(min(times) - reach, max(times) + reach))
