import django.core.validators
import django.db.models.deletion
from decimal import Decimal
from django.db import migrations, models

from tenants import rls


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Quota",
            fields=[
                (
                    "tenant",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="quota",
                        serialize=False,
                        to="tenants.tenant",
                    ),
                ),
                (
                    "weight",
                    models.DecimalField(
                        db_default=Decimal("1"),
                        decimal_places=3,
                        default=Decimal("1"),
                        help_text="Share of worker time against the other tenants that have work.",
                        max_digits=8,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0.001")),
                            django.core.validators.MaxValueValidator(Decimal("10000")),
                        ],
                    ),
                ),
                (
                    "max_in_flight",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Most jobs of this tenant at work at once; empty means no cap.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "rate_per_second",
                    models.DecimalField(
                        blank=True,
                        decimal_places=3,
                        help_text="Most jobs dispatched per second, over time; empty means no limit.",
                        max_digits=10,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(Decimal("0.001"))
                        ],
                    ),
                ),
                (
                    "burst",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Jobs that may be dispatched at once after a quiet while.",
                        null=True,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
            ],
            options={
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("weight__gte", Decimal("0.001")),
                            ("weight__lte", Decimal("10000")),
                        ),
                        name="quota_weight_in_range",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("max_in_flight__isnull", True),
                            ("max_in_flight__gte", 1),
                            _connector="OR",
                        ),
                        name="quota_max_in_flight_positive",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("rate_per_second__isnull", True),
                            ("rate_per_second__gt", 0),
                            _connector="OR",
                        ),
                        name="quota_rate_positive",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("burst__isnull", True), ("burst__gte", 1), _connector="OR"
                        ),
                        name="quota_burst_positive",
                    ),
                ],
            },
        ),
        rls.protect("quotas_quota", writable=False),
    ]
