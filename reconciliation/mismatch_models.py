"""Mismatches and their history."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from ingestion.masking import mask_id
from reconciliation.lifecycle import Action, Reason, State
from tenants.scoping import TenantByParent, TenantOwned


class Reconciliation(TenantByParent):
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
    internal_txn_id = models.TextField(null=True, blank=True)
    external_txn_id = models.TextField(null=True, blank=True)
    mismatch_type = models.TextField(choices=MismatchType.choices)
    notes = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    profile = models.ForeignKey(
        "reconciliation.Profile",
        on_delete=models.PROTECT,
        related_name="mismatches",
        db_constraint=False,
        db_index=False,
    )
    #: The run that told it last.
    run = models.ForeignKey(
        "reconciliation.Run",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="mismatches",
        db_constraint=False,
        db_index=False,
    )
    internal_id = models.BigIntegerField(null=True, blank=True)
    external_id = models.BigIntegerField(null=True, blank=True)
    #: What a file says of itself that does not hold, by its id.
    fault_id = models.BigIntegerField(null=True, blank=True)
    key = models.TextField(null=True, blank=True)
    day = models.DateField(null=True, blank=True, help_text="As its profile tells it.")
    #: What is at stake: of our side, or else of theirs.
    amount = models.DecimalField(max_digits=18, decimal_places=2, null=True, blank=True)
    #: How far the two sides are apart; all of it where one is missing.
    difference = models.DecimalField(
        max_digits=18, decimal_places=2, null=True, blank=True
    )
    currency = models.TextField(blank=True, default="", db_default="")
    state = models.TextField(
        choices=[(state.value, state.name.title()) for state in State],
        default=State.OPEN,
        db_default=State.OPEN,
    )
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    reason_code = models.TextField(
        choices=[(reason.value, reason.label) for reason in Reason],
        blank=True,
        default="",
        db_default="",
    )
    #: Who resolved it; empty for a rule.
    resolved_by = models.TextField(blank=True, default="", db_default="")
    #: When it was resolved, or closed by a run.
    resolved_at = models.DateTimeField(null=True, blank=True)
    approved_by = models.TextField(blank=True, default="", db_default="")
    approved_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        db_table = "reconciliations"
        verbose_name = "mismatch"
        verbose_name_plural = "mismatches"
        permissions: ClassVar = [
            ("resolve_reconciliation", "Can assign, resolve and match mismatches"),
            ("approve_reconciliation", "Can approve what others resolved"),
            ("export_reconciliation", "Can export mismatches"),
        ]
        indexes: ClassVar = [
            models.Index(*("tenant", "state", "day"), name="reconciliation_queue"),
            models.Index(
                fields=["profile", "key"],
                condition=~Q(state="closed"),
                name="reconciliation_key",
            ),
            models.Index(fields=["profile", "day"], name="reconciliation_day"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                *("profile", "mismatch_type"),
                Coalesce("internal_id", 0),
                Coalesce("external_id", 0),
                Coalesce("fault_id", 0),
                condition=Q(profile__isnull=False),
                name="reconciliation_told_once",
            ),
            models.CheckConstraint(
                condition=~Q(state="approved") | ~Q(approved_by=F("resolved_by")),
                name="reconciliation_four_eyes",
            ),
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
        row = self.internal_txn_id or self.external_txn_id or ""
        return f"{self.mismatch_type.replace('_', ' ')} {self.pk}: {mask_id(row)}"


class MismatchEvent(TenantByParent):
    """A line of a mismatch's history: who did what, when, and what they said."""

    id = models.BigAutoField(primary_key=True)
    mismatch = models.ForeignKey(
        Reconciliation,
        on_delete=models.CASCADE,
        related_name="events",
        db_constraint=False,
    )
    at = models.DateTimeField(db_default=Now())
    actor = models.TextField(help_text="A person's login, or the run that did it.")
    action = models.TextField(
        choices=[(action.value, action.name.title()) for action in Action]
    )
    text = models.TextField(blank=True, default="", db_default="")

    class Meta(TenantOwned.Meta):
        pass

    def __str__(self) -> str:
        return f"{self.action} by {self.actor}"
