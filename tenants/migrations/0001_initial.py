import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

from tenants import rls


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL(rls.CREATE_ROLES, migrations.RunSQL.noop),
        migrations.CreateModel(
            name="Tenant",
            fields=[
                (
                    "slug",
                    models.TextField(
                        primary_key=True,
                        serialize=False,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z0-9][a-z0-9_-]{0,62}\\Z",
                                "Use 1 to 63 lower-case letters, digits, '-' or '_', starting with a letter or a digit.",
                            )
                        ],
                    ),
                ),
                ("name", models.TextField(blank=True, db_default="", default="")),
                (
                    "pool",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Own pool of workers; empty means the tier's.",
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z0-9][a-z0-9_-]{0,62}\\Z",
                                "Use 1 to 63 lower-case letters, digits, '-' or '_', starting with a letter or a digit.",
                            )
                        ],
                    ),
                ),
                (
                    "is_paused",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Stops dispatching this tenant's jobs; the API keeps accepting them.",
                    ),
                ),
                (
                    "paused_reason",
                    models.TextField(blank=True, db_default="", default=""),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
            ],
            options={
                "base_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                (
                    "id",
                    models.TextField(
                        help_text="The public part, shown to tell keys apart.",
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("name", models.TextField(blank=True, db_default="", default="")),
                (
                    "digest",
                    models.TextField(
                        editable=False,
                        help_text="SHA-256 of the whole key, in hex.",
                        unique=True,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                    ),
                ),
                (
                    "last_used_at",
                    models.DateTimeField(blank=True, editable=False, null=True),
                ),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "revoked_at",
                    models.DateTimeField(blank=True, editable=False, null=True),
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
                "verbose_name": "API key",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="Tier",
            fields=[
                (
                    "name",
                    models.TextField(
                        primary_key=True,
                        serialize=False,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z0-9][a-z0-9_-]{0,62}\\Z",
                                "Use 1 to 63 lower-case letters, digits, '-' or '_', starting with a letter or a digit.",
                            )
                        ],
                    ),
                ),
                (
                    "weight",
                    models.PositiveIntegerField(
                        db_default=1,
                        default=1,
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "default_pool",
                    models.TextField(
                        db_default="shared",
                        default="shared",
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[a-z0-9][a-z0-9_-]{0,62}\\Z",
                                "Use 1 to 63 lower-case letters, digits, '-' or '_', starting with a letter or a digit.",
                            )
                        ],
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("weight__gte", 1)),
                        name="tier_weight_positive",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="tenant",
            name="tier",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="tenants",
                to="tenants.tier",
            ),
        ),
        migrations.CreateModel(
            name="Membership",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "role",
                    models.TextField(
                        choices=[
                            ("viewer", "Viewer"),
                            ("operator", "Operator"),
                            ("admin", "Admin"),
                        ],
                        default="viewer",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to=settings.AUTH_USER_MODEL,
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
                "constraints": [
                    models.UniqueConstraint(
                        fields=("tenant", "user"), name="membership_once_per_tenant"
                    )
                ],
            },
        ),
        rls.protect("tenants_tenant", "slug", writable=False),
        rls.protect("tenants_membership"),
        rls.protect("tenants_apikey"),
        migrations.RunSQL(
            """
            INSERT INTO tenants_tier (name, weight)
            VALUES ('standard', 1), ('gold', 2), ('platinum', 4);
            GRANT SELECT ON tenants_tier TO dtq_tenant;
            """,
            migrations.RunSQL.noop,
        ),
    ]
