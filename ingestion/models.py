"""IngestedFile, Transaction, and the rows of a file that were kept out."""

from decimal import Decimal
from typing import Any, ClassVar, Final

from django.contrib.postgres.indexes import BrinIndex
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import F, JSONField, Q, Value
from django.db.models.functions import MD5, Coalesce, Now

from ingestion.masking import mask_id
from tenants.scoping import TenantByParent, TenantOwned, TenantShared

#: NaN sorts above every number in PostgreSQL, so an upper bound keeps it out too.
AMOUNT_BELOW = Decimal(10) ** 16
#: The entries of a file's totals and of its reasons.
TOTAL: Final = ("currency", "status", "direction", "rows", "amount")
REASON: Final = ("why", "reason", "rows")

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


class ExactDecimalField(models.DecimalField):  # type: ignore[type-arg]
    """A column of type NUMERIC that keeps every digit it is given."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Django wants to know; PostgreSQL is not told.
        super().__init__(*args, **{"max_digits": 1000, "decimal_places": 100, **kwargs})

    def db_type(self, connection: Any) -> str:
        """Return NUMERIC without a precision, to which it would round."""
        return "numeric"


class IngestedFile(TenantOwned):
    """One file brought in by one job."""

    class State(models.TextChoices):
        RECEIVED = "received"
        VALIDATING = "validating"
        LOADING = "loading"
        LOADED = "loaded"
        QUARANTINED = "quarantined"
        FAILED = "failed"

    class Decision(models.TextChoices):
        RELEASED = "released"
        REFUSED = "refused"

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
    source_version = models.TextField(blank=True, default="", db_default="")
    path = models.TextField(help_text="As given, below the tenant's own prefix.")
    size = models.BigIntegerField()
    #: Bytes that were read of it, unpacked; known once it is loaded.
    plain_size = models.BigIntegerField(null=True, blank=True)
    etag = models.TextField(
        blank=True, default="", db_default="", help_text="Pins the object's content."
    )
    content_digest = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="By which the same content is known again; docs/files.md.",
    )
    #: The file with the same content that was loaded before: this one brought nothing.
    same_as = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    state = models.TextField(choices=State.choices, default=State.RECEIVED)
    rows = models.BigIntegerField(default=0, db_default=0)
    inserted = models.BigIntegerField(default=0, db_default=0)
    duplicate = models.BigIntegerField(default=0, db_default=0)
    conflicting = models.BigIntegerField(default=0, db_default=0)
    rejected = models.BigIntegerField(default=0, db_default=0)
    #: The last line that was written; with these counts it is as true as the rows.
    written_line = models.BigIntegerField(default=0, db_default=0)
    #: Accepted rows about which there is a doubt.
    flagged = models.BigIntegerField(default=0, db_default=0)
    #: What its accepted rows add up to: a list of `TOTAL`.
    totals = models.JSONField(default=list, db_default=Value([], JSONField()))
    #: When the first and the last of its accepted rows moved money, once it is loaded.
    first_at = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(null=True, blank=True)
    #: Of its rows that need a look, once it is loaded: a list of `REASON`.
    reasons = models.JSONField(default=list, db_default=Value([], JSONField()))
    statement_count = models.BigIntegerField(default=0, db_default=0)
    #: Of which `MOST_FAULTS` at most of a pass are kept as rows.
    fault_count = models.BigIntegerField(default=0, db_default=0)
    #: The job that put it in quarantine, once it was released: `job` loads it then.
    quarantine_job = models.OneToOneField(
        "jobs.Job",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="quarantined_file",
        db_constraint=False,
    )
    #: What a person decided about it in quarantine, when, who, and why.
    decision = models.TextField(
        choices=Decision.choices, blank=True, default="", db_default=""
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.TextField(blank=True, default="", db_default="")
    decided_why = models.TextField(blank=True, default="", db_default="")
    rejects_path = models.TextField(blank=True, default="", db_default="")
    conflicts_path = models.TextField(blank=True, default="", db_default="")
    flags_path = models.TextField(blank=True, default="", db_default="")
    corrections_path = models.TextField(blank=True, default="", db_default="")
    summary_path = models.TextField(blank=True, default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    loaded_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        permissions: ClassVar = [
            ("release_ingestedfile", "Can release and refuse quarantined files"),
            ("upload_ingestedfile", "Can upload files"),
            ("download_ingestedfile", "Can download originals of files"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(decided_at=None) | ~Q(decided_why=""),
                name="file_decided_for_a_reason",
            ),
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
            models.Index(
                fields=["tenant", "source", "size"],
                condition=~Q(content_digest=""),
                name="file_by_size",
            ),
        ]

    def __str__(self) -> str:
        return f"file {self.path} of {self.tenant_id}"


class Transaction(TenantByParent):
    """One movement of money, as a file told it; `amount` is never negative.

    Each index slows every load, so each has its reader:

    - `transaction_once_per_tenant`: the loader finds duplicates, people a txn id.
    - `transaction_reference`: a UTR or RRN finds its rows.
    - `transaction_file`: what a file brought; pruning and the invariants ask as well.
    - `transaction_time`: ranges of time. A few pages for the whole table; loads, which
      are nearly in the order of time, hardly feel it.

    Accounts and amounts have none: they are looked for within a range of time.
    """

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
            BrinIndex(
                fields=["txn_timestamp"], autosummarize=True, name="transaction_time"
            ),
        ]
        permissions: ClassVar = [
            ("export_transaction", "Can export transactions, accounts masked"),
        ]

    def __str__(self) -> str:
        return mask_id(self.txn_id)


class KeptOutRow(TenantOwned):
    """A row of a file that needs a look, and why: nearly always it was kept out.

    A flagged row is the exception: it was accepted in spite of a doubt, and may be here
    several times. Written with the chunk it stands in, so a resumed load neither loses
    nor repeats it.
    """

    class Why(models.TextChoices):
        REJECTED = "rejected"
        CONFLICTING = "conflicting"
        FLAGGED = "flagged"

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
    #: The bytes of a rejected row, where it may be corrected and sent again.
    raw = models.BinaryField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            # The name of a column may be too long for an index.
            models.UniqueConstraint(
                *("file", "line", "why", "reason", MD5("column")),
                name="kept_out_row_once",
            ),
        ]

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


class Statement(TenantOwned):
    """What a file says about one account for a time, once that was read to its end.

    Balances and sums have a sign: what the holder has is positive, and so are credits.
    """

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(
        IngestedFile,
        on_delete=models.CASCADE,
        related_name="statements",
        db_constraint=False,
        db_index=False,
    )
    ordinal = models.BigIntegerField(help_text="Its place in the file, from 1.")
    line = models.BigIntegerField()
    source = models.TextField()
    account_id = models.TextField()
    statement_id = models.TextField(blank=True)
    number = models.BigIntegerField(null=True, blank=True)
    currency = models.TextField()
    opening = ExactDecimalField(null=True, blank=True)
    closing = ExactDecimalField(null=True, blank=True)
    opening_date = models.DateField(null=True, blank=True)
    closing_date = models.DateField(null=True, blank=True)
    day = models.DateField(help_text="By which those of an account are in order.")
    rows = models.BigIntegerField()
    credits = ExactDecimalField()
    debits = ExactDecimalField(help_text="The sum that was taken; positive.")

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["file", "ordinal"], name="statement_once"),
        ]
        indexes: ClassVar = [
            models.Index(
                *("tenant", "source", "account_id", "currency", "day"),
                Coalesce("number", 0),
                "id",
                name="statement_in_order",
            ),
        ]

    def __str__(self) -> str:
        return f"statement {self.ordinal} of file {self.file_id}"


class FileFault(TenantOwned):
    """Something that a file says about itself as a whole and that does not hold."""

    id = models.BigAutoField(primary_key=True)
    file = models.ForeignKey(
        IngestedFile,
        on_delete=models.CASCADE,
        related_name="faults",
        db_constraint=False,
        db_index=False,
    )
    line = models.BigIntegerField(help_text="Where the file says so.")
    control = models.TextField()
    expected = models.TextField(blank=True)
    found = models.TextField(blank=True)
    #: When a later file brought what was missing.
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["file", "line", "control", "expected", "found"],
                name="file_fault_once",
            ),
        ]

    def __str__(self) -> str:
        return f"line {self.line}: {self.control}"


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
