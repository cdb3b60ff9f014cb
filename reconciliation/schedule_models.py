"""Schedules, their slots, and reports."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from tenants.scoping import TenantOwned


class Schedule(TenantOwned):
    """When a profile is run, or a report written, by itself.

    Its times are those of the crontab of `task`, in that crontab's zone. Beat only
    wakes; what is due is found out and written down once, slot by slot.
    """

    class Missed(models.TextChoices):
        SKIP = "skip", "Skip what was missed"
        ONCE = "once", "Run once for the latest that was missed"
        ALL = "all", "Run each that was missed"

    class Covers(models.TextChoices):
        DAY = "previous_day", "The day before"
        WEEK = "previous_week", "The seven days before"
        MONTH = "previous_month", "The calendar month before"

    id = models.BigAutoField(primary_key=True)
    name = models.TextField()
    #: What it runs: a profile, or else the report with these settings.
    profile = models.ForeignKey(
        "reconciliation.Profile",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="schedules",
        db_constraint=False,
        db_index=False,
    )
    report = models.JSONField(null=True, blank=True)
    task = models.OneToOneField(
        "django_celery_beat.PeriodicTask",
        on_delete=models.PROTECT,
        related_name="reconciliation_schedule",
        db_constraint=False,
    )
    covers = models.TextField(choices=Covers.choices, default=Covers.DAY)
    missed = models.TextField(choices=Missed.choices, default=Missed.ONCE)
    #: Every slot up to and with this moment is decided.
    decided_upto = models.DateTimeField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "name"], name="reconciliation_schedule_once"
            ),
            models.CheckConstraint(
                condition=Q(profile=None, report__isnull=False)
                | Q(profile__isnull=False, report=None),
                name="reconciliation_schedule_of_one_thing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.tenant_id}"


class Slot(TenantOwned):
    """One due time of a schedule, and what became of it."""

    class Outcome(models.TextChoices):
        ENQUEUED = "enqueued"
        #: Missed, and its schedule lets that pass.
        SKIPPED = "skipped"
        #: Its job was refused, as when the tenant is paused; `text` says why.
        REFUSED = "refused"

    id = models.BigAutoField(primary_key=True)
    schedule = models.ForeignKey(
        Schedule,
        on_delete=models.CASCADE,
        related_name="slots",
        db_constraint=False,
        db_index=False,
    )
    due_at = models.DateTimeField()
    outcome = models.TextField(choices=Outcome.choices)
    job_id = models.UUIDField(null=True, blank=True)
    text = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["schedule", "due_at"], name="reconciliation_slot_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.due_at} of schedule {self.schedule_id}"


class Report(TenantOwned):
    """A table in the store that a job wrote."""

    class What(models.TextChoices):
        TRANSACTIONS = "transactions"
        MISMATCHES = "mismatches"
        USAGE = "usage"

    id = models.BigAutoField(primary_key=True)
    #: Null once the job was pruned.
    job = models.OneToOneField(
        "jobs.Job",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="report",
        db_constraint=False,
    )
    what = models.TextField(choices=What.choices)
    filters = models.JSONField(default=dict)
    path = models.TextField(blank=True, default="", db_default="")
    rows = models.BigIntegerField(default=0, db_default=0)
    size = models.BigIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        permissions: ClassVar = [
            ("download_report", "Can order and download reports"),
        ]
        indexes: ClassVar = [
            models.Index(F("tenant"), F("id").desc(), name="report_newest"),
        ]

    def __str__(self) -> str:
        return f"report of {self.what} of {self.tenant_id}"
