"""Tier, Tenant, Membership and ApiKey."""

from typing import Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import (
    MaxValueValidator,
    MinValueValidator,
    RegexValidator,
)
from django.db import models
from django.db.models.functions import Now

from tenants.scoping import ScopedManager, TenantOwned

#: A slug names the tenant in keys, object paths and queue names alike.
slug_validator = RegexValidator(
    r"\A[a-z0-9][a-z0-9_-]{0,62}\Z",
    "Use 1 to 63 lower-case letters, digits, '-' or '_', starting with a letter "
    "or a digit.",
)


class Tier(models.Model):
    """A weighted class of tenants, with the pool its tenants run in by default."""

    name = models.TextField(primary_key=True, validators=[slug_validator])
    weight = models.PositiveIntegerField(
        default=1, db_default=1, validators=[MinValueValidator(1)]
    )
    max_in_flight = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Most jobs of all its tenants together at work at once in one pool; "
        "empty means no cap.",
    )
    default_pool = models.TextField(
        default="shared", db_default="shared", validators=[slug_validator]
    )

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(weight__gte=1), name="tier_weight_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(max_in_flight__isnull=True)
                | models.Q(max_in_flight__gte=1),
                name="tier_max_in_flight_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.name


#: Most characters of a name or a reason, which are one line on a screen.
MOST_CHARACTERS = 200


def check_line(field: str, text: str) -> None:
    """Raise ValidationError for a text that a screen cannot show as one line."""
    if len(text) > MOST_CHARACTERS or not text.isprintable():
        raise ValidationError(
            {field: f"Use one line of at most {MOST_CHARACTERS} printable characters."}
        )


def line_of(field: str, text: str) -> str:
    """Return what a person typed as one line: spaces and line ends become one space.

    Raises ValidationError for a text that is no line even so.
    """
    line = " ".join(text.split())
    check_line(field, line)
    return line


#: A century: longer ones may lie before the calendar.
MAX_RETENTION_DAYS = 36_500


class Tenant(models.Model):
    """The paying isolation boundary; its slug is the key everywhere."""

    slug = models.TextField(primary_key=True, validators=[slug_validator])
    name = models.TextField(blank=True, default="", db_default="")
    tier = models.ForeignKey(Tier, on_delete=models.PROTECT, related_name="tenants")
    pool = models.TextField(
        blank=True,
        default="",
        db_default="",
        validators=[slug_validator],
        help_text="Own pool of workers; empty means the tier's.",
    )
    is_paused = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Stops dispatching this tenant's jobs; the API keeps accepting them.",
    )
    paused_reason = models.TextField(blank=True, default="", db_default="")
    is_accepting = models.BooleanField(
        "takes new jobs",
        default=True,
        db_default=True,
        help_text="Without it the API refuses new jobs; those it has go on.",
    )
    is_scheduling = models.BooleanField(
        "queues scheduled jobs",
        default=True,
        db_default=True,
        help_text="Without it scheduled jobs stay scheduled when their time comes.",
    )
    retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_RETENTION_DAYS)],
        help_text="Days that jobs are kept after their end; empty means "
        "RETENTION_DAYS.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[ScopedManager[Any]] = ScopedManager("slug")

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return self.slug

    def clean(self) -> None:
        """Raise ValidationError for a name that is not one line."""
        check_line("name", self.name)

    @property
    def pool_name(self) -> str:
        """Return the pool this tenant's jobs run in."""
        return self.pool or self.tier.default_pool


class Membership(TenantOwned):
    """A person's role in a tenant."""

    class Role(models.TextChoices):
        VIEWER = "viewer"
        OPERATOR = "operator"
        ADMIN = "admin"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.TextField(choices=Role.choices, default=Role.VIEWER)

    class Meta(TenantOwned.Meta):
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["tenant", "user"], name="membership_once_per_tenant"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} in {self.tenant_id} as {self.role}"


class ApiKey(TenantOwned):
    """A tenant's credential; the secret is shown once and only its digest is kept."""

    id = models.TextField(
        primary_key=True, help_text="The public part, shown to tell keys apart."
    )
    name = models.TextField(blank=True, default="", db_default="")
    digest = models.TextField(
        unique=True, editable=False, help_text="SHA-256 of the whole key, in hex."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta(TenantOwned.Meta):
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"fq_live_{self.id}_…"
