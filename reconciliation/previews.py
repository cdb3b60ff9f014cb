"""What a deed would do to many mismatches: counted and summed, before it is done."""

from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Count, QuerySet, Sum

from reconciliation.deeds import Deed, Standing, why_not
from reconciliation.mismatches import standings_of


@dataclass(frozen=True, slots=True)
class Stake:
    """Mismatches of one tenant and type, and the money that they are about."""

    tenant: str
    mismatch_type: str
    currency: str
    count: int
    amount: Decimal
    difference: Decimal


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be moved, and how many would be left, by what they are."""

    stakes: list[Stake] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """Return how many would be moved."""
        return sum(stake.count for stake in self.stakes)

    @property
    def totals(self) -> list[tuple[str, Decimal, Decimal]]:
        """Return the money at stake and the differences of each currency."""
        amounts, differences = Counter[str](), Counter[str]()
        for stake in self.stakes:
            amounts[stake.currency] += stake.amount  # type: ignore[assignment]
            differences[stake.currency] += stake.difference  # type: ignore[assignment]
        return [
            (currency, Decimal(amounts[currency]), Decimal(differences[currency]))
            for currency in sorted(amounts)
            if currency
        ]


def mismatches_preview(*, rows: QuerySet[Any], deed: Deed) -> Preview:
    """Return what the deed would do to these mismatches, in one statement."""
    preview = Preview()
    kinds = ("tenant_id", "mismatch_type", "currency")
    found = standings_of(rows.order_by()).values(*kinds, *Standing._fields)
    groups = found.annotate(
        total=Count("pk"), at_stake=Sum("amount"), apart=Sum("difference")
    )
    sums: dict[tuple[str, str, str], tuple[int, Decimal, Decimal]] = {}
    for group in groups:
        standing = Standing(**{name: group[name] for name in Standing._fields})
        if why := why_not(deed, standing):
            preview.left[why] += group["total"]
            continue
        key = (group["tenant_id"], group["mismatch_type"], group["currency"])
        count, amount, apart = sums.get(key, (0, Decimal(0), Decimal(0)))
        sums[key] = (
            count + group["total"],
            amount + (group["at_stake"] or 0),
            apart + (group["apart"] or 0),
        )
    preview.stakes.extend(Stake(*key, *sums[key]) for key in sorted(sums))
    return preview
