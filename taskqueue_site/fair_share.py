"""What the page of fair share shows: who should have had what of each pool, and had.

However many tenants there are, each pool shows the first `MOST_ROWS` in the order asked
for; a search finds any other.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from fairshare.entitlement import Share
from taskqueue_site import dashboard, shares
from taskqueue_site.dashboard import PoolLoad
from taskqueue_site.shares import WINDOWS, TenantNow, Window, WindowShares

MOST_ROWS: Final = 50
#: Queued jobs of a tenant are counted up to here.
MOST_COUNTED: Final = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """A tenant in a pool; without a share it had no work there in the window."""

    tenant: TenantNow
    pool: str
    share: Share | None
    wait_seconds: float | None

    @property
    def is_open(self) -> bool:
        """Return whether there is anything to see of it."""
        busy = self.tenant.at_work > 0 or self.wait_seconds is not None
        return self.share is not None or (busy and self.is_here)

    @property
    def is_here(self) -> bool:
        """Return whether the tenant is in this pool now."""
        return self.tenant.pool == self.pool


@dataclass(frozen=True, slots=True)
class PoolRows:
    """A pool's capacity, its first rows, and how many tenants are not shown."""

    load: PoolLoad
    rows: list[Row]
    more: int
    idle: int


@dataclass(frozen=True, slots=True)
class FairShare:
    """Everything on the page, at one moment of the database's clock."""

    now: datetime
    found: WindowShares
    pools: list[PoolRows]
    waiting: Mapping[str, int]


def _by_wait(row: Row) -> tuple[Any, ...]:
    # Who waits for a person comes after those who wait for a slot.
    return (row.tenant.is_paused, -(row.wait_seconds or 0.0), row.tenant.slug)


def _by_shortfall(row: Row) -> tuple[Any, ...]:
    return (-(row.share.shortfall if row.share else 0.0), *_by_wait(row))


def _by_received(row: Row) -> tuple[Any, ...]:
    return (-(row.share.received if row.share else 0.0), *_by_wait(row))


def _by_name(row: Row) -> tuple[Any, ...]:
    return (row.tenant.slug,)


ORDERS: Final[Mapping[str, Callable[[Row], tuple[Any, ...]]]] = {
    "wait": _by_wait,
    "shortfall": _by_shortfall,
    "received": _by_received,
    "tenant": _by_name,
}


@dataclass(frozen=True, slots=True)
class Choice:
    """What a visitor asked for in the address; anything unknown is the default."""

    window: Window
    order: str
    search: str

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Choice":
        """Read an address's parameters."""
        minutes = parameters.get("window", "")
        order = parameters.get("sort", "")
        return cls(
            window=next(
                (w for m, w in WINDOWS.items() if str(m) == minutes), WINDOWS[5]
            ),
            order=order if order in ORDERS else "wait",
            search=parameters.get("q", "").strip()[:100],
        )


def read(choice: Choice) -> FairShare:
    """Read the page as it stands now."""
    now = shares.now()
    tenants = shares.tenants_now()
    found = shares.window_shares(choice.window, tenants, now=now)
    pools = [
        _pool_rows(load, list(_rows(load.name, tenants, found, now)), choice)
        for load in _loads(tenants, found)
    ]
    shown = {row.tenant.slug for pool in pools for row in pool.rows}
    waiting = shares.waiting(sorted(shown), most=MOST_COUNTED)
    kept = [pool for pool in pools if pool.rows or not choice.search]
    # Pools in which something happens come first; else they stay in their order.
    kept.sort(key=lambda pool: not pool.rows)
    return FairShare(now, found, kept, waiting)


def _loads(tenants: Iterable[TenantNow], found: WindowShares) -> list[PoolLoad]:
    """Return all pools there are, those without worker and work included."""
    loads = {load.name: load for load in dashboard.pool_loads()}
    for name in {*found.by_pool, *(tenant.pool for tenant in tenants)}:
        loads.setdefault(name, PoolLoad(name, 0, 0, 0, 0))
    return [loads[name] for name in sorted(loads)]


def _rows(
    pool: str, tenants: Iterable[TenantNow], found: WindowShares, now: datetime
) -> Iterable[Row]:
    for tenant in tenants:
        share = found.of(pool, tenant.slug)
        if share is None and tenant.pool != pool:
            continue
        due_at = tenant.due_at if tenant.pool == pool else None
        wait = None if due_at is None else max(0.0, (now - due_at).total_seconds())
        yield Row(tenant, pool, share, wait)


def _pool_rows(load: PoolLoad, rows: list[Row], choice: Choice) -> PoolRows:
    term = choice.search.lower()
    if term:
        open_rows = [row for row in rows if term in _text(row.tenant)]
    else:
        open_rows = [row for row in rows if row.is_open]
    open_rows.sort(key=ORDERS[choice.order])
    return PoolRows(
        load=load,
        rows=open_rows[:MOST_ROWS],
        more=max(0, len(open_rows) - MOST_ROWS),
        idle=0 if term else len(rows) - len(open_rows),
    )


def _text(tenant: TenantNow) -> str:
    return f"{tenant.slug} {tenant.name}".lower()
