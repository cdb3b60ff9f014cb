"""The `reconcile` kind: a period's two sides are compared, and what differs is told.

Steps, of a few seconds at most: count what new files brought; open the rows that do not
plainly match, range by range of references, and match them by the rules of that key;
match by the other rules; tell what is left, range by range, and bring the profile's
mismatches to it; keep what rows do not say by themselves; tidy up.

A run takes over every open question of the run before it (carrying.py), and looks at
files that came since: so a late answer closes its question, and a second run over
equal data changes nothing.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Final

from jobs.handlers import Assignment, Checkpoint, JSONDict, Kind, Step
from jobs.payloads import checked_by
from reconciliation import counting, orders, runs, sample
from reconciliation.applying import apply
from reconciliation.carrying import carry, keep_standing
from reconciliation.file_mismatches import apply_faults
from reconciliation.keeping import keep_matches
from reconciliation.models import Run
from reconciliation.opening import (
    Counted,
    open_fresh,
    open_range,
    open_without_key,
)
from reconciliation.passes import apply_rules
from reconciliation.payloads import ReconcilePayload
from reconciliation.progress import Phase, Progress
from reconciliation.ranges import change_ranges, period_ranges
from reconciliation.scope import KEYLESS, Range
from reconciliation.telling import tell
from tenants.scoping import tenant_scope

Steps = Generator[Step, Checkpoint, JSONDict]


def reconcile(assignment: Assignment) -> Steps:
    """Compare the two sides that the payload's profile names; see the module."""
    progress = _resumed(assignment)
    if progress is None:
        checkpoint = yield partial(_begin, assignment)
        progress = Progress.from_json(checkpoint.state)
    with tenant_scope(assignment.tenant):
        work = _Work(assignment, progress.run_id)
    while progress.phase is not Phase.CLOSED:
        checkpoint = yield partial(work.step, progress)
        progress = Progress.from_json(checkpoint.state)
    with tenant_scope(assignment.tenant):
        run = Run.objects.get(pk=progress.run_id)
        return {"run": run.pk, "mode": run.mode, **run.counts}


def _resumed(assignment: Assignment) -> Progress | None:
    """Return how far the run is; None if it is to begin, or to begin anew."""
    if assignment.checkpoint is None:
        return None
    progress = Progress.from_json(assignment.checkpoint)
    with tenant_scope(assignment.tenant):
        # It was dead, and other runs may have been at work since.
        is_over = Run.objects.filter(pk=progress.run_id, state=Run.State.FAILED)
        return None if is_over.exists() else progress


def _begin(assignment: Assignment) -> Checkpoint:
    run = runs.run_begin(
        tenant=assignment.tenant,
        job_id=assignment.job_id,
        payload=assignment.payload,
        now=assignment.now,
    )
    return Progress(run_id=run.pk).checkpoint()


class _Work:
    """A run at work: one step at a time, from what the last one left."""

    def __init__(self, assignment: Assignment, run_id: int) -> None:
        self.run, self.scope, self.terms = runs.run_load(run_id)
        primary = [rule.key is self.terms.primary for rule in self.terms.rules]
        leading = primary.index(False) if False in primary else len(primary)
        # What one range lets go of may be free in another.
        leading = 0 if self._is_of_changes else leading
        #: Rules that can be tried range by range, and those behind them.
        self.leading = range(1, leading + 1)
        self.others = range(leading + 1, len(primary) + 1)
        self.phases: dict[Phase, Callable[[Progress], Progress]] = {
            Phase.COUNTING: self._count,
            Phase.LATE: self._open_late,
            Phase.OPENING: self._open,
            Phase.MATCHING: self._match,
            Phase.TELLING: self._tell,
            Phase.KEEPING: self._keep,
            Phase.TIDYING: self._tidy,
        }

    def step(self, progress: Progress) -> Checkpoint:
        """Do the next piece of work."""
        return self.phases[progress.phase](progress).checkpoint()

    def _count(self, progress: Progress) -> Progress:
        left = counting.uncounted(self.scope, behind=progress.place)
        if left and not self.run.is_dry:
            counting.count(self.scope, self.terms, left)
            return progress.at(Phase.COUNTING, left[-1])
        find = change_ranges if self._is_of_changes else period_ranges
        ranges = tuple(find(self.scope, self.terms))
        planned = Progress(run_id=progress.run_id, ranges=ranges)
        is_late = not self._is_of_changes and self._late_files()
        return planned.at(Phase.LATE if is_late else Phase.OPENING)

    @property
    def _is_of_changes(self) -> bool:
        return self.run.mode == Run.Mode.CHANGES

    def _late_files(self) -> list[int]:
        return counting.late_files(self.scope, self.terms)

    def _open_late(self, progress: Progress) -> Progress:
        late = Range()
        counted = open_fresh(self.scope, self.terms, late, files=self._late_files())
        return progress.plus(opened=counted.opened).at(Phase.OPENING)

    def _open(self, progress: Progress) -> Progress:
        keys = progress.pieces[progress.place]
        is_dry = self.run.is_dry
        opened = 0 if is_dry else carry(self.scope, self.terms, keys)
        counted = Counted() if self._is_empty(progress) else self._opened(keys)
        opened += keep_standing(self.scope, self.terms, keys, is_dry=is_dry)
        if keys != KEYLESS:
            apply_rules(self.scope, self.terms, places=self.leading, keys=keys)
        opened += counted.opened
        after = progress.plus(
            rows=counted.rows, plain=counted.plain, opened=opened
        ).paid(counted.plain_amount)
        return self._next(after, Phase.MATCHING)

    def _is_empty(self, progress: Progress) -> bool:
        """Return whether all rows of the period have been seen elsewhere."""
        if progress.pieces[progress.place] not in progress.beside or self.run.is_dry:
            return False
        seen = progress.counts.get("rows", 0)
        return counting.rows_of_period(self.scope, self.terms) == seen

    def _opened(self, keys: Range) -> Counted:
        is_fresh = self._is_of_changes
        if keys == KEYLESS:
            return open_without_key(self.scope, self.terms, is_fresh=is_fresh)
        if is_fresh:
            return open_fresh(self.scope, self.terms, keys)
        return open_range(self.scope, self.terms, keys)

    def _match(self, progress: Progress) -> Progress:
        if progress.place == len(self.others):
            return progress.at(Phase.TELLING)
        places = [self.others[progress.place]]
        apply_rules(self.scope, self.terms, places=places)
        return progress.at(Phase.MATCHING, progress.place + 1)

    def _tell(self, progress: Progress) -> Progress:
        keys = progress.pieces[progress.place]
        tell(self.scope, self.terms, keys, as_of=self.run.as_of)
        if self.run.is_dry:
            return self._next(progress, Phase.KEEPING)
        changes = apply(self.scope, self.terms, keys)
        after = progress.plus(found=changes.found, closed=changes.closed)
        return self._next(after, Phase.KEEPING)

    def _next(self, progress: Progress, phase: Phase) -> Progress:
        """Return the next range of this phase, or else the phase behind it."""
        place = progress.place + 1
        is_over = place == len(progress.pieces)
        return progress.at(phase) if is_over else progress.at(progress.phase, place)

    def _keep(self, progress: Progress) -> Progress:
        if not self.run.is_dry:
            keep_matches(self.scope, self.terms)
            since = self.terms.day(self.scope.since or self.scope.starts)
            found, closed = apply_faults(
                self.scope, self.terms, since=since.isoformat()
            )
            progress = progress.plus(found=found, closed=closed)
        counts = {**progress.counts, "plain_amount": progress.plain_amount}
        runs.run_end(run=self.run, scope=self.scope, counts=counts)
        return progress.at(Phase.TIDYING)

    def _tidy(self, progress: Progress) -> Progress:
        is_left = runs.run_tidy(run=self.run)
        return progress if is_left else progress.at(Phase.CLOSED)


RECONCILE: Final = Kind(
    name=orders.RECONCILE,
    handler=reconcile,
    # Runs of one profile wait for each other.
    max_attempts=20,
    prior_us=2_000_000,
    on_unfinished=runs.run_fail,
    sample=sample.put,
    check_payload=checked_by(ReconcilePayload),
)
