"""The audit of the ledger: run every invariant, and report where one is broken.

It reads only, each invariant in a transaction of its own that is undone, and gives up
on one that takes too long. It may run beside the product at any time, or, with
`at_rest`, once all work has come to its end.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, transaction

from jobs.dispatcher import LEASE_NAME, WORKER_FRESH_SECONDS
from jobs.invariants import Invariant, registered
from jobs.lifecycle import TERMINAL_STATES, WAITING_STATES
from jobs.snapshots import FORMAT
from tenants.scoping import all_tenants

#: Rows that a finding shows of those it counts.
MOST_EXAMPLES: Final = 20
#: Seconds that the statement of one invariant may take.
TIMEOUT_SECONDS: Final = 30

_BOUND = """
SELECT set_config('statement_timeout', %s, true),
       set_config('transaction_read_only', 'on', true)
"""
_EXAMPLES = """
SELECT count(*) OVER (), found.* FROM ({statement}) AS found
WHERE {condition} LIMIT %(most)s
"""
_QUERY_CANCELED: Final = "57014"


@dataclass(frozen=True, slots=True)
class Finding:
    """An invariant that does not hold, or that there was no time to look at."""

    name: str
    meaning: str
    remedy: str
    #: Rows that break it; None when looking took too long.
    count: int | None
    #: At most MOST_EXAMPLES of them: column -> value, as JSON knows values.
    examples: list[dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return the finding as a JSON object."""
        return asdict(self)


def audit(
    *,
    tenant: str | None = None,
    at_rest: bool = False,
    timeout_seconds: float = TIMEOUT_SECONDS,
    invariants: Iterable[Invariant] | None = None,
) -> list[Finding]:
    """Return a finding for each registered invariant that is broken.

    With a tenant, only its rows count. `at_rest` also demands what is true once no
    work is left. An invariant that takes longer than the timeout is a finding too.
    """
    chosen = registered() if invariants is None else invariants
    found = (
        _look(invariant, tenant, timeout_seconds)
        for invariant in chosen
        if at_rest or not invariant.at_rest
    )
    return [finding for finding in found if finding is not None]


def read_only(timeout_seconds: float) -> None:
    """Let the open transaction write nothing, and no statement of it take longer."""
    with connection.cursor() as cursor:
        cursor.execute(_BOUND, [f"{round(timeout_seconds * 1000)}ms"])


def _look(
    invariant: Invariant, tenant: str | None, timeout_seconds: float
) -> Finding | None:
    try:
        with all_tenants(reason="audit"):
            read_only(timeout_seconds)
            count, examples = _breaches(invariant, tenant)
            # Whatever was set for this statement ends with it, wherever we were called.
            transaction.set_rollback(True)
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) != _QUERY_CANCELED:
            raise
        return _finding(invariant, None, [])
    return _finding(invariant, count, examples) if count else None


def _finding(
    invariant: Invariant, count: int | None, examples: list[dict[str, Any]]
) -> Finding:
    return Finding(invariant.name, invariant.meaning, invariant.remedy, count, examples)


def _breaches(
    invariant: Invariant, tenant: str | None
) -> tuple[int, list[dict[str, Any]]]:
    condition = "true" if tenant is None else "found.tenant_id = %(tenant)s"
    with connection.cursor() as cursor:
        cursor.execute(
            _EXAMPLES.format(statement=invariant.statement, condition=condition),
            {**_values(), "tenant": tenant, "most": MOST_EXAMPLES},
        )
        names = [column.name for column in cursor.description][1:]
        found = cursor.fetchall()
    examples = [dict(zip(names, map(_plain, row[1:]), strict=True)) for row in found]
    return (found[0][0] if found else 0), examples


def _values() -> dict[str, Any]:
    """Return what a statement may name."""
    return {
        "terminal": sorted(TERMINAL_STATES),
        "waiting": sorted(WAITING_STATES),
        "fresh": WORKER_FRESH_SECONDS,
        "start_timeout": settings.START_TIMEOUT_SECONDS,
        "leader": LEASE_NAME,
        "format": FORMAT,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
