"""The ledger: Job, Attempt, UsageEvent; and who works on it: LeaderLease, Worker.

Beside it BulkDecision: what a person decided about many dead letters; and DeadMessage:
what came from the broker and names no job that is known.
"""

import os
import time
import uuid
from typing import Any, ClassVar

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from jobs.lifecycle import TERMINAL_STATES, Event, Outcome, State
from tenants.scoping import TenantByParent, TenantOwned


def new_job_id() -> uuid.UUID:
    """Return a version 7 UUID: 48 bits of Unix milliseconds, then random bits.

    Jobs then sort by arrival, and their index grows at one end (RFC 9562, 5.7).
    """
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


class Priority(models.IntegerChoices):
    """Weight among one tenant's own jobs; it never takes from another tenant."""

    URGENT = 0, "urgent"
    HIGH = 1, "high"
    NORMAL = 2, "normal"
    LOW = 3, "low"


_TERMINAL = sorted(state.value for state in TERMINAL_STATES)


def _in(field: str, values: type[State] | type[Outcome]) -> Q:
    return Q(**{f"{field}__in": [member.value for member in values]})


class Job(TenantOwned):
    """One requested unit of work."""

    id = models.UUIDField(primary_key=True, default=new_job_id, editable=False)
    kind = models.TextField()
    payload = models.JSONField(default=dict)
    #: What was asked for, once a person has edited the payload.
    original_payload = models.JSONField(null=True, blank=True)
    priority = models.PositiveSmallIntegerField(
        choices=Priority.choices, default=Priority.NORMAL
    )
    state = models.TextField(choices=[(s.value, s.value) for s in State])
    #: What happened last; the database checks that it leads from state to state.
    event = models.TextField(default=Event.CREATED, db_default=Event.CREATED.value)
    run_after = models.DateTimeField(db_default=Now())
    max_attempts = models.PositiveSmallIntegerField(validators=[MinValueValidator(1)])
    #: Attempts made, lost and yielded ones included; the number of the latest.
    attempt_count = models.PositiveIntegerField(default=0, db_default=0)
    #: Attempts that count against max_attempts.
    failed_count = models.PositiveIntegerField(default=0, db_default=0)
    #: Attempts whose worker vanished.
    lost_count = models.PositiveIntegerField(default=0, db_default=0)
    #: Attempts that vanished with a bundle, where another job may be to blame. A job
    #: with one is not bundled again, so that the next loss tells.
    innocent_count = models.PositiveIntegerField(default=0, db_default=0)
    #: Bytes it has to work through, where that was known when it was enqueued. A hint
    #: for the estimate of its cost, nothing more.
    size = models.BigIntegerField(null=True, blank=True)
    checkpoint = models.JSONField(null=True, blank=True)
    progress_done = models.BigIntegerField(default=0, db_default=0)
    progress_total = models.BigIntegerField(null=True, blank=True)
    progress_unit = models.TextField(blank=True, default="", db_default="")
    result = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    fingerprint = models.TextField(blank=True, default="", db_default="")
    #: Somebody wants it to end; a running job does at its next checkpoint.
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    #: A person has decided that this dead job stays dead.
    discarded_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    dispatched_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        permissions: ClassVar = [("cancel_job", "Can cancel jobs")]
        constraints: ClassVar = [
            models.CheckConstraint(condition=_in("state", State), name="job_state"),
            models.CheckConstraint(
                condition=Q(priority__in=Priority.values), name="job_priority"
            ),
            models.CheckConstraint(
                condition=Q(max_attempts__gte=1), name="job_max_attempts_positive"
            ),
            models.CheckConstraint(
                condition=Q(state__in=_TERMINAL, finished_at__isnull=False)
                | ~Q(state__in=_TERMINAL) & Q(finished_at__isnull=True),
                name="job_finished_at_when_terminal",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                "tenant",
                "priority",
                "id",
                name="job_queue",
                condition=Q(state="queued"),
            ),
            models.Index(
                "run_after",
                name="job_due",
                condition=Q(state__in=["scheduled", "retryable"]),
            ),
            # The states a person looks for. What is queued has an index of its own,
            # and what is at work has a live attempt.
            models.Index(
                F("state"),
                F("id").desc(),
                name="job_by_state",
                condition=Q(state__in=["scheduled", "retryable", "dead", "cancelled"]),
            ),
            models.Index(
                "cancel_requested_at",
                name="job_to_cancel",
                condition=Q(cancel_requested_at__isnull=False, finished_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def progress(self) -> dict[str, Any]:
        """Return how far the job is, as the API shows it."""
        return {
            "done": self.progress_done,
            "total": self.progress_total,
            "unit": self.progress_unit,
        }


class DeadLetter(Job):
    """A job that a person has to decide about; same row, own screen and right."""

    class Meta:
        proxy = True
        verbose_name = "dead letter"
        permissions: ClassVar = [
            ("retry_deadletter", "Can retry dead letters"),
            ("discard_deadletter", "Can discard and restore dead letters"),
            ("edit_deadletter", "Can edit the payloads of dead letters"),
        ]


class Attempt(TenantByParent):
    """One try at a job: appended at dispatch, settled once.

    Share, quota and bill are sums over this table. Costs are worker-microseconds.
    """

    id = models.BigAutoField(primary_key=True)
    #: Indexed by the key of job and number.
    job = models.ForeignKey(
        Job,
        on_delete=models.PROTECT,
        related_name="attempts",
        db_constraint=False,
        db_index=False,
    )
    number = models.PositiveIntegerField()
    pool = models.TextField()
    worker = models.TextField(blank=True, default="", db_default="")
    #: The dispatcher's term that dispatched it.
    term = models.BigIntegerField()
    held_us = models.BigIntegerField()
    settled_us = models.BigIntegerField(null=True, blank=True)
    #: The weights it is charged at, of its tenant and of its tier, in thousandths.
    weight = models.BigIntegerField()
    tier_weight = models.BigIntegerField(default=1000, db_default=1000)
    #: Travelled with others in one message.
    is_bundled = models.BooleanField(default=False, db_default=False)
    is_billable = models.BooleanField(null=True, blank=True)
    outcome = models.TextField(
        null=True, blank=True, choices=[(o.value, o.value) for o in Outcome]
    )
    dispatched_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)
    traceback = models.TextField(blank=True, default="", db_default="")

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["job", "number"], name="attempt_number"),
            models.UniqueConstraint(
                fields=["job"], condition=Q(outcome=None), name="attempt_one_live"
            ),
            models.CheckConstraint(
                condition=Q(outcome=None) | _in("outcome", Outcome),
                name="attempt_outcome",
            ),
            models.CheckConstraint(
                condition=Q(
                    outcome__isnull=True,
                    settled_us__isnull=True,
                    finished_at__isnull=True,
                )
                | Q(
                    outcome__isnull=False,
                    settled_us__gte=0,
                    finished_at__isnull=False,
                    is_billable__isnull=False,
                ),
                name="attempt_settled_with_outcome",
            ),
            models.CheckConstraint(condition=Q(held_us__gte=0), name="attempt_held"),
        ]
        indexes: ClassVar = [
            models.Index("pool", name="attempt_live", condition=Q(outcome=None)),
            models.Index(
                "finished_at",
                name="attempt_finished",
                condition=Q(finished_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number} of {self.job_id}"


class UsageEvent(TenantOwned):
    """One immutable counted fact; its source makes it countable once."""

    id = models.BigAutoField(primary_key=True)
    source = models.TextField()
    meter = models.TextField()
    quantity = models.BigIntegerField()
    #: Billing outlives the job, so nothing in the database ties them.
    job = models.ForeignKey(
        Job,
        on_delete=models.DO_NOTHING,
        related_name="usage_events",
        db_constraint=False,
        db_index=False,
    )
    occurred_at = models.DateTimeField(db_default=Now())

    class Meta(TenantOwned.Meta):
        db_table = "usage_events"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "source"], name="usage_event_counted_once"
            ),
            models.CheckConstraint(
                condition=Q(quantity__gte=0), name="usage_event_quantity"
            ),
        ]
        indexes: ClassVar = [
            models.Index("tenant", "meter", "occurred_at", name="usage_event_period"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.meter} ({self.source})"


class JobEvent(TenantByParent):
    """One thing that happened to a job: from which state to which, by whom, and why.

    A trigger on the table of jobs writes them (jobs/migrations/0006), so that nothing
    moves a job in silence; another keeps them as they were written.
    """

    pk = models.CompositePrimaryKey("job_id", "id")
    job = models.ForeignKey(
        Job,
        on_delete=models.DO_NOTHING,
        related_name="events",
        db_constraint=False,
        db_index=False,
    )
    id = models.BigIntegerField()
    #: The number of the job's latest attempt at that moment; 0 before the first.
    attempt = models.PositiveIntegerField()
    event = models.TextField()
    #: Empty for what created it.
    from_state = models.TextField()
    to_state = models.TextField()
    actor = models.TextField()
    reason = models.TextField()
    at = models.DateTimeField()

    class Meta(TenantOwned.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.event} {self.job_id}"


class Switch(models.Model):
    """What may happen to the jobs of a kind or of a pool; all of it, without a row.

    A tenant's own switches are on the tenant.
    """

    class Scope(models.TextChoices):
        KIND = "kind"
        POOL = "pool"

    scope = models.TextField(choices=Scope.choices)
    name = models.TextField()
    #: New jobs are taken.
    is_accepting = models.BooleanField(
        "accepts new jobs", default=True, db_default=True
    )
    #: Queued jobs are handed to workers.
    is_dispatching = models.BooleanField("dispatches", default=True, db_default=True)
    #: Scheduled jobs are queued when their time comes.
    is_scheduling = models.BooleanField(
        "queues scheduled jobs", default=True, db_default=True
    )
    reason = models.TextField(blank=True, default="", db_default="")
    changed_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "switches"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["scope", "name"], name="switch_of"),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.name}"


class LeaderLease(models.Model):
    """Who leads; each change of leader raises the term, which fences its writes."""

    name = models.TextField(primary_key=True)
    holder = models.TextField(blank=True, default="", db_default="")
    term = models.BigIntegerField(default=0, db_default=0)
    expires_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.name} term {self.term}"


class SchedulerSnapshot(models.Model):
    """Where a pool's scheduler stood, from which a new leader goes on."""

    pool = models.TextField(primary_key=True)
    #: The last attempt it had charged; attempts after it are replayed.
    last_attempt_id = models.BigIntegerField()
    state = models.JSONField()
    taken_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"scheduler of {self.pool}"


class TenantSnapshot(models.Model):
    """Where a tenant stood in a pool's scheduler when it last changed there."""

    pk = models.CompositePrimaryKey("pool", "tenant_slug")
    pool = models.TextField()
    tenant_slug = models.TextField()
    state = models.TextField()

    def __str__(self) -> str:
        return f"{self.tenant_slug} in {self.pool}"


class Worker(models.Model):
    """A worker process that reports itself; capacity is the sum of fresh ones."""

    name = models.TextField(primary_key=True)
    pool = models.TextField()
    slots = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class BulkDecision(models.Model):
    """A decision about many dead letters; jobs/bulk.py carries it out in time.

    Of many tenants, so no tenant owns it: platform staff alone sees it.
    """

    class Decision(models.TextChoices):
        RETRY = "retry"
        DISCARD = "discard"
        RESTORE = "restore"

    decision = models.TextField(choices=Decision.choices)
    #: Which letters were meant, in words.
    criteria = models.TextField()
    reason = models.TextField(blank=True)
    decided_by = models.TextField()
    per_second = models.PositiveIntegerField()
    total_count = models.PositiveIntegerField(default=0, db_default=0)
    done_count = models.PositiveIntegerField(default=0, db_default=0)
    #: Jobs that were not as they had been any more when their turn came.
    passed_over_count = models.PositiveIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now())
    cancelled_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "bulk decision"
        indexes: ClassVar = [
            models.Index(
                "id", name="bulk_decision_open", condition=Q(finished_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.decision} of {self.criteria}"


class BulkItem(models.Model):
    """A dead letter that a bulk decision has still to come to; one has it at a time.

    It is decided about only if it still is as it was when it was counted.
    """

    job_id = models.UUIDField(primary_key=True)
    bulk = models.ForeignKey(
        BulkDecision, on_delete=models.CASCADE, related_name="items", db_index=False
    )
    died_at = models.DateTimeField()
    discarded_at = models.DateTimeField(null=True)

    class Meta:
        indexes: ClassVar = [models.Index("bulk", "job_id", name="bulk_item_next")]

    def __str__(self) -> str:
        return f"{self.job_id} of {self.bulk_id}"


class DeadMessage(models.Model):
    """A message that nobody could work on; no tenant is known, so no tenant owns it."""

    queue = models.TextField()
    #: `undecodable`, `unknown_task`, `invalid`, or the broker's word for it.
    reason = models.TextField()
    detail = models.TextField()
    #: Of the whole body, in hexadecimal; `size` is its bytes.
    sha256 = models.TextField()
    size = models.BigIntegerField()
    #: The beginning of the body as it came.
    body = models.BinaryField()
    content_type = models.TextField(blank=True, default="", db_default="")
    content_encoding = models.TextField(blank=True, default="", db_default="")
    headers = models.JSONField(default=dict)
    attempt_ids = models.JSONField(null=True, blank=True)
    seen_count = models.PositiveBigIntegerField(default=1, db_default=1)
    first_seen_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(db_default=Now())
    discarded_at = models.DateTimeField(null=True, blank=True)
    discarded_by = models.TextField(blank=True, default="", db_default="")

    class Meta:
        verbose_name = "dead message"
        permissions: ClassVar = [("discard_deadmessage", "Can discard dead messages")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["sha256", "queue", "reason"], name="dead_message_counted_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason} in {self.queue}"
