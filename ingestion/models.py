"""IngestedFile, Transaction, and the rows of a file that were kept out."""

from decimal import Decimal
from typing import Any, ClassVar

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from tenants.scoping import TenantOwned, TenantShared

#: NaN sorts above every number in PostgreSQL, so an upper bound keeps it out too.
AMOUNT_BELOW = Decimal(10) ** 16

dialect_name_validator = RegexValidator(
    r"\A[A-Z0-9][A-Z0-9_-]{0,31}\Z",
    "Use 1 to 32 capital letters, digits, '_' or '-', starting with a letter or a "
    "digit.",
)


class FixedCharField(models.CharField):  # type: ignore[type-arg]
    """A column of type CHAR(n)."""

    def db_type(self, connection: Any) -> str:
        """Return CHAR(n) where the base class gives VARCHAR(n)."""
        return f"char({self.max_length})"


class IngestedFile(TenantOwned):
    """One file brought in by one job."""

    class State(models.TextChoices):
        RECEIVED = "received"
        VALIDATING = "validating"
        LOADING = "loading"
        LOADED = "loaded"
        QUARANTINED = "quarantined"
        FAILED = "failed"

    id = models.BigAutoField(primary_key=True)
    #: Null once the job was pruned.
    job = models.OneToOneField(
        "jobs.Job",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="ingested_file",
        db_constraint=False,
    )
    source = models.TextField()
    path = models.TextField(help_text="As given, below the tenant's own prefix.")
    size = models.BigIntegerField()
    etag = models.TextField(
        blank=True, default="", db_default="", help_text="Pins the object's content."
    )
    state = models.TextField(choices=State.choices, default=State.RECEIVED)
    rows = models.BigIntegerField(default=0, db_default=0)
    inserted = models.BigIntegerField(default=0, db_default=0)
    duplicate = models.BigIntegerField(default=0, db_default=0)
    conflicting = models.BigIntegerField(default=0, db_default=0)
    rejected = models.BigIntegerField(default=0, db_default=0)
    rejects_path = models.TextField(blank=True, default="", db_default="")
    conflicts_path = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    loaded_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(
                    rows=F("inserted")
                    + F("duplicate")
                    + F("conflicting")
                    + F("rejected")
                ),
                name="file_rows_add_up",
            ),
        ]
        indexes: ClassVar = [
            models.Index(F("tenant"), F("id").desc(), name="file_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.path} of {self.tenant_id}"


class FilePart(TenantOwned):
    """How far one part of a load is: written with its rows, gone when the load ends."""

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(
        IngestedFile,
        on_delete=models.CASCADE,
        related_name="parts",
        db_constraint=False,
        db_index=False,
    )
    part = models.PositiveSmallIntegerField()
    line = models.BigIntegerField(help_text="The last line that it has written.")
    rows = models.BigIntegerField()
    inserted = models.BigIntegerField()
    duplicate = models.BigIntegerField()
    conflicting = models.BigIntegerField()
    rejected = models.BigIntegerField()

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["file", "part"], name="file_part_once"),
        ]

    def __str__(self) -> str:
        return f"part {self.part} of file {self.file_id}"


class Transaction(TenantOwned):
    """One movement of money, as a file told it; `amount` is never negative."""

    id = models.BigAutoField(primary_key=True)
    source = models.TextField()
    txn_id = models.TextField()
    reference_id = models.TextField(null=True, blank=True)
    account_id = models.TextField(null=True, blank=True)
    counterparty_account = models.TextField(null=True, blank=True)
    vpa_or_ifsc = models.TextField(null=True, blank=True)
    amount = models.DecimalField(max_digits=18, decimal_places=2)
    currency = FixedCharField(max_length=3, default="INR", db_default="INR")
    status = models.TextField()
    txn_timestamp = models.DateTimeField()
    raw_row = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    source_txn_id = models.TextField()
    direction = FixedCharField(max_length=1)
    file = models.ForeignKey(
        IngestedFile,
        on_delete=models.PROTECT,
        related_name="transactions",
        db_constraint=False,
        db_index=False,
    )
    row_hash = models.BinaryField(max_length=32)

    class Meta(TenantOwned.Meta):
        db_table = "fintech_transactions"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "txn_id"], name="transaction_once_per_tenant"
            ),
            models.CheckConstraint(
                condition=Q(amount__gte=0, amount__lt=AMOUNT_BELOW),
                name="transaction_amount_in_range",
            ),
            models.CheckConstraint(
                condition=Q(direction__in=["C", "D"]), name="transaction_direction"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["SUCCESS", "FAILED", "PENDING", "REVERSED"]),
                name="transaction_status",
            ),
        ]
        indexes: ClassVar = [
            models.Index("tenant", "reference_id", name="transaction_reference"),
            models.Index("file", name="transaction_file"),
        ]

    def __str__(self) -> str:
        return self.txn_id


class KeptOutRow(TenantOwned):
    """A row of a file that did not become a transaction, and why.

    Written with the chunk it stands in, so a resumed load neither loses nor repeats it.
    """

    class Why(models.TextChoices):
        REJECTED = "rejected"
        CONFLICTING = "conflicting"

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(
        IngestedFile,
        on_delete=models.CASCADE,
        related_name="kept_out_rows",
        db_constraint=False,
        db_index=False,
    )
    line = models.BigIntegerField(help_text="Physical line of the file, from 1.")
    why = models.TextField(choices=Why.choices)
    column = models.TextField(blank=True, default="", db_default="")
    reason = models.TextField()
    value = models.TextField(blank=True, default="", db_default="")
    raw_row = models.JSONField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["file", "line", "why"], name="kept_out_row_once"
            ),
        ]

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class DialectProfile(TenantShared):
    """A dialect as a row: of the platform for every tenant, or of one tenant.

    `definition` is the dialect's JSON without its name and title. `shipped` is what the
    product brought along under this name last: null for what people made.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.TextField(
        validators=[dialect_name_validator],
        help_text='The word in {"source": …} of an ingest call.',
    )
    title = models.TextField(blank=True, default="", db_default="")
    definition = models.JSONField()
    shipped = models.JSONField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_at = models.DateTimeField(null=True, editable=False)

    class Meta(TenantShared.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                nulls_distinct=False,
                name="dialect_profile_once",
                violation_error_message="There is such a profile already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.tenant_id or 'the platform'}"

    @property
    def dialect_json(self) -> dict[str, Any]:
        """Return the whole dialect as JSON."""
        return {**self.definition, "name": self.name, "title": self.title}

    @property
    def is_built_in(self) -> bool:
        """Return whether the product brought it along."""
        return self.shipped is not None

    @property
    def is_edited(self) -> bool:
        """Return whether it differs from what the product brought along."""
        return self.is_built_in and self.definition != self.shipped
