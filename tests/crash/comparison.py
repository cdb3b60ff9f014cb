"""What a job left behind, and how that differs from an undisturbed run of the same.

Every tenant-owned table outside the ledger is compared by content, so that a new kind
with tables of its own is compared as well. What differs between two undisturbed runs,
like the tag of a stored object, says nothing and is left out.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.apps import apps
from django.db import models

from ingestion import storage
from jobs.models import Attempt, Job, UsageEvent
from jobs.serializers import FILE_SUFFIX
from tenants.scoping import TenantOwned, all_tenants, tenant_scope
from tests.arrange import attempts_of, reread

#: The ledger is compared in its own words.
_OTHERS: Final = {"jobs", "tenants", "quotas"}
#: Who ran a job, how often and for how long may differ: that is no effect.
_OF_JOB: Final = ("state", "result", "error", "progress")
#: What must be alike in all runs.
_EXACT: Final = {"jobs_job", "usage_events", "objects"}
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d")
#: Keys of numbers that no two runs share.
_IDS: Final = {"file_id", "run", "run_id"}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant's rows and objects after its job, by table and without its names."""

    tables: dict[str, list[Row]]
    varying: frozenset[tuple[str, str]] = field(default=frozenset())

    def beside(self, other: "Account") -> "Account":
        """Return the same, but for what the other undisturbed run says otherwise."""
        varying = {
            (table, column)
            for table, rows in self.tables.items()
            if table not in _EXACT
            for column in {name for row in rows for name in row}
            if _values(rows, column) != _values(other.tables.get(table, []), column)
        }
        return Account(self.tables, frozenset(varying))

    def differences(self, found: "Account") -> Iterator[str]:
        """Say what is otherwise in another run, table by table."""
        for table in sorted({*self.tables, *found.tables}):
            wanted, got = self._rows(self, table), self._rows(found, table)
            if wanted != got:
                lost, extra = wanted - got, got - wanted
                yield f"{table}: lost {sorted(lost)}, not wanted {sorted(extra)}"

    def _rows(self, of: "Account", table: str) -> Counter[str]:
        return Counter(
            str({k: v for k, v in row.items() if (table, k) not in self.varying})
            for row in of.tables.get(table, [])
        )


def _values(rows: list[Row], column: str) -> list[str]:
    return sorted(str(row.get(column)) for row in rows)


def account(job: Job, *, since: datetime) -> Account:
    """Take the account of the tenant of this job, which was made at `since` or later.

    A job before it may have prepared what this one is about.
    """
    mask = _masking(job, since)
    found = reread(job)
    with tenant_scope(job.tenant_id):
        tables = {
            model._meta.db_table: [
                _row(instance, mask) for instance in model._default_manager.all()
            ]
            for model in _models()
        }
        used = UsageEvent.objects.exclude(meter="worker_us")
        tables["usage_events"] = [
            mask(row) for row in used.values("source", "meter", "quantity")
        ]
    tables["jobs_job"] = [mask({name: getattr(found, name) for name in _OF_JOB})]
    tables["objects"] = [mask(o) for o in _objects(found)]
    return Account(tables)


def _models() -> list[type[models.Model]]:
    return [
        model
        for model in apps.get_models()
        if issubclass(model, TenantOwned)
        and not model._meta.proxy
        and model._meta.app_label not in _OTHERS
    ]


def _row(instance: models.Model, mask: Callable[[Any], Any]) -> Row:
    columns = [
        column
        for column in instance._meta.concrete_fields
        if not column.primary_key and column.remote_field is None
    ]
    row: Row = mask({c.attname: getattr(instance, c.attname) for c in columns})
    return row


def _masking(job: Job, since: datetime) -> Callable[[Any], Any]:
    """Return what takes the names and the moments of one run out of a value."""
    renamed = _renaming(job)

    def mask(value: Any) -> Any:
        match value:
            case dict():
                return {
                    mask(key): "ID" if key in _IDS else mask(value[key])
                    for key in sorted(value)
                }
            case list():
                return [mask(item) for item in value]
            case str() if _TIME.fullmatch(value):
                return mask(datetime.fromisoformat(value))
            case str():
                return renamed(value)
            case bytes() | memoryview():
                return bytes(value).hex()
            case datetime():
                return "in this run" if value >= since else value.isoformat()
        return value

    return mask


def _renaming(job: Job) -> Callable[[str], str]:
    """Return what gives the names of one run those that they have in all."""
    with tenant_scope(job.tenant_id):
        earlier = Job.objects.exclude(pk=job.pk).values_list("pk", flat=True)
        names = {str(pk): "EARLIER" for pk in earlier}
    names |= {str(job.pk): "JOB", job.tenant_id: "TENANT"}
    pattern = re.compile("|".join(map(re.escape, names)))
    return lambda text: pattern.sub(lambda found: names[found[0]], text)


def _objects(job: Job) -> Iterator[Row]:
    """Yield the objects that the result names, with what is in them."""
    for name, path in sorted((job.result or {}).items()):
        if not (name.endswith(FILE_SUFFIX) and isinstance(path, str)):
            continue
        key = storage.object_key(job.tenant_id, path)
        store = storage.store()
        content = b"".join(store.blocks(store.stat(key), 0))
        text = content.decode()
        yield {
            "name": name,
            "content": json.loads(text) if path.endswith(".json") else text,
        }


# --- The ledger -----------------------------------------------------------------------


def _ended_once(job: Job) -> Iterator[str]:
    outcomes = [attempt.outcome for attempt in attempts_of(job)]
    # Whoever waits for what a frozen process holds may give its slot back after it.
    spent = [outcome for outcome in outcomes if outcome != "yielded"]
    if spent.count("succeeded") != 1 or len(spent) > 2 or None in spent:
        yield f"attempts ended as {outcomes}"


def _billed_what_was_settled(job: Job) -> Iterator[str]:
    with all_tenants(reason="test"):
        settled = {
            f"attempt:{pk}": us
            for pk, us in Attempt.objects.filter(
                job=job, is_billable=True, started_at__isnull=False
            ).values_list("pk", "settled_us")
        }
        used = UsageEvent.objects.filter(job=job, meter="worker_us")
        billed = sorted(used.values_list("source", "quantity"))
    if billed != sorted(settled.items()):
        yield f"settled {settled}, billed {billed}"


#: Checks of the ledger after a job of which one attempt was disturbed.
CHECKS: Final = (_ended_once, _billed_what_was_settled)


def violations(job: Job, *, since: datetime, wanted: Account) -> list[str]:
    """Return what is wrong with a job that had to end like the undisturbed one."""
    found = [words for check in CHECKS for words in check(job)]
    return [*found, *wanted.differences(account(job, since=since))]
