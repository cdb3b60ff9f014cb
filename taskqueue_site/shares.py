"""Entitled and received worker time, pool by pool, from the ledger.

Time is cut into stretches that end now; `fairshare/entitlement.py` divides each. What
was received comes from the attempts that ended in the window or still run. A tenant had
jobs waiting at the bounds of a stretch if an attempt of the window, or one of the first
jobs in its line now, waited then. Every statement is bounded: by the index of the times
at which attempts ended and by `MOST_ATTEMPTS`, or by so many look-ups for each tenant.
However many jobs are queued, only the first few of each line are read.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection

from fairshare.entitlement import ANY_AMOUNT, Asker, Share, shares

#: A window is cut short to the latest attempts, so that reading it takes no seconds.
MOST_ATTEMPTS: Final = 100_000
#: Jobs looked at in each class of a tenant's line: one that was retried or came late
#: does not hide how long those behind it have waited.
HEADS: Final = 4

# To compile these statements takes longer than to run them.
_NOW = "SELECT clock_timestamp(), set_config('jit', 'off', true)"

_BEGIN = """
SELECT finished_at FROM jobs_attempt WHERE finished_at > %(begin)s
ORDER BY finished_at DESC OFFSET %(most)s LIMIT 1
"""

# Worker time of each stretch; an attempt that spans several is divided among them.
_WORK = """
WITH span AS (
    SELECT tenant_id, pool,
           GREATEST(date_part('epoch', finished_at - %(begin)s) - settled_us / 1e6, 0)
               AS starts,
           LEAST(date_part('epoch', finished_at - %(begin)s), %(length)s) AS ends
    FROM jobs_attempt WHERE finished_at > %(begin)s AND settled_us > 0
    UNION ALL
    SELECT tenant_id, pool, GREATEST(date_part('epoch', started_at - %(begin)s), 0),
           %(length)s
    FROM jobs_attempt WHERE outcome IS NULL AND started_at IS NOT NULL
)
SELECT pool, tenant_id, n,
       sum(LEAST(ends, (n + 1) * %(step)s) - GREATEST(starts, n * %(step)s))
FROM span, generate_series(floor(starts / %(step)s)::int,
                           floor(ends / %(step)s)::int) AS n
WHERE n < %(steps)s
GROUP BY pool, tenant_id, n
"""

# The bounds of stretches at which an attempt's job waited, as bits. An id begins with
# the milliseconds of its creation, so the job itself is only looked up where it waited
# at a bound: it may not have been due, or have been at work before.
_WAITED = """
WITH tried AS (
    SELECT tenant_id, pool, job_id, number,
           COALESCE(started_at, finished_at, 'infinity') AS until, dispatched_at,
           to_timestamp(('x' || translate(left(job_id::text, 13), '-', ''))::bit(48)
                        ::bigint / 1000.0) AS created_at
    FROM jobs_attempt WHERE finished_at > %(begin)s OR outcome IS NULL
), crossing AS (
    SELECT *, LEAST(CASE WHEN until = 'infinity' THEN %(steps)s ELSE ceil(
        date_part('epoch', until - %(begin)s) / %(step)s) - 1 END, %(steps)s) AS last
    FROM tried WHERE until > %(begin)s
), since AS (
    SELECT c.tenant_id, c.pool, c.last, CASE
        WHEN c.number = 1 THEN CASE
            WHEN j.run_after BETWEEN j.created_at AND c.dispatched_at THEN j.run_after
            ELSE j.created_at END
        WHEN before.outcome <> 'failed' THEN before.finished_at
        WHEN j.run_after BETWEEN before.finished_at AND c.dispatched_at
        THEN j.run_after
        ELSE c.dispatched_at END AS ready_at
    FROM crossing c
    JOIN jobs_job j ON j.id = c.job_id
    LEFT JOIN jobs_attempt before
           ON before.job_id = c.job_id AND before.number = c.number - 1
    WHERE c.last >= 0
      AND ceil(date_part('epoch', c.created_at - %(begin)s) / %(step)s) <= c.last
), ranges AS (
    SELECT tenant_id, pool, last::int AS last, GREATEST(ceil(
        date_part('epoch', ready_at - %(begin)s) / %(step)s), 0)::int AS first
    FROM since
)
SELECT pool, tenant_id, bit_or(((1::bigint << (last - first + 1)) - 1) << first)
FROM ranges WHERE first <= last GROUP BY pool, tenant_id
"""

_TENANTS = """
WITH line AS (
    SELECT t.slug, min(head.run_after) AS due_at, min(GREATEST(
               head.run_after, before.finished_at)) AS ready_at
    FROM tenants_tenant t
    CROSS JOIN (VALUES (0), (1), (2), (3)) AS class (priority)
    CROSS JOIN LATERAL (
        SELECT j.id, j.run_after, j.attempt_count FROM jobs_job j
        WHERE j.tenant_id = t.slug AND j.priority = class.priority
          AND j.state = 'queued'
        ORDER BY j.id LIMIT %(heads)s
    ) AS head
    LEFT JOIN jobs_attempt before
           ON before.job_id = head.id AND before.number = head.attempt_count
    GROUP BY t.slug
), live AS (
    SELECT tenant_id, count(*) FILTER (WHERE started_at IS NOT NULL) AS running,
           count(*) FILTER (WHERE started_at IS NULL) AS dispatched
    FROM jobs_attempt WHERE outcome IS NULL GROUP BY tenant_id
)
SELECT t.slug, t.name, tier.name, tier.weight,
       COALESCE(NULLIF(t.pool, ''), tier.default_pool), COALESCE(q.weight, 1),
       q.max_in_flight, q.rate_per_second, t.is_paused, t.paused_reason,
       COALESCE(live.running, 0), COALESCE(live.dispatched, 0), line.due_at,
       line.ready_at
FROM tenants_tenant t
JOIN tenants_tier tier ON tier.name = t.tier_id
LEFT JOIN quotas_quota q ON q.tenant_id = t.slug
LEFT JOIN live ON live.tenant_id = t.slug
LEFT JOIN line ON line.slug = t.slug
ORDER BY t.slug
"""

_WAITING = """
SELECT t.slug, line.jobs
FROM unnest(%(slugs)s::text[]) AS t (slug)
CROSS JOIN LATERAL (
    SELECT count(*) AS jobs FROM (
        SELECT 1 FROM jobs_job j
        WHERE j.tenant_id = t.slug AND j.state = 'queued' LIMIT %(most)s
    ) AS counted
) AS line
"""


@dataclass(frozen=True, slots=True)
class Window:
    """The time that ends now, cut into stretches; at most 60 of them fit."""

    minutes: int
    step_seconds: int

    @property
    def steps(self) -> int:
        """Return the number of stretches."""
        return self.minutes * 60 // self.step_seconds


#: By name, as in a page's address.
WINDOWS: Final = {
    each.minutes: each for each in (Window(1, 5), Window(5, 10), Window(60, 120))
}


@dataclass(frozen=True, slots=True)
class TenantNow:
    """A tenant's settings, and its line: what is first in it has been due since."""

    slug: str
    name: str
    tier: str
    tier_weight: int
    pool: str
    weight: Decimal
    cap: int | None
    rate: Decimal | None
    is_paused: bool
    paused_reason: str
    running: int
    dispatched: int
    due_at: datetime | None
    ready_at: datetime | None

    @property
    def may_start(self) -> bool:
        """Return whether nothing but its turn, or a cap, can hold its jobs back.

        Time in which a tenant is paused or limited by a rate earns nothing.
        """
        return not self.is_paused and self.rate is None

    @property
    def at_work(self) -> int:
        """Return its jobs in flight."""
        return self.running + self.dispatched

    @property
    def is_capped(self) -> bool:
        """Return whether it has as many jobs in flight as its cap allows."""
        return self.cap is not None and self.at_work >= self.cap


@dataclass(frozen=True, slots=True)
class WindowShares:
    """The shares of a window that begins at `begin`, by pool and tenant."""

    window: Window
    begin: datetime
    is_cut: bool
    by_pool: dict[str, dict[str, Share]]

    def of(self, pool: str, slug: str) -> Share | None:
        """Return a tenant's share; None if it had no work in the window."""
        return self.by_pool.get(pool, {}).get(slug)


def now() -> datetime:
    """Return the database's time, at which what follows in this transaction looks."""
    found: datetime = _rows(_NOW)[0][0]
    return found


def tenants_now() -> list[TenantNow]:
    """Return every tenant as it stands now, by slug."""
    return [TenantNow(*row) for row in _rows(_TENANTS, heads=HEADS)]


def waiting(slugs: Collection[str], *, most: int) -> dict[str, int]:
    """Return how many queued jobs each of these tenants has, counted up to `most`."""
    return dict(_rows(_WAITING, slugs=list(slugs), most=most))


def window_shares(
    window: Window, tenants: Iterable[TenantNow], *, now: datetime
) -> WindowShares:
    """Return what each tenant was entitled to and received in the time up to now.

    If more than MOST_ATTEMPTS ended in it, the window is cut short at its old end.
    """
    known = {tenant.slug: tenant for tenant in tenants}
    begin, steps, is_cut = _begin(window, now)
    values = {
        "begin": begin,
        "length": float(steps * window.step_seconds),
        "step": float(window.step_seconds),
        "steps": steps,
    }
    got: dict[str, dict[str, dict[int, float]]] = {}
    if steps:
        for pool, slug, number, seconds in _rows(_WORK, **values):
            got.setdefault(pool, {}).setdefault(slug, {})[number] = seconds
    bounds = _bounds(_rows(_WAITED, **values), known.values(), begin, window, steps)
    return WindowShares(
        window,
        begin,
        is_cut,
        {
            pool: shares(
                _stretches(
                    got.get(pool, {}), bounds.get(pool, {}), known, window, steps
                )
            )
            for pool in {*got, *bounds}
        },
    )


def _begin(window: Window, now: datetime) -> tuple[datetime, int, bool]:
    """Return where the window begins, its number of stretches, and if it was cut."""
    step = timedelta(seconds=window.step_seconds)
    begin = now - window.steps * step
    older = _rows(_BEGIN, begin=begin, most=MOST_ATTEMPTS)
    if not older:
        return begin, window.steps, False
    # At least one stretch is left, even if it holds more attempts than that.
    steps = max(1, (now - older[0][0]) // step)
    return now - steps * step, steps, True


def _bounds(
    waited: Iterable[Sequence[Any]],
    tenants: Iterable[TenantNow],
    begin: datetime,
    window: Window,
    steps: int,
) -> dict[str, dict[str, int]]:
    """Return the bounds at which each tenant had a job waiting, as bits."""
    found: dict[str, dict[str, int]] = {}
    for pool, slug, bits in waited:
        found.setdefault(pool, {})[slug] = bits
    for tenant in tenants:
        if tenant.ready_at is not None:
            seconds = (tenant.ready_at - begin).total_seconds()
            first = min(max(0, -int(-seconds // window.step_seconds)), steps)
            bits = (1 << steps + 1) - (1 << first)
            own = found.setdefault(tenant.pool, {})
            own[tenant.slug] = own.get(tenant.slug, 0) | bits
    return found


def _stretches(
    got: dict[str, dict[int, float]],
    bounds: dict[str, int],
    known: dict[str, TenantNow],
    window: Window,
    steps: int,
) -> Iterator[list[Asker]]:
    """Yield who asked for how much worker time of a pool in each stretch."""
    # Waiting at both ends of a stretch means waiting all through it.
    through = {
        slug: bits & bits >> 1
        for slug, bits in bounds.items()
        if slug in known and known[slug].may_start
    }
    present = [
        (*_node(known[slug]), _most(known[slug], window), parts, through.get(slug, 0))
        for slug in sorted({*got, *through})
        if slug in known
        for parts in [got.get(slug, {})]
    ]
    for number in range(steps):
        bit = 1 << number
        yield [
            Asker(slug, tier, weight, tier_weight, part, most if bits & bit else part)
            for slug, tier, weight, tier_weight, most, parts, bits in present
            for part in [parts.get(number, 0.0)]
            if part or bits & bit
        ]


def _node(tenant: TenantNow) -> tuple[str, str, int, int]:
    """Return what divides the worker time: tenant, tier and their weights."""
    return tenant.slug, tenant.tier, int(tenant.weight * 1000), tenant.tier_weight


def _most(tenant: TenantNow, window: Window) -> float:
    """Return the worker time that its cap lets it take in a stretch."""
    if tenant.cap is None:
        return ANY_AMOUNT
    return float(tenant.cap * window.step_seconds)


def _rows(statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
