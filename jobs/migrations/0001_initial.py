import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import jobs.models
from django.db import migrations, models

from tenants import rls


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenants", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="LeaderLease",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False)),
                ("holder", models.TextField(blank=True, db_default="", default="")),
                ("term", models.BigIntegerField(db_default=0, default=0)),
                (
                    "expires_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("name", models.TextField(primary_key=True, serialize=False)),
                ("pool", models.TextField()),
                ("slots", models.PositiveIntegerField()),
                (
                    "started_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                (
                    "last_seen_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Job",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=jobs.models.new_job_id,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("kind", models.TextField()),
                ("payload", models.JSONField(default=dict)),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        choices=[(0, "urgent"), (1, "high"), (2, "normal"), (3, "low")],
                        default=2,
                    ),
                ),
                (
                    "state",
                    models.TextField(
                        choices=[
                            ("scheduled", "scheduled"),
                            ("queued", "queued"),
                            ("dispatched", "dispatched"),
                            ("running", "running"),
                            ("retryable", "retryable"),
                            ("succeeded", "succeeded"),
                            ("dead", "dead"),
                            ("cancelled", "cancelled"),
                        ]
                    ),
                ),
                (
                    "run_after",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                (
                    "max_attempts",
                    models.PositiveSmallIntegerField(
                        validators=[django.core.validators.MinValueValidator(1)]
                    ),
                ),
                ("attempt_count", models.PositiveIntegerField(db_default=0, default=0)),
                ("failed_count", models.PositiveIntegerField(db_default=0, default=0)),
                ("lost_count", models.PositiveIntegerField(db_default=0, default=0)),
                ("checkpoint", models.JSONField(blank=True, null=True)),
                ("progress_done", models.BigIntegerField(db_default=0, default=0)),
                ("progress_total", models.BigIntegerField(blank=True, null=True)),
                (
                    "progress_unit",
                    models.TextField(blank=True, db_default="", default=""),
                ),
                ("result", models.JSONField(blank=True, null=True)),
                ("error", models.JSONField(blank=True, null=True)),
                (
                    "fingerprint",
                    models.TextField(blank=True, db_default="", default=""),
                ),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                ("dispatched_at", models.DateTimeField(blank=True, null=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
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
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("number", models.PositiveIntegerField()),
                ("pool", models.TextField()),
                ("worker", models.TextField(blank=True, db_default="", default="")),
                ("term", models.BigIntegerField()),
                ("held_us", models.BigIntegerField()),
                ("settled_us", models.BigIntegerField(blank=True, null=True)),
                ("weight", models.BigIntegerField()),
                ("is_billable", models.BooleanField(blank=True, null=True)),
                (
                    "outcome",
                    models.TextField(
                        blank=True,
                        choices=[
                            ("succeeded", "succeeded"),
                            ("failed", "failed"),
                            ("lost", "lost"),
                            ("yielded", "yielded"),
                            ("cancelled", "cancelled"),
                        ],
                        null=True,
                    ),
                ),
                (
                    "dispatched_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("lease_expires_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.JSONField(blank=True, null=True)),
                ("traceback", models.TextField(blank=True, db_default="", default="")),
                (
                    "tenant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="attempts",
                        to="jobs.job",
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
            name="UsageEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source", models.TextField()),
                ("meter", models.TextField()),
                ("quantity", models.BigIntegerField()),
                (
                    "occurred_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now()
                    ),
                ),
                (
                    "job",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="usage_events",
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
                "db_table": "usage_events",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("tenant"),
                models.F("priority"),
                models.F("id"),
                condition=models.Q(("state", "queued")),
                name="job_queue",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("run_after"),
                condition=models.Q(("state__in", ["scheduled", "retryable"])),
                name="job_due",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("tenant"),
                models.OrderBy(models.F("id"), descending=True),
                name="job_newest",
            ),
        ),
        migrations.AddIndex(
            model_name="job",
            index=models.Index(
                models.F("state"),
                models.OrderBy(models.F("id"), descending=True),
                name="job_by_state",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "state__in",
                        [
                            "scheduled",
                            "queued",
                            "dispatched",
                            "running",
                            "retryable",
                            "succeeded",
                            "dead",
                            "cancelled",
                        ],
                    )
                ),
                name="job_state",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(("priority__in", [0, 1, 2, 3])), name="job_priority"
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(("max_attempts__gte", 1)),
                name="job_max_attempts_positive",
            ),
        ),
        migrations.AddConstraint(
            model_name="job",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("finished_at__isnull", False),
                        ("state__in", ["cancelled", "dead", "succeeded"]),
                    ),
                    models.Q(
                        models.Q(
                            ("state__in", ["cancelled", "dead", "succeeded"]),
                            _negated=True,
                        ),
                        ("finished_at__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="job_finished_at_when_terminal",
            ),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(
                models.F("pool"),
                condition=models.Q(("outcome", None)),
                name="attempt_live",
            ),
        ),
        migrations.AddIndex(
            model_name="attempt",
            index=models.Index(models.F("finished_at"), name="attempt_finished"),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(
                fields=("job", "number"), name="attempt_number"
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.UniqueConstraint(
                condition=models.Q(("outcome", None)),
                fields=("job",),
                name="attempt_one_live",
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("outcome", None),
                    (
                        "outcome__in",
                        ["succeeded", "failed", "lost", "yielded", "cancelled"],
                    ),
                    _connector="OR",
                ),
                name="attempt_outcome",
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("finished_at__isnull", True),
                        ("outcome__isnull", True),
                        ("settled_us__isnull", True),
                    ),
                    models.Q(
                        ("finished_at__isnull", False),
                        ("is_billable__isnull", False),
                        ("outcome__isnull", False),
                        ("settled_us__gte", 0),
                    ),
                    _connector="OR",
                ),
                name="attempt_settled_with_outcome",
            ),
        ),
        migrations.AddConstraint(
            model_name="attempt",
            constraint=models.CheckConstraint(
                condition=models.Q(("held_us__gte", 0)), name="attempt_held"
            ),
        ),
        migrations.AddIndex(
            model_name="usageevent",
            index=models.Index(
                models.F("tenant"),
                models.F("meter"),
                models.F("occurred_at"),
                name="usage_event_period",
            ),
        ),
        migrations.AddConstraint(
            model_name="usageevent",
            constraint=models.UniqueConstraint(
                fields=("tenant", "source"), name="usage_event_counted_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="usageevent",
            constraint=models.CheckConstraint(
                condition=models.Q(("quantity__gte", 0)), name="usage_event_quantity"
            ),
        ),
        rls.protect("jobs_job"),
        rls.protect("jobs_attempt"),
        rls.protect("usage_events"),
        # A row can only point to a job of its own tenant.
        migrations.RunSQL(
            """
            ALTER TABLE jobs_job ADD CONSTRAINT job_tenant_id UNIQUE (tenant_id, id);
            ALTER TABLE jobs_attempt ADD CONSTRAINT attempt_job_of_tenant
                FOREIGN KEY (tenant_id, job_id) REFERENCES jobs_job (tenant_id, id);
            ALTER TABLE usage_events ADD CONSTRAINT usage_event_job_of_tenant
                FOREIGN KEY (tenant_id, job_id) REFERENCES jobs_job (tenant_id, id);
            """,
            migrations.RunSQL.noop,
        ),
        # The moves of jobs/lifecycle.py; a test compares the two.
        migrations.RunSQL(
            """
            CREATE FUNCTION job_state_guard() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF (OLD.state || ' ' || NEW.state) NOT IN (
                    'scheduled queued', 'retryable queued', 'queued dispatched',
                    'dispatched queued', 'dispatched running', 'running queued',
                    'running dead', 'running retryable', 'running succeeded',
                    'dead queued', 'scheduled cancelled', 'queued cancelled',
                    'retryable cancelled', 'dispatched cancelled', 'running cancelled'
                ) THEN
                    RAISE EXCEPTION 'a % job cannot become %', OLD.state, NEW.state
                        USING ERRCODE = 'check_violation', CONSTRAINT = 'job_lifecycle';
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER job_lifecycle BEFORE UPDATE OF state ON jobs_job
                FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state)
                EXECUTE FUNCTION job_state_guard();

            CREATE FUNCTION settled_once_guard() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'row % of % is settled', OLD.id, TG_TABLE_NAME
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'settled_once';
            END $$;
            CREATE TRIGGER attempt_settled_once BEFORE UPDATE ON jobs_attempt
                FOR EACH ROW WHEN (OLD.outcome IS NOT NULL)
                EXECUTE FUNCTION settled_once_guard();
            CREATE TRIGGER usage_event_immutable BEFORE UPDATE ON usage_events
                FOR EACH ROW EXECUTE FUNCTION settled_once_guard();
            """,
            """
            DROP TRIGGER usage_event_immutable ON usage_events;
            DROP TRIGGER attempt_settled_once ON jobs_attempt;
            DROP FUNCTION settled_once_guard();
            DROP TRIGGER job_lifecycle ON jobs_job;
            DROP FUNCTION job_state_guard();
            """,
        ),
        # Leave room in each page for the rows that are updated in place.
        migrations.RunSQL(
            """
            ALTER TABLE jobs_job SET (fillfactor = 70);
            ALTER TABLE jobs_attempt SET (fillfactor = 70);
            ALTER TABLE jobs_worker SET (fillfactor = 50);
            """,
            migrations.RunSQL.noop,
        ),
    ]
