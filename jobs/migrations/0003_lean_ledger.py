import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0002_dead_letter'),
        ('tenants', '0002_no_tenant_index'),
    ]

    operations = [
        migrations.CreateModel(
            name='SchedulerSnapshot',
            fields=[
                ('pool', models.TextField(primary_key=True, serialize=False)),
                ('last_attempt_id', models.BigIntegerField()),
                ('state', models.JSONField()),
                ('taken_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.RemoveIndex(
            model_name='attempt',
            name='attempt_finished',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_newest',
        ),
        migrations.RemoveIndex(
            model_name='job',
            name='job_by_state',
        ),
        migrations.AddField(
            model_name='attempt',
            name='is_bundled',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='attempt',
            name='tier_weight',
            field=models.BigIntegerField(db_default=1000, default=1000),
        ),
        migrations.AddField(
            model_name='job',
            name='innocent_count',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        # Taken away and put back: dropping the index on the job drops it as well.
        migrations.RemoveConstraint(
            model_name='attempt',
            name='attempt_one_live',
        ),
        migrations.AlterField(
            model_name='attempt',
            name='job',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='attempts', to='jobs.job'),
        ),
        migrations.AddConstraint(
            model_name='attempt',
            constraint=models.UniqueConstraint(fields=['job'], condition=models.Q(('outcome', None)), name='attempt_one_live'),
        ),
        migrations.AlterField(
            model_name='attempt',
            name='tenant',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant'),
        ),
        migrations.AlterField(
            model_name='job',
            name='tenant',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant'),
        ),
        migrations.AlterField(
            model_name='usageevent',
            name='job',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='usage_events', to='jobs.job'),
        ),
        migrations.AlterField(
            model_name='usageevent',
            name='tenant',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant'),
        ),
        migrations.AddIndex(
            model_name='attempt',
            index=models.Index(models.F('finished_at'), condition=models.Q(('finished_at__isnull', False)), name='attempt_finished'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(models.F('state'), models.OrderBy(models.F('id'), descending=True), condition=models.Q(('state__in', ['scheduled', 'retryable', 'dead', 'cancelled'])), name='job_by_state'),
        ),
        # A job's row and its attempt's are each updated three times, and indexes of what
        # is live only stay short where dead entries are cleared often.
        migrations.RunSQL(
            """
            ALTER TABLE jobs_job SET (autovacuum_vacuum_scale_factor = 0.02,
                autovacuum_vacuum_threshold = 10000);
            ALTER TABLE jobs_attempt SET (autovacuum_vacuum_scale_factor = 0.02,
                autovacuum_vacuum_threshold = 10000);
            """,
            migrations.RunSQL.noop,
        ),
        # Usage outlives the job it was counted for.
        migrations.RunSQL(
            "ALTER TABLE usage_events DROP CONSTRAINT usage_event_job_of_tenant",
            """
            ALTER TABLE usage_events ADD CONSTRAINT usage_event_job_of_tenant
                FOREIGN KEY (tenant_id, job_id) REFERENCES jobs_job (tenant_id, id)
            """,
        ),
        # The legal moves are tested by the trigger's condition, which is evaluated
        # without calling the function: that only raises.
        migrations.RunSQL(
            """
            DROP TRIGGER job_lifecycle ON jobs_job;
            CREATE OR REPLACE FUNCTION job_state_guard() RETURNS trigger
            LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'a % job cannot become %', OLD.state, NEW.state
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'job_lifecycle';
            END $$;
            CREATE TRIGGER job_lifecycle BEFORE UPDATE OF state ON jobs_job
                FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state AND NOT (
                    (OLD.state = 'queued' AND NEW.state IN ('dispatched', 'cancelled'))
                    OR (OLD.state = 'dispatched'
                        AND NEW.state IN ('running', 'queued', 'cancelled'))
                    OR (OLD.state = 'running'
                        AND NEW.state IN ('succeeded', 'queued', 'retryable', 'dead',
                                          'cancelled'))
                    OR (OLD.state IN ('scheduled', 'retryable')
                        AND NEW.state IN ('queued', 'cancelled'))
                    OR (OLD.state = 'dead' AND NEW.state = 'queued')
                ))
                EXECUTE FUNCTION job_state_guard();
            """,
            migrations.RunSQL.noop,
        ),
    ]
