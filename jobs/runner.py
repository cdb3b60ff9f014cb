"""Runs the attempts of one message: claim, steps, end.

Each step's effects, its checkpoint and the fence share one transaction. Whatever goes
wrong ends the attempt in the ledger; an attempt that cannot even write its end is left
to the sweep. The attempts of a bundle run one after another and are settled together,
by jobs/settling.py.
"""

import logging
import random
import threading
from collections.abc import Sequence
from math import inf
from typing import Final

from django.conf import settings
from django.db import Error, connection

from fairshare.backoff import delay_seconds
from jobs import draining, errors, handlers, ledger, pressure, suspects
from jobs.bundle import Bundle
from jobs.errors import JobError, PermanentError
from jobs.handlers import (
    Assignment,
    Checkpoint,
    Finish,
    JSONDict,
    Kind,
    Step,
    Steps,
)
from jobs.lease import HAND_BACK_US, LeaseKeeper, hand_back
from jobs.ledger import AttemptSupersededError, Claim, Settlement
from jobs.lifecycle import Event
from jobs.settling import Ended, Now, Settler
from jobs.wake import wake_dispatcher
from tenants.scoping import apart, tenant_scope

logger = logging.getLogger(__name__)

#: However little is waiting, an attempt ends after so long: then its cost is settled.
LONGEST_ATTEMPT_US: Final = 600_000_000
#: A settlement waits so long for others of its bundle.
SETTLE_WITHIN_US: Final = 50_000

_keeper = LeaseKeeper(
    lease_seconds=settings.LEASE_SECONDS,
    step_timeout_seconds=settings.STEP_TIMEOUT_SECONDS,
)


class SlotWantedError(Exception):
    """The attempt is to give its slot back; the text says why."""


class CancelRequestedError(Exception):
    """Somebody wants the job to end here."""


def run(
    *, attempt_ids: Sequence[int], worker: str, settler: Settler | None = None
) -> int:
    """Run attempts to their ends; returns how many, stale ones not counted.

    Without a settler their ends are in the ledger on return.
    """
    with apart(reason="start attempts"):
        claims = ledger.claim(
            attempt_ids=attempt_ids,
            worker=worker,
            lease_seconds=settings.LEASE_SECONDS,
        )
    if len(claims) < len(attempt_ids):
        logger.info("Of attempts %s only %s are live", attempt_ids, len(claims))
    if claims:
        _Run(Bundle(claims), settler or Now()).go()
    return len(claims)


class _Run:
    """One bundle's way through this process."""

    def __init__(self, bundle: Bundle, settler: Settler) -> None:
        self.bundle = bundle
        self.settler = settler
        self.settlements: list[Settlement] = []
        self.settled_us = 0
        self.tenant = ""
        # The keeper's thread has ends written that a long job would hold up.
        self._lock = threading.Lock()

    def go(self) -> None:
        """Work on the attempts one after another, and settle them."""
        _keeper.watch(self.bundle, settle=self._settle)
        try:
            # Else a job that kills this process would take them down, too.
            self.settler.finish()
            began_us = 0
            while claim := self.bundle.take():
                began_us = self._work(claim, began_us)
                if began_us > HAND_BACK_US or draining.is_on():
                    hand_back(self.bundle)
            self._settle()
        finally:
            suspects.mark(0)
            _keeper.release()

    def _work(self, claim: Claim, began_us: int) -> int:
        """Run one attempt; returns when it ended, since the claim."""
        self.tenant = claim.assignment.tenant
        suspects.mark(claim.assignment.attempt_id)
        _keeper.step_done()
        try:
            settlement = _Attempt(claim, self.bundle, began_us).run()
        except AttemptSupersededError:
            logger.warning(
                "Attempt %s lost its lease; its work is dropped",
                claim.assignment.attempt_id,
            )
            self.bundle.ended([claim.assignment.attempt_id])
            return self.bundle.elapsed_us()
        self._note(settlement, claim.assignment)
        return settlement.ended_us

    def _note(self, settlement: Settlement, assignment: Assignment) -> None:
        with self._lock:
            self.settlements.append(settlement)
            if settlement.event in (Event.BURIED, Event.CANCELLED):
                self._write(unfinished=assignment)
            elif settlement.ended_us - self.settled_us > SETTLE_WITHIN_US:
                self._write()

    def _settle(self) -> None:
        """Have the ends so far written."""
        with self._lock:
            if self.settlements:
                self._write()

    def _write(self, *, unfinished: Assignment | None = None) -> None:
        """Have the ends so far written; a bad one with what it means to its kind."""
        ended = Ended(self.tenant, self.bundle, self.settlements)
        if unfinished is None:
            self.settler.settle(ended)
        else:
            self._settle_unfinished(ended, unfinished)
        self.settled_us = self.settlements[-1].ended_us
        self.settlements = []

    def _settle_unfinished(self, ended: Ended, unfinished: Assignment) -> None:
        # The end and what it means to the kind are one transaction.
        with tenant_scope(self.tenant):
            settled = ledger.settle(ended.settlements)
            if unfinished.attempt_id in settled:
                handlers.end_unfinished(unfinished.kind, unfinished.job_id)
        ended.note(settled)
        wake_dispatcher()


class _Attempt:
    """One attempt at work."""

    def __init__(self, claim: Claim, bundle: Bundle, began_us: int) -> None:
        self.claim = claim
        self.assignment = claim.assignment
        self.bundle = bundle
        self.began_us = began_us

    def run(self) -> Settlement:
        """Drive the handler; returns how it ended.

        Raises AttemptSupersededError.
        """
        try:
            if self.claim.is_cancelled:
                raise CancelRequestedError
            kind = handlers.get(self.assignment.kind)
            end = self._drive(kind)
            return self._succeeded(end)
        except AttemptSupersededError:
            raise
        except SlotWantedError as why:
            return ledger.yielded(self.assignment, why=str(why), **self._times())
        except CancelRequestedError:
            return ledger.cancelled(self.assignment, **self._times())
        except JobError as error:
            logger.warning("Attempt %s: %s", self.assignment.attempt_id, error.code)
            return self._failed(error)
        except Exception as exception:
            logger.exception("Attempt %s failed", self.assignment.attempt_id)
            return self._failed(exception)

    def _succeeded(self, end: JSONDict | Finish) -> Settlement:
        finish = end if isinstance(end, Finish) else Finish(dict(end or {}), None)
        return ledger.succeeded(
            self.assignment,
            finish.result,
            progress=finish.checkpoint,
            **self._times(),
        )

    def _times(self) -> dict[str, int]:
        ended_us = max(self.began_us, self.bundle.elapsed_us())
        return {"began_us": self.began_us, "ended_us": ended_us}

    def _drive(self, kind: Kind) -> JSONDict | Finish:
        deadline_us = self._deadline_us(kind)
        steps: Steps = kind.handler(self.assignment)
        try:
            step = next(steps)
            while True:
                checkpoint = self._commit(step)
                if not checkpoint.is_last:
                    self._check_deadline(kind, deadline_us)
                    self._give_way(kind.quantum_us)
                step = steps.send(checkpoint)
        except StopIteration as end:
            finish: JSONDict | Finish = end.value
            return finish
        finally:
            steps.close()

    def _commit(self, step: Step) -> Checkpoint:
        with tenant_scope(self.assignment.tenant):
            checkpoint = step()
            is_cancelled = ledger.commit_checkpoint(
                self.assignment, checkpoint, lease_seconds=settings.LEASE_SECONDS
            )
        _keeper.step_done()
        if is_cancelled and not checkpoint.is_last:
            raise CancelRequestedError
        return checkpoint

    def _deadline_us(self, kind: Kind) -> float:
        """Return how long this attempt may take within what the job may take."""
        if kind.deadline_seconds is None:
            return inf
        with apart(tenant=self.assignment.tenant):
            spent_us = ledger.spent_us(self.assignment.job_id)
        return kind.deadline_seconds * 1_000_000 - spent_us

    def _check_deadline(self, kind: Kind, deadline_us: float) -> None:
        """Raise PermanentError once the job has had all its worker time."""
        if self.bundle.elapsed_us() - self.began_us >= deadline_us:
            raise PermanentError(
                "deadline_exceeded",
                f"The job's attempts together took all the worker time that its kind "
                f"allows ({kind.deadline_seconds} s). Split the work, or raise "
                "deadline_seconds of the kind, before you retry it.",
            )

    def _give_way(self, quantum_us: int) -> None:
        """Raise SlotWantedError once the quantum is used up and somebody waits.

        And at once where the worker is about to stop.
        """
        if draining.is_on():
            raise SlotWantedError(draining.WHY)
        elapsed_us = self.bundle.elapsed_us() - self.began_us
        if elapsed_us < quantum_us:
            return
        if elapsed_us >= LONGEST_ATTEMPT_US:
            raise SlotWantedError("its longest attempt")
        if pressure.should_yield(
            pool=self.claim.pool,
            tenant=self.assignment.tenant,
            priority=self.claim.priority,
        ):
            raise SlotWantedError("its quantum was used up")

    def _failed(self, exception: Exception) -> Settlement:
        if isinstance(exception, Error):
            # The connection may be the very thing that broke; the next use opens one.
            connection.close()
        failure = errors.describe(exception)
        return ledger.failed(
            self.assignment,
            failure,
            retry_in_seconds=_retry_delay(self.claim, failure),
            **self._times(),
        )


def _retry_delay(claim: Claim, failure: errors.Failure) -> float | None:
    failures = claim.failed_count + 1
    if not failure.is_retryable or failures >= claim.max_attempts:
        return None
    return delay_seconds(
        failures,
        jitter=random.random(),  # noqa: S311
        backoff=handlers.backoff(claim.assignment.kind),
    )
