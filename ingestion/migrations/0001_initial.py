import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.datetime
import ingestion.models
from decimal import Decimal
from django.db import migrations, models

from tenants import rls


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("jobs", "0001_initial"),
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="IngestedFile",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source", models.TextField()),
                (
                    "path",
                    models.TextField(
                        help_text="As given, below the tenant's own prefix."
                    ),
                ),
                ("size", models.BigIntegerField()),
                (
                    "etag",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Pins the object's content.",
                    ),
                ),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("received", "Received"),
                            ("validating", "Validating"),
                            ("loading", "Loading"),
                            ("loaded", "Loaded"),
                            ("quarantined", "Quarantined"),
                            ("failed", "Failed"),
                        ],
                        default="received",
                    ),
                ),
                ("rows", models.BigIntegerField(db_default=0, default=0)),
                ("inserted", models.BigIntegerField(db_default=0, default=0)),
                ("duplicate", models.BigIntegerField(db_default=0, default=0)),
                ("conflicting", models.BigIntegerField(db_default=0, default=0)),
                ("rejected", models.BigIntegerField(db_default=0, default=0)),
                (
                    "rejects_path",
                    models.TextField(blank=True, db_default="", default=""),
                ),
                (
                    "conflicts_path",
                    models.TextField(blank=True, db_default="", default=""),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                ("loaded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "job",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="ingested_file",
                        to="jobs.job",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="KeptOutRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "line",
                    models.BigIntegerField(
                        help_text="Physical line of the file, from 1."
                    ),
                ),
                (
                    "why",
                    models.TextField(
                        choices=[
                            ("rejected", "Rejected"),
                            ("conflicting", "Conflicting"),
                        ]
                    ),
                ),
                ("column", models.TextField(blank=True, db_default="", default="")),
                ("reason", models.TextField()),
                ("value", models.TextField(blank=True, db_default="", default="")),
                ("raw_row", models.JSONField(blank=True, null=True)),
                (
                    "file",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="kept_out_rows",
                        to="ingestion.ingestedfile",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="Transaction",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source", models.TextField()),
                ("txn_id", models.TextField()),
                ("reference_id", models.TextField(blank=True, null=True)),
                ("account_id", models.TextField(blank=True, null=True)),
                ("counterparty_account", models.TextField(blank=True, null=True)),
                ("vpa_or_ifsc", models.TextField(blank=True, null=True)),
                ("amount", models.DecimalField(decimal_places=2, max_digits=18)),
                (
                    "currency",
                    ingestion.models.FixedCharField(
                        db_default="INR", default="INR", max_length=3
                    ),
                ),
                ("status", models.TextField()),
                ("txn_timestamp", models.DateTimeField()),
                ("raw_row", models.JSONField()),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                ("source_txn_id", models.TextField()),
                ("direction", ingestion.models.FixedCharField(max_length=1)),
                ("row_hash", models.BinaryField(max_length=32)),
                (
                    "file",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="transactions",
                        to="ingestion.ingestedfile",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "db_table": "fintech_transactions",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.AddIndex(
            model_name="ingestedfile",
            index=models.Index(
                models.F("tenant"),
                models.OrderBy(models.F("id"), descending=True),
                name="file_newest",
            ),
        ),
        migrations.AddConstraint(
            model_name="ingestedfile",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "rows",
                        django.db.models.expressions.CombinedExpression(
                            django.db.models.expressions.CombinedExpression(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("inserted"), "+", models.F("duplicate")
                                ),
                                "+",
                                models.F("conflicting"),
                            ),
                            "+",
                            models.F("rejected"),
                        ),
                    )
                ),
                name="file_rows_add_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="keptoutrow",
            constraint=models.UniqueConstraint(
                fields=("file", "line", "why"), name="kept_out_row_once"
            ),
        ),
        migrations.AddIndex(
            model_name="transaction",
            index=models.Index(
                models.F("tenant"),
                models.F("reference_id"),
                name="transaction_reference",
            ),
        ),
        migrations.AddIndex(
            model_name="transaction",
            index=models.Index(models.F("file"), name="transaction_file"),
        ),
        migrations.AddConstraint(
            model_name="transaction",
            constraint=models.UniqueConstraint(
                fields=("tenant", "txn_id"), name="transaction_once_per_tenant"
            ),
        ),
        migrations.AddConstraint(
            model_name="transaction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__gte", 0), ("amount__lt", Decimal("10000000000000000"))
                ),
                name="transaction_amount_in_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="transaction",
            constraint=models.CheckConstraint(
                condition=models.Q(("direction__in", ["C", "D"])),
                name="transaction_direction",
            ),
        ),
        migrations.AddConstraint(
            model_name="transaction",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("status__in", ["SUCCESS", "FAILED", "PENDING", "REVERSED"])
                ),
                name="transaction_status",
            ),
        ),
        rls.protect("ingestion_ingestedfile"),
        rls.protect("fintech_transactions"),
        rls.protect("ingestion_keptoutrow"),
        migrations.RunSQL(
            """
            ALTER TABLE ingestion_ingestedfile
                ADD CONSTRAINT file_tenant_id UNIQUE (tenant_id, id),
                ADD CONSTRAINT file_job_of_tenant
                    FOREIGN KEY (tenant_id, job_id) REFERENCES jobs_job (tenant_id, id);
            ALTER TABLE fintech_transactions
                ADD CONSTRAINT transaction_file_of_tenant FOREIGN KEY (tenant_id, file_id)
                    REFERENCES ingestion_ingestedfile (tenant_id, id);
            ALTER TABLE ingestion_keptoutrow
                ADD CONSTRAINT kept_out_file_of_tenant FOREIGN KEY (tenant_id, file_id)
                    REFERENCES ingestion_ingestedfile (tenant_id, id);
            """,
            migrations.RunSQL.noop,
        ),
    ]
