"""Bugs planted in this process, and so in its children: the enumeration must see each.

Each is a replacement in a statement or in a step of the product.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final

import pytest
from django.conf import settings
from django.db import connection, transaction

from jobs import ledger, runner, sweeps
from jobs.handlers import Checkpoint, Step
from tenants.scoping import tenant_scope
from tests.crash.points import Fault

Patch = pytest.MonkeyPatch


@dataclass(frozen=True, slots=True)
class Bug:
    """How it is planted, and the fault that brings it to light."""

    plant: Callable[[Patch], None]
    fault: Fault
    #: Of each row of a file a constraint says too that it is written once, so that a
    #: kind without any effects tells better what the fence alone does.
    kind: str = "ingest"
    #: A trigger of `jobs_attempt` that would refuse what the bug does, taken away too.
    guard: str | None = None

    @contextmanager
    def planted(self, patch: Patch) -> Iterator[None]:
        """Plant it; the database's own guard is back afterwards."""
        self.plant(patch)
        if self.guard is None:
            yield
            return
        _guard("DISABLE", self.guard)
        try:
            yield
        finally:
            _guard("ENABLE", self.guard)


def _guard(switch: str, trigger: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE jobs_attempt {switch} TRIGGER {trigger}")


def _reworded(module: ModuleType, name: str, right: str, wrong: str) -> Any:
    def plant(patch: Patch) -> None:
        statement = getattr(module, name)
        assert right in statement, "the bug lost its place"
        patch.setattr(module, name, statement.replace(right, wrong))

    return plant


def _committing(commit: Callable[[Any, Step], Checkpoint]) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(runner._Attempt, "_commit", commit)


def _write(attempt: Any, checkpoint: Checkpoint) -> None:
    ledger.commit_checkpoint(
        attempt.assignment, checkpoint, lease_seconds=settings.LEASE_SECONDS
    )


def _usage_apart(attempt: Any, step: Step) -> Checkpoint:
    tenant = attempt.assignment.tenant
    with tenant_scope(tenant):
        checkpoint = step()
        _write(attempt, replace(checkpoint, usage={}))
    if checkpoint.usage:
        with tenant_scope(tenant):
            ledger._count_usage(attempt.assignment, checkpoint)
    return checkpoint


def _checkpoint_first(attempt: Any, step: Step) -> Checkpoint:
    tenant = attempt.assignment.tenant
    with tenant_scope(tenant):
        checkpoint = step()
        if not checkpoint.usage:
            _write(attempt, checkpoint)
            return checkpoint
        # Only now is it known what the checkpoint will be; the rows come afterwards.
        transaction.set_rollback(True)
    with tenant_scope(tenant):
        _write(attempt, checkpoint)
    with tenant_scope(tenant):
        step()
    return checkpoint


def _checkpoint_last(attempt: Any, step: Step) -> Checkpoint:
    with tenant_scope(attempt.assignment.tenant):
        checkpoint = step()
    with tenant_scope(attempt.assignment.tenant):
        _write(attempt, checkpoint)
    return checkpoint


_FENCE = """ AND COALESCE(a.outcome, '') = ''
      AND a.lease_expires_at > clock.now"""
_UNFENCED = "SELECT job_id FROM jobs_attempt WHERE id = ANY(%(attempts)s::bigint[])"
_RANDOM = "'job:' || random() || %(job)s"

BUGS: Final[Mapping[str, Bug]] = {
    "usage is committed apart from the checkpoint": Bug(
        _committing(_usage_apart), Fault.KILLED
    ),
    "the checkpoint is committed before the rows": Bug(
        _committing(_checkpoint_first), Fault.KILLED
    ),
    "the checkpoint is committed after the rows": Bug(
        _committing(_checkpoint_last), Fault.KILLED
    ),
    "a checkpoint has no fence": Bug(
        _reworded(ledger, "_CHECKPOINT", ledger._RENEW, _UNFENCED),
        Fault.FROZEN,
        kind="sleep",
    ),
    "a settlement has no fence, and the table no guard": Bug(
        _reworded(ledger, "_SETTLE", _FENCE, ""),
        Fault.FROZEN,
        guard="attempt_settled_once",
    ),
    "the source of usage is not unique": Bug(
        _reworded(ledger, "_USAGE", "'job:' || %(job)s", _RANDOM), Fault.KILLED
    ),
    "a lost attempt is billed": Bug(
        _reworded(sweeps, "_LOSE", "is_billable = false", "is_billable = true"),
        Fault.KILLED,
    ),
    "what has expired is not lost": Bug(
        _reworded(sweeps, "_EXPIRED", "lease_expires_at <", "finished_at <"),
        Fault.KILLED,
    ),
    "what was not started stays": Bug(
        _reworded(sweeps, "_NOT_STARTED", "a.dispatched_at <", "a.finished_at <"),
        Fault.KILLED,
    ),
}
