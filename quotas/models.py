"""Quota: the limits of one tenant."""

from decimal import Decimal
from typing import ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from tenants.scoping import TenantOwned

MIN_WEIGHT = Decimal("0.001")
MAX_WEIGHT = Decimal(10_000)
#: The largest cap that the database holds.
MAX_CAP = 2**31 - 1


class Quota(TenantOwned):
    """What a tenant gets between the others, and what it may never exceed."""

    tenant = models.OneToOneField(
        "tenants.Tenant",
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="quota",
    )
    weight = models.DecimalField(
        max_digits=8,
        decimal_places=3,
        default=Decimal(1),
        db_default=Decimal(1),
        validators=[MinValueValidator(MIN_WEIGHT), MaxValueValidator(MAX_WEIGHT)],
        help_text="Share of worker time against the other tenants that have work.",
    )
    max_in_flight = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Most jobs of this tenant at work at once; empty means no cap.",
    )
    elastic_cap = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Most jobs at work at once while another tenant's job could start "
        "instead; alone it may have every slot. Empty means no such cap.",
    )
    rate_per_second = models.DecimalField(
        max_digits=10,
        decimal_places=3,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.001"))],
        help_text="Most jobs dispatched per second, over time; empty means no limit.",
    )
    burst = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Jobs that may be dispatched at once after a quiet while.",
    )

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(weight__gte=MIN_WEIGHT, weight__lte=MAX_WEIGHT),
                name="quota_weight_in_range",
            ),
            models.CheckConstraint(
                condition=models.Q(max_in_flight__isnull=True)
                | models.Q(max_in_flight__gte=1),
                name="quota_max_in_flight_positive",
            ),
            models.CheckConstraint(
                condition=models.Q(elastic_cap__isnull=True)
                | models.Q(elastic_cap__gte=1),
                name="quota_elastic_cap_positive",
            ),
            models.CheckConstraint(
                condition=models.Q(rate_per_second__isnull=True)
                | models.Q(rate_per_second__gt=0),
                name="quota_rate_positive",
            ),
            models.CheckConstraint(
                condition=models.Q(burst__isnull=True) | models.Q(burst__gte=1),
                name="quota_burst_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"quota of {self.tenant_id}"
