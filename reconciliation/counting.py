"""Counts once what each file brought of each day: the whole that rates are parts of."""

from datetime import datetime
from itertools import accumulate
from typing import Final

from django.db import connection

from reconciliation.fragments import day_of, values_of
from reconciliation.matching import Terms
from reconciliation.periods import days_of, is_of_whole_days
from reconciliation.scope import Scope

#: Rows that are counted in one step, as far as files allow.
ROWS_AT_ONCE: Final = 500_000

# What the loader has added up says it of a file of one day of which every accepted row
# was new. Where clocks go back a day may come twice: what lies around that is counted.
_BY_TOTALS: Final = f"""
INSERT INTO reconciliation_fileday
    (tenant_id, profile_id, file_id, day, side, currency, rows, amount)
SELECT %(tenant)s, %(profile)s, f.id, {day_of("f.first_at")},
       CASE WHEN f.source = ANY(%(internal)s) THEN 'I' ELSE 'E' END, total ->> 0,
       sum((total ->> 3)::bigint), sum((total ->> 4)::numeric)
FROM ingestion_ingestedfile f CROSS JOIN LATERAL jsonb_array_elements(f.totals) AS total
WHERE f.tenant_id = %(tenant)s AND f.id = ANY(%(counted)s)
  AND {day_of("f.first_at")} = {day_of("f.last_at")}
  AND (f.last_at AT TIME ZONE %(zone)s) - (f.first_at AT TIME ZONE %(zone)s)
      = f.last_at - f.first_at
  AND f.inserted = (SELECT sum((every ->> 3)::bigint)
                    FROM jsonb_array_elements(f.totals) AS every)
GROUP BY 3, 4, 5, 6
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
# Every zone's clock is off by whole minutes, and so are cut-offs: rows are first put
# together by minutes, which is cheap, and few are left to be given a day and a side.
_COUNT: Final = f"""
INSERT INTO reconciliation_fileday
    (tenant_id, profile_id, file_id, day, side, currency, rows, amount)
SELECT %(tenant)s, %(profile)s, f.id, {day_of("minute")},
       CASE WHEN f.source = ANY(%(internal)s) THEN 'I' ELSE 'E' END, currency,
       sum(t.rows), sum(amount)
FROM (
    SELECT t.file_id, t.currency,
           date_bin('1 minute', t.txn_timestamp, TIMESTAMPTZ 'epoch') AS minute,
           count(*) AS rows, sum(t.amount) AS amount
    FROM fintech_transactions t
    WHERE t.tenant_id = %(tenant)s AND t.file_id = ANY(%(rest)s)
    GROUP BY 1, 2, 3
) AS t JOIN ingestion_ingestedfile f ON f.id = t.file_id
GROUP BY 3, 4, 5, 6
ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
_UNCOUNTED: Final = """
SELECT f.id, f.inserted FROM ingestion_ingestedfile f
WHERE f.tenant_id = %(tenant)s AND f.id = ANY(%(files)s) AND f.inserted > 0
  AND f.id > %(behind)s
  AND NOT EXISTS (SELECT FROM reconciliation_fileday d
                  WHERE d.profile_id = %(profile)s AND d.file_id = f.id)
ORDER BY f.id
"""
_LATE: Final = """
SELECT DISTINCT d.file_id FROM reconciliation_fileday d
WHERE d.profile_id = %(profile)s AND d.file_id = ANY(%(fresh)s)
  AND (d.day BETWEEN {since} AND {starts} OR d.day BETWEEN {ends} AND {until})
"""
_HELD: Final = """
SELECT COALESCE(sum(d.rows), 0)::bigint FROM reconciliation_fileday d
WHERE d.profile_id = %(profile)s AND d.file_id = ANY(%(files)s)
  AND d.day BETWEEN %(first)s AND %(last)s
"""


def uncounted(scope: Scope, *, behind: int) -> list[int]:
    """Return files that the run's profile has not counted: as many as a step takes.

    They are those that come behind one; of a file whose rows are gone there is nothing
    to be counted, ever.
    """
    with connection.cursor() as cursor:
        cursor.execute(_UNCOUNTED, scope.values | {"behind": behind})
        found = cursor.fetchall()
    rows = accumulate(brought for _, brought in found)
    return [
        file_id
        for place, ((file_id, _), whole) in enumerate(zip(found, rows, strict=True))
        if place == 0 or whole <= ROWS_AT_ONCE
    ]


def count(scope: Scope, terms: Terms, files: list[int]) -> None:
    """Count what these files brought, day by day."""
    values = values_of(terms.rules[0], terms) | scope.values
    values |= {"internal": list(terms.internal), "counted": files}
    with connection.cursor() as cursor:
        cursor.execute(_BY_TOTALS, values)
        cursor.execute(_UNCOUNTED, scope.values | {"files": files, "behind": 0})
        values["rest"] = [file_id for file_id, _ in cursor.fetchall()]
        if values["rest"]:
            cursor.execute(_COUNT, values)


def late_files(scope: Scope, terms: Terms) -> list[int]:
    """Return the new files that brought rows of other days that runs have told of."""
    if scope.since is None or scope.until is None or not scope.fresh:
        return []
    names = ("since", "starts", "ends", "until")
    days = {name: _day(getattr(scope, name), terms) for name in names}
    statement = _LATE.format(**days)
    with connection.cursor() as cursor:
        cursor.execute(statement, scope.values)
        return sorted(file_id for (file_id,) in cursor.fetchall())


def rows_of_period(scope: Scope, terms: Terms) -> int | None:
    """Return how many rows the run's files brought of its period, once all are counted.

    None if its days may not be those that files are counted by.
    """
    if not is_of_whole_days(terms, scope.starts, scope.ends):
        return None
    first, last = days_of(terms, scope.starts, scope.ends)
    with connection.cursor() as cursor:
        cursor.execute(_HELD, scope.values | {"first": first, "last": last})
        return int(cursor.fetchone()[0])


def forget(profile_id: int) -> None:
    """Forget what was counted: the profile tells days otherwise now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM reconciliation_fileday WHERE profile_id = %s", [profile_id]
        )


def _day(moment: datetime, terms: Terms) -> str:
    return f"DATE '{terms.day(moment).isoformat()}'"
