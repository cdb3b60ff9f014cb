"""Reconciliation: a mismatch that a run found."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from tenants.scoping import TenantOwned


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
