import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from tenants import rls


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Reconciliation",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("internal_txn_id", models.TextField(blank=True, null=True)),
                ("external_txn_id", models.TextField(blank=True, null=True)),
                (
                    "mismatch_type",
                    models.TextField(
                        choices=[
                            ("missing_internal", "Missing Internal"),
                            ("missing_external", "Missing External"),
                            ("amount", "Amount"),
                            ("currency", "Currency"),
                            ("status", "Status"),
                            ("date", "Date"),
                            ("duplicate", "Duplicate"),
                            ("ambiguous", "Ambiguous"),
                            ("fee", "Fee"),
                            ("stale_pending", "Stale Pending"),
                            ("statement_balance", "Statement Balance"),
                            ("file_gap", "File Gap"),
                        ]
                    ),
                ),
                ("notes", models.TextField(blank=True, db_default="", default="")),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
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
                "db_table": "reconciliations",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "mismatch_type__in",
                                [
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
                                ],
                            )
                        ),
                        name="reconciliation_mismatch_type",
                    )
                ],
            },
        ),
        rls.protect("reconciliations"),
    ]
