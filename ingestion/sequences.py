"""Looks whether the statements of a file follow from those of other files.

An account's statements are in order of their days and numbers, whenever they came. A
statement that comes late is looked at together with the one behind it, whose gap it may
fill. Nothing of this keeps a file out: only the files together tell.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from django.db import connection
from django.db.models.functions import Now

from ingestion.continuity import CONTROLS, Broken, Told, broken
from ingestion.models import FileFault

# The end of two files of a tenant at the same time: one sees the other's statements.
_LOCK: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('statements of ' || %(tenant)s, 0))
"""
_NEIGHBOUR: Final = """
    SELECT s.* FROM ingestion_statement s
    WHERE (s.tenant_id, s.source, s.account_id, s.currency)
        = ({of}.tenant_id, {of}.source, {of}.account_id, {of}.currency)
      AND (s.day, COALESCE(s.number, 0), s.id) {is_beside}
          ({of}.day, COALESCE({of}.number, 0), {of}.id)
      AND (SELECT f.state FROM ingestion_ingestedfile f WHERE f.id = s.file_id)
        = 'loaded'
    ORDER BY s.day {way}, COALESCE(s.number, 0) {way}, s.id {way} LIMIT 1
"""
_BEFORE: Final = _NEIGHBOUR.format(of="t", is_beside="<", way="DESC")
_AFTER: Final = _NEIGHBOUR.format(of="m", is_beside=">", way="ASC")
_PAIRS: Final = f"""
WITH touched AS (
    SELECT id FROM ingestion_statement WHERE file_id = %(file)s
    UNION
    SELECT n.id FROM ingestion_statement m CROSS JOIN LATERAL ({_AFTER}) AS n
    WHERE m.file_id = %(file)s
)
SELECT t.file_id, t.line, b.id IS NOT NULL,
       b.number, b.opening, b.closing, b.rows, b.credits, b.debits, b.opening_date,
       b.closing_date,
       t.number, t.opening, t.closing, t.rows, t.credits, t.debits, t.opening_date,
       t.closing_date
FROM ingestion_statement t LEFT JOIN LATERAL ({_BEFORE}) AS b ON true
WHERE t.id = ANY(ARRAY(SELECT id FROM touched))
ORDER BY t.file_id, t.line
"""  # noqa: S608 - constants
# A fault that was settled and is one again is none the more.
_NOTE: Final = """
WITH noted AS (
    INSERT INTO ingestion_filefault AS x
        (tenant_id, file_id, line, control, expected, found)
    SELECT %(tenant)s, file, line, control, expected, found
    FROM unnest(%(files)s::bigint[], %(lines)s::bigint[], %(controls)s::text[],
                %(expected)s::text[], %(found)s::text[])
        AS f (file, line, control, expected, found)
    ON CONFLICT (file_id, line, control, expected, found)
        DO UPDATE SET settled_at = NULL
    RETURNING file_id, xmax = 0 AS is_new
)
UPDATE ingestion_ingestedfile f SET fault_count = f.fault_count + n.count
FROM (SELECT file_id, count(*) FROM noted WHERE is_new GROUP BY file_id) AS n
WHERE f.id = n.file_id
"""

_TOLD: Final = len(Told._fields)

#: A file, a line in it, and what is wrong there.
Place = tuple[int, int, Broken]


def wait_turn(tenant: str) -> None:
    """Wait until no other file of the tenant is being closed, in this transaction."""
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, {"tenant": tenant})


def check(tenant: str, file_id: int) -> None:
    """Note where the statements of a loaded file do not follow, and settle what does.

    Within the transaction that has waited its turn.
    """
    lines: dict[int, set[int]] = defaultdict(set)
    wanted: set[Place] = set()
    for file, line, has_before, *values in _pairs(file_id):
        lines[file].add(line)
        before, after = Told(*values[:_TOLD]), Told(*values[_TOLD:])
        found = broken(before, after) if has_before else None
        if found is not None:
            wanted.add((file, line, found))
    open_ = _open_faults(lines)
    FileFault.objects.filter(
        pk__in=[pk for place, pk in open_.items() if place not in wanted]
    ).update(settled_at=Now())
    _note(tenant, sorted(wanted - open_.keys()))


def _pairs(file_id: int) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(_PAIRS, {"file": file_id})
        return list(cursor.fetchall())


def _open_faults(lines: dict[int, set[int]]) -> dict[Place, int]:
    """Return the faults that were noted of those lines and are still open."""
    controls = {control.value: control for control in CONTROLS}
    noted = FileFault.objects.filter(
        file_id__in=lines, control__in=controls, settled_at=None
    )
    return {
        (f.file_id, f.line, Broken(controls[f.control], f.expected, f.found)): f.pk
        for f in noted
        if f.line in lines[f.file_id]
    }


def _note(tenant: str, places: Iterable[Place]) -> None:
    rows = [(file, line, *fault) for file, line, fault in places]
    if not rows:
        return
    files, lines, controls, expected, found = (
        list(column) for column in zip(*rows, strict=True)
    )
    values: dict[str, Any] = {
        "tenant": tenant,
        "files": files,
        "lines": lines,
        "controls": [control.value for control in controls],
        "expected": expected,
        "found": found,
    }
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, values)
