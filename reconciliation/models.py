"""Reconciliation: profiles and rules, runs, and what two sides disagree on."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from tenants.scoping import TenantOwned


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
    created_at = models.DateTimeField(db_default=Now())

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "name"], name="reconciliation_profile_once"
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
        return f"rule {self.place} of profile {self.profile_id}"


class Run(TenantOwned):
    """One comparison of a period, by the terms of its profile at the time."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

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
    is_dry = models.BooleanField(default=False, db_default=False)
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
        ]

    def __str__(self) -> str:
        return f"run {self.pk} of profile {self.profile_id}"


class OpenRow(TenantOwned):
    """A transaction that does not plainly match; it is here while its run is the last.

    What plainly matches, one row of each side with one key that agree, is not written
    down: nearly all rows do, and the rows themselves say so.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(
        Run,
        on_delete=models.CASCADE,
        related_name="open_rows",
        db_constraint=False,
        db_index=False,
    )
    transaction_id = models.BigIntegerField()
    txn_id = models.TextField()
    side = models.CharField(max_length=1)
    key = models.TextField(null=True, blank=True)  # noqa: DJ001 - NULL: it has none
    reference_id = models.TextField(null=True, blank=True)  # noqa: DJ001
    source_txn_id = models.TextField()
    account_id = models.TextField(null=True, blank=True)  # noqa: DJ001
    amount = models.DecimalField(max_digits=18, decimal_places=2)
    currency = models.TextField()
    direction = models.TextField()
    status = models.TextField()
    at = models.DateTimeField()
    day = models.DateField()
    #: The place of the rule that matched it, and the least transaction of the match.
    rule = models.PositiveIntegerField(null=True, blank=True)
    match = models.BigIntegerField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["run", "transaction_id"], name="open_row_once"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["run", "key"], name="open_row_key")]

    def __str__(self) -> str:
        return f"{self.txn_id} in run {self.run_id}"


class Reconciliation(TenantOwned):
    """A disagreement between an internal transaction and an external one."""

    class MismatchType(models.TextChoices):
        MISSING_INTERNAL = "missing_internal"
        MISSING_EXTERNAL = "missing_external"
        AMOUNT = "amount"
        CURRENCY = "currency"
        STATUS = "status"
        DATE = "date"
        DUPLICATE = "duplicate"
        AMBIGUOUS = "ambiguous"
        FEE = "fee"
        STALE_PENDING = "stale_pending"
        STATEMENT_BALANCE = "statement_balance"
        FILE_GAP = "file_gap"

    id = models.BigAutoField(primary_key=True)
    internal_txn_id = models.TextField(null=True, blank=True)  # noqa: DJ001
    external_txn_id = models.TextField(null=True, blank=True)  # noqa: DJ001
    mismatch_type = models.TextField(choices=MismatchType.choices)
    notes = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())

    class Meta(TenantOwned.Meta):
        db_table = "reconciliations"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(
                    mismatch_type__in=[
                        "missing_internal",
                        "missing_external",
                        "amount",
                        "currency",
                        "status",
                        "date",
                        "duplicate",
                        "ambiguous",
                        "fee",
                        "stale_pending",
                        "statement_balance",
                        "file_gap",
                    ]
                ),
                name="reconciliation_mismatch_type",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mismatch_type}: {self.internal_txn_id or self.external_txn_id}"
