"""What is read of days and mismatches for the overview, a statement for each figure.

Each reads the mismatches and the files' days of one span by the indexes of profile and
day; nothing reads transactions. Amounts are always by currency.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.db import connection

from reconciliation.measures import Aged
from reconciliation.models import Profile

#: Rows are in time if they are loaded within so many hours after their day ended.
IN_TIME_HOURS: Final = 24

# What is added to a local time so that its date is its day (matching.Terms.shift).
_SHIFT: Final = """
    CASE WHEN p.cutoff = '00:00' THEN interval '0'
         ELSE interval '1 day' - p.cutoff::interval END
"""
_PROFILES: Final = """
    (%(tenant)s::text IS NULL OR p.tenant_id = %(tenant)s)
    AND (%(profile)s::bigint IS NULL OR p.id = %(profile)s)
"""
_MISMATCHES: Final = f"""
    FROM reconciliations m JOIN reconciliation_profile p ON p.id = m.profile_id
    WHERE {_PROFILES}
"""
_SPAN: Final = "m.day BETWEEN %(first)s AND %(last)s"

_DAYS: Final = f"""
SELECT f.day, f.side, f.currency, sum(f.rows)::bigint, sum(f.amount),
       COALESCE(sum(f.rows) FILTER (
           WHERE i.loaded_at <= ((f.day + 1)::timestamp - ({_SHIFT}))
                                    AT TIME ZONE p.time_zone
                                + %(in_time)s), 0)::bigint
FROM reconciliation_fileday f
JOIN reconciliation_profile p ON p.id = f.profile_id
LEFT JOIN ingestion_ingestedfile i ON i.id = f.file_id
WHERE {_PROFILES} AND f.day BETWEEN %(first)s AND %(last)s
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""  # noqa: S608 - constants
_SOURCES: Final = f"""
SELECT DISTINCT f.profile_id, f.day, i.source
FROM reconciliation_fileday f
JOIN reconciliation_profile p ON p.id = f.profile_id
JOIN ingestion_ingestedfile i ON i.id = f.file_id
WHERE {_PROFILES} AND f.rows > 0 AND f.day BETWEEN %(first)s AND %(last)s
"""  # noqa: S608 - constants
_LATEST: Final = f"""
SELECT max(latest.day)
FROM reconciliation_profile p CROSS JOIN LATERAL (
    SELECT f.day FROM reconciliation_fileday f
    WHERE f.profile_id = p.id AND f.rows > 0 AND f.day <= %(upto)s
    ORDER BY f.day DESC LIMIT 1
) AS latest
WHERE {_PROFILES}
"""  # noqa: S608 - constants
# A row may have several mismatches, and is counted once.
_STANDING: Final = f"""
SELECT day, currency, count(*), COALESCE(sum(amount), 0)
FROM (
    SELECT m.day, m.currency, m.profile_id, m.internal_id, max(m.amount) AS amount
    {_MISMATCHES} AND {_SPAN} AND m.internal_id IS NOT NULL AND m.state <> 'closed'
    GROUP BY 1, 2, 3, 4
) AS row GROUP BY 1, 2
"""  # noqa: S608 - constants
_TOLD: Final = f"""
SELECT m.day, m.mismatch_type, m.state,
       m.state = 'closed' OR (m.state IN ('resolved', 'approved')
                              AND m.reason_code <> ''), count(*)
{_MISMATCHES} AND {_SPAN} GROUP BY 1, 2, 3, 4
"""
_AGES: Final = f"""
SELECT GREATEST(0, ((%(now)s AT TIME ZONE p.time_zone) + ({_SHIFT}))::date
                   - COALESCE(m.day, ((m.created_at AT TIME ZONE p.time_zone)
                                      + ({_SHIFT}))::date)),
       m.currency, count(*), COALESCE(sum(m.amount), 0)
{_MISMATCHES} AND m.state IN ('open', 'assigned') GROUP BY 1, 2
"""
_MOVED: Final = f"""
SELECT day, COALESCE(sum(found), 0)::bigint, COALESCE(sum(settled), 0)::bigint
FROM (
    SELECT (m.created_at AT TIME ZONE p.time_zone)::date AS day,
           1 AS found, 0 AS settled
    {_MISMATCHES}
    UNION ALL
    SELECT (m.resolved_at AT TIME ZONE p.time_zone)::date, 0, 1
    {_MISMATCHES} AND m.resolved_at IS NOT NULL
      AND m.state IN ('resolved', 'approved', 'closed')
) AS moved WHERE day BETWEEN %(first)s AND %(last)s GROUP BY 1
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Whose days are looked at, from the first to the last."""

    first: date
    last: date
    tenant: str | None = None
    profile: int | None = None

    @property
    def days(self) -> list[date]:
        """Return the days in order."""
        count = (self.last - self.first).days + 1
        return [self.first + timedelta(days=shift) for shift in range(count)]


@dataclass(frozen=True, slots=True)
class DayRows:
    """What files brought of a day, of one side and currency."""

    day: date
    side: str
    currency: str
    rows: int
    amount: Decimal
    #: Rows of files that were loaded in time.
    in_time: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Rows of our side with a mismatch that was not closed, of a day and currency."""

    day: date
    currency: str
    rows: int
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Told:
    """Mismatches of a day that are of one type and in one state."""

    day: date
    mismatch_type: str
    state: str
    #: Whether somebody, a rule or a run has said what became of them.
    is_explained: bool
    count: int


@dataclass(frozen=True, slots=True)
class Moved:
    """How many mismatches were found on a day, and how many settled."""

    day: date
    found: int
    settled: int


def rows_of_days(choice: Choice) -> list[DayRows]:
    """Return what the files of the profiles brought, by day, side and currency."""
    span = timedelta(hours=IN_TIME_HOURS)
    return [DayRows(*row) for row in _read(_DAYS, choice, in_time=span)]


def latest_day(choice: Choice, *, upto: date) -> date | None:
    """Return the last day up to one that files brought rows of, of any span."""
    latest: date | None = _read(_LATEST, choice, upto=upto)[0][0]
    return latest


def standing_of_days(choice: Choice) -> list[Standing]:
    """Return how many rows of our side have a mismatch that was not closed."""
    return [Standing(*row) for row in _read(_STANDING, choice)]


def told_of_days(choice: Choice) -> list[Told]:
    """Return the mismatches of the days, by type and state."""
    return [Told(*row) for row in _read(_TOLD, choice)]


def open_by_age(choice: Choice, *, now: datetime) -> list[Aged]:
    """Return all mismatches that somebody has to work off, of whichever day."""
    return [Aged(*row) for row in _read(_AGES, choice, now=now)]


def moved_by_day(choice: Choice) -> list[Moved]:
    """Return how many mismatches were found and settled on each day that had any."""
    return [Moved(*row) for row in _read(_MOVED, choice)]


def profiles_of(choice: Choice) -> list[Profile]:
    """Return the profiles that are looked at, by tenant and name."""
    rows = Profile.objects.order_by("tenant_id", "name")
    if choice.tenant is not None:
        rows = rows.filter(tenant_id=choice.tenant)
    if choice.profile is not None:
        rows = rows.filter(pk=choice.profile)
    return list(rows)


def sources_by_day(choice: Choice) -> dict[date, dict[int, set[str]]]:
    """Return which sources brought rows of a day, by profile."""
    found: dict[date, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for profile, day, source in _read(_SOURCES, choice):
        found[day][profile].add(source)
    return found


def _read(statement: str, choice: Choice, **values: Any) -> list[tuple[Any, ...]]:
    given = {
        "tenant": choice.tenant,
        "profile": choice.profile,
        "first": choice.first,
        "last": choice.last,
        **values,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement, given)
        return list(cursor.fetchall())
