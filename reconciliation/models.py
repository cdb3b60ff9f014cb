"""Reconciliation: profiles and rules, runs, and what two sides disagree on."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from ingestion.masking import mask_id
from reconciliation.mismatch_models import MismatchEvent, Reconciliation
from reconciliation.schedule_models import Report, Schedule, Slot
from tenants.scoping import TenantByParent, TenantOwned

__all__ = [
    "FileDay",
    "Finding",
    "Match",
    "MatchRow",
    "MatchRule",
    "MismatchEvent",
    "OpenRow",
    "Profile",
    "Reconciliation",
    "Report",
    "Run",
    "Schedule",
    "Slot",
]


class Profile(TenantOwned):
    """What of a tenant is compared with what, and how."""

    id = models.BigAutoField(primary_key=True)
    name = models.TextField()
    internal_sources = ArrayField(models.TextField())
    external_sources = ArrayField(models.TextField())
    time_zone = models.TextField(default="Asia/Kolkata", db_default="Asia/Kolkata")
    cutoff = models.TimeField(
        default="00:00",
        db_default="00:00",
        help_text="When a day ends, by the clock of the time zone.",
    )
    fee_percent = models.DecimalField(
        max_digits=7, decimal_places=4, default=0, db_default=0
    )
    fee_fixed = models.DecimalField(
        max_digits=18, decimal_places=2, default=0, db_default=0
    )
    stale_after_hours = models.PositiveIntegerField(default=48, db_default=48)
    closes_up_to = models.DecimalField(
        max_digits=18,
        decimal_places=2,
        default=0,
        db_default=0,
        help_text="Amounts that are no further apart are resolved as rounding.",
    )
    closes_fees = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether what the fee explains exactly is resolved by itself.",
    )
    needs_approval = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether somebody else has to approve what a person resolved.",
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta(TenantOwned.Meta):
        permissions: ClassVar = [
            ("run_profile", "Can run reconciliations and schedules at once"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "name"], name="reconciliation_profile_once"
            ),
            models.CheckConstraint(
                condition=Q(closes_up_to__gte=0, fee_percent__gte=0, fee_fixed__gte=0),
                name="reconciliation_profile_amounts",
            ),
            models.CheckConstraint(
                condition=~Q(internal_sources__overlap=F("external_sources")),
                name="reconciliation_sources_of_one_side",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.tenant_id}"


class MatchRule(TenantOwned):
    """One rule of a profile; they are tried in the order of their places."""

    class Key(models.TextChoices):
        REFERENCE = "reference_id"
        ID = "source_txn_id"
        ACCOUNT = "account_id"

    class Shape(models.TextChoices):
        ONE_TO_ONE = "one_to_one"
        ONE_TO_MANY = "one_to_many"
        MANY_TO_ONE = "many_to_one"

    id = models.BigAutoField(primary_key=True)
    profile = models.ForeignKey(
        Profile,
        on_delete=models.CASCADE,
        related_name="rules",
        db_constraint=False,
        db_index=False,
    )
    place = models.PositiveIntegerField(help_text="From 1.")
    key = models.TextField(choices=Key.choices, default=Key.REFERENCE)
    shape = models.TextField(choices=Shape.choices, default=Shape.ONE_TO_ONE)
    amount = models.DecimalField(max_digits=18, decimal_places=2, default=0)
    percent = models.DecimalField(max_digits=7, decimal_places=4, default=0)
    days = models.PositiveIntegerField(default=1)
    is_business_days = models.BooleanField(default=False)
    is_less_fee = models.BooleanField(default=False)
    is_confirmed = models.BooleanField(default=True)

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["profile", "place"], name="match_rule_once_in_a_place"
            ),
            models.CheckConstraint(
                condition=Q(amount__gte=0, percent__gte=0), name="match_rule_tolerance"
            ),
        ]

    def __str__(self) -> str:
        return f"rule {self.place} of {self.profile}"


class Run(TenantOwned):
    """One comparison of a period, by the terms of its profile at the time."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    class Mode(models.TextChoices):
        #: Every reference of the period.
        FULL = "full"
        #: References of files that came since the period was last looked at.
        CHANGES = "changes"

    id = models.BigAutoField(primary_key=True)
    profile = models.ForeignKey(
        Profile,
        on_delete=models.PROTECT,
        related_name="runs",
        db_constraint=False,
        db_index=False,
    )
    #: Null once the job was pruned.
    job = models.OneToOneField(
        "jobs.Job",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="reconciliation_run",
        db_constraint=False,
    )
    period_starts_at = models.DateTimeField()
    period_ends_at = models.DateTimeField()
    as_of = models.DateTimeField(help_text="By which a pending payment is old or not.")
    #: The loaded files that it reads, as they were when it began.
    file_ids = ArrayField(models.BigIntegerField())
    #: The profile's rules and settings that it goes by.
    terms = models.JSONField()
    is_dry = models.BooleanField(
        default=False, db_default=False, help_text="Whether it only counts."
    )
    mode = models.TextField(
        choices=Mode.choices, default=Mode.FULL, db_default=Mode.FULL
    )
    #: The latest run before it whose findings stand: it looks at what came since.
    previous = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    #: The run to which its open rows belong: itself, or else the full one before it.
    holder_id = models.BigIntegerField(null=True, blank=True)
    state = models.TextField(choices=State.choices, default=State.RUNNING)
    counts = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        indexes: ClassVar = [
            models.Index(F("profile"), F("id").desc(), name="run_of_profile"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(period_starts_at__lt=F("period_ends_at")),
                name="run_of_a_period",
            ),
            models.UniqueConstraint(
                fields=["profile"],
                condition=Q(state="running", is_dry=False),
                name="run_of_a_profile_at_a_time",
            ),
        ]

    @property
    def holder(self) -> int:
        """Return the run to which its open rows belong."""
        return self.holder_id or self.pk

    @property
    def is_whole(self) -> bool:
        """Return whether it looked at all of its period: its counts are of that."""
        return self.mode == self.Mode.FULL

    def __str__(self) -> str:
        return f"Run {self.pk} of {self.profile}"


class OpenRow(TenantByParent):
    """A transaction that does not plainly match; it is here while its run is the last.

    What plainly matches, one row of each side with one key that agree, is not written
    down: nearly all rows do, and the rows themselves say so.
    """

    pk = models.CompositePrimaryKey("run_id", "transaction_id")
    run = models.ForeignKey(
        Run,
        on_delete=models.CASCADE,
        related_name="open_rows",
        db_constraint=False,
        db_index=False,
    )
    #: The run that wrote or matched it last: its own, or one of changes behind that.
    touched_by = models.BigIntegerField()
    transaction_id = models.BigIntegerField()
    txn_id = models.TextField()
    side = models.CharField(max_length=1)
    key = models.TextField(null=True, blank=True)
    reference_id = models.TextField(null=True, blank=True)
    source_txn_id = models.TextField()
    account_id = models.TextField(null=True, blank=True)
    amount = models.DecimalField(max_digits=18, decimal_places=2)
    currency = models.TextField()
    direction = models.TextField()
    status = models.TextField()
    at = models.DateTimeField()
    day = models.DateField()
    #: Whether a person took it out of a match: no rule touches it then.
    is_held = models.BooleanField(default=False, db_default=False)
    #: The place of the rule that matched it, 0 for a match that stood before, and the
    #: least transaction of our side in the match.
    rule = models.PositiveIntegerField(null=True, blank=True)
    match = models.BigIntegerField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        pass

    def __str__(self) -> str:
        return f"{mask_id(self.txn_id)} in run {self.run_id}"


class Finding(TenantByParent):
    """A mismatch as a run told it, until it is among the profile's mismatches."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(
        Run,
        on_delete=models.CASCADE,
        related_name="findings",
        db_constraint=False,
        db_index=False,
    )
    mismatch_type = models.TextField()
    key = models.TextField(null=True, blank=True)
    internal_id = models.BigIntegerField(null=True, blank=True)
    external_id = models.BigIntegerField(null=True, blank=True)
    notes = models.TextField()

    class Meta(TenantOwned.Meta):
        indexes: ClassVar = [models.Index(fields=["run", "key"], name="finding_key")]

    def __str__(self) -> str:
        return f"{self.mismatch_type} in run {self.run_id}"


class Match(TenantByParent):
    """Rows that belong together by other than the primary key, or as a person said.

    What the rules say of rows with one primary key is not kept: the rows say it again.
    """

    class State(models.TextChoices):
        #: A rule thinks so; a person has to say.
        SUGGESTED = "suggested"
        CONFIRMED = "confirmed"
        #: A person said no: its rows are held, and only a person matches them again.
        UNDONE = "undone"

    id = models.BigAutoField(primary_key=True)
    profile = models.ForeignKey(
        Profile,
        on_delete=models.PROTECT,
        related_name="matches",
        db_constraint=False,
        db_index=False,
    )
    #: Null if it was made by hand.
    run = models.ForeignKey(
        Run,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="matches",
        db_constraint=False,
        db_index=False,
    )
    rule = models.PositiveIntegerField(null=True, blank=True, help_text="Its place.")
    #: The least transaction of our side in it.
    lead = models.BigIntegerField(null=True, blank=True)
    state = models.TextField(choices=State.choices)
    #: Who confirmed or undid it last, and why; empty for a rule.
    decided_by = models.TextField(blank=True, default="", db_default="")
    decided_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta(TenantOwned.Meta):
        verbose_name_plural = "matches"
        indexes: ClassVar = [
            models.Index(F("profile"), "state", F("id").desc(), name="match_by_state"),
        ]

    def __str__(self) -> str:
        return f"match {self.pk} of {self.profile}"


class MatchRow(TenantByParent):
    """A transaction of a match."""

    id = models.BigAutoField(primary_key=True)
    match = models.ForeignKey(
        Match,
        on_delete=models.CASCADE,
        related_name="rows",
        db_constraint=False,
    )
    profile_id = models.BigIntegerField()
    transaction_id = models.BigIntegerField()
    txn_id = models.TextField()
    side = models.CharField(max_length=1)
    key = models.TextField(null=True, blank=True)
    #: Whether the match is confirmed: then the row is in no other.
    is_live = models.BooleanField()

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["profile_id", "transaction_id"],
                condition=Q(is_live=True),
                name="transaction_matched_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["profile_id", "key"], name="match_row_key"),
            models.Index(fields=["profile_id", "transaction_id"], name="match_row"),
        ]

    def __str__(self) -> str:
        return f"{mask_id(self.txn_id)} in match {self.match_id}"


class FileDay(TenantByParent):
    """What a file brought of one day, as a profile tells days; written once."""

    id = models.BigAutoField(primary_key=True)
    profile = models.ForeignKey(
        Profile,
        on_delete=models.CASCADE,
        related_name="file_days",
        db_constraint=False,
        db_index=False,
    )
    file_id = models.BigIntegerField()
    day = models.DateField()
    side = models.CharField(max_length=1)
    currency = models.TextField()
    rows = models.BigIntegerField()
    amount = models.DecimalField(max_digits=24, decimal_places=2)

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["profile", "file_id", "day", "side", "currency"],
                name="file_day_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["profile", "day"], name="file_day_in_order"),
        ]

    def __str__(self) -> str:
        return f"{self.day} of file {self.file_id}"
