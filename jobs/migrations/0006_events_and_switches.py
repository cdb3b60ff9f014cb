import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from tenants import rls


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0005_job_size'),
        ('tenants', '0004_switches'),
    ]

    operations = [
        migrations.CreateModel(
            name='JobEvent',
            fields=[
                ('pk', models.CompositePrimaryKey('job_id', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('id', models.BigIntegerField()),
                ('job', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='events', to='jobs.job')),
                ('tenant', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
                ('attempt', models.PositiveIntegerField()),
                ('event', models.TextField()),
                ('from_state', models.TextField()),
                ('to_state', models.TextField()),
                ('actor', models.TextField()),
                ('reason', models.TextField()),
                ('at', models.DateTimeField()),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
            },
        ),
        migrations.CreateModel(
            name='Switch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('scope', models.TextField(choices=[('kind', 'Kind'), ('pool', 'Pool')])),
                ('name', models.TextField()),
                ('is_accepting', models.BooleanField(db_default=True, default=True, verbose_name='accepts new jobs')),
                ('is_dispatching', models.BooleanField(db_default=True, default=True, verbose_name='dispatches')),
                ('is_scheduling', models.BooleanField(db_default=True, default=True, verbose_name='queues scheduled jobs')),
                ('reason', models.TextField(blank=True, db_default='', default='')),
                ('changed_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                'verbose_name_plural': 'switches',
            },
        ),
        migrations.AlterModelOptions(
            name='job',
            options={'base_manager_name': 'objects', 'default_manager_name': 'objects', 'permissions': [('cancel_job', 'Can cancel jobs')]},
        ),
        migrations.AddField(
            model_name='job',
            name='cancel_requested_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='discarded_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='job',
            name='event',
            field=models.TextField(db_default='created', default='created'),
        ),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(models.F('cancel_requested_at'), condition=models.Q(('cancel_requested_at__isnull', False), ('finished_at', None)), name='job_to_cancel'),
        ),
        migrations.AddConstraint(
            model_name='switch',
            constraint=models.UniqueConstraint(fields=('scope', 'name'), name='switch_of'),
        ),
        # Whoever adds a job may read which kinds and pools take some.
        migrations.RunSQL(
            "GRANT SELECT ON jobs_switch TO dtq_tenant", migrations.RunSQL.noop
        ),
        rls.protect("jobs_jobevent"),
        migrations.RunSQL(
            "REVOKE UPDATE, DELETE ON jobs_jobevent FROM dtq_tenant",
            migrations.RunSQL.noop,
        ),
        # The moves of jobs/lifecycle.py; a test compares the two. What is legal is
        # tested by the condition, which is evaluated without calling the function.
        migrations.RunSQL(
            """
            DROP TRIGGER job_lifecycle ON jobs_job;
            CREATE OR REPLACE FUNCTION job_state_guard() RETURNS trigger
            LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'a % job cannot become % by the event %',
                    OLD.state, NEW.state, NEW.event
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'job_lifecycle';
            END $$;
            CREATE TRIGGER job_lifecycle BEFORE UPDATE OF state, event ON jobs_job
                FOR EACH ROW WHEN (
                    (OLD.state, OLD.event) IS DISTINCT FROM (NEW.state, NEW.event)
                    AND NOT CASE OLD.state
                    WHEN 'queued' THEN (NEW.event, NEW.state) IN (
                        ('dispatched', 'dispatched'), ('cancelled', 'cancelled'))
                    WHEN 'dispatched' THEN (NEW.event, NEW.state) IN (
                        ('started', 'running'), ('not_started', 'queued'),
                        ('poisoned', 'dead'), ('cancelled', 'cancelled'))
                    WHEN 'running' THEN (NEW.event, NEW.state) IN (
                        ('finished', 'succeeded'), ('yielded', 'queued'),
                        ('lost', 'queued'), ('poisoned', 'dead'),
                        ('failed', 'retryable'), ('buried', 'dead'),
                        ('cancelled', 'cancelled'), ('cancel_requested', 'running'))
                    WHEN 'dead' THEN (NEW.event, NEW.state) IN (
                        ('revived', 'queued'), ('discarded', 'dead'),
                        ('restored', 'dead'))
                    WHEN 'scheduled' THEN (NEW.event, NEW.state) IN (
                        ('due', 'queued'), ('cancelled', 'cancelled'))
                    WHEN 'retryable' THEN (NEW.event, NEW.state) IN (
                        ('due', 'queued'), ('cancelled', 'cancelled'))
                    ELSE false END
                ) EXECUTE FUNCTION job_state_guard();
            """,
            """
            DROP TRIGGER job_lifecycle ON jobs_job;
            CREATE TRIGGER job_lifecycle BEFORE UPDATE OF state ON jobs_job
                FOR EACH ROW WHEN (false) EXECUTE FUNCTION job_state_guard();
            """,
        ),
        # One statement writes the events of all the jobs that a statement moved. Who
        # and why come with the transaction (tenants/acting.py); a failure says why
        # itself. Rows of one job are numbered in order: its row is locked meanwhile.
        migrations.RunSQL(
            """
            ALTER TABLE jobs_jobevent ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY;

            CREATE FUNCTION job_event_of_new() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO jobs_jobevent (tenant_id, job_id, attempt, event, from_state,
                                           to_state, actor, reason, at)
                SELECT tenant_id, id, attempt_count, event, '', state,
                       COALESCE(current_setting('app.actor', true), ''), '',
                       clock_timestamp()
                FROM new_jobs;
                RETURN NULL;
            END $$;
            CREATE TRIGGER job_event_of_new AFTER INSERT ON jobs_job
                REFERENCING NEW TABLE AS new_jobs
                FOR EACH STATEMENT EXECUTE FUNCTION job_event_of_new();

            CREATE FUNCTION job_event_of_move() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO jobs_jobevent (tenant_id, job_id, attempt, event, from_state,
                                           to_state, actor, reason, at)
                SELECT n.tenant_id, n.id, n.attempt_count, n.event, o.state, n.state,
                       COALESCE(current_setting('app.actor', true), ''),
                       CASE WHEN n.event IN ('dispatched', 'started', 'finished', 'due')
                            THEN ''
                            WHEN n.event IN ('failed', 'buried', 'poisoned')
                            THEN COALESCE(n.error ->> 'code', '')
                            ELSE COALESCE(current_setting('app.reason', true), '')
                       END, clock_timestamp()
                FROM new_jobs n JOIN old_jobs o ON o.id = n.id
                WHERE (o.state, o.event) IS DISTINCT FROM (n.state, n.event);
                RETURN NULL;
            END $$;
            CREATE TRIGGER job_event_of_move AFTER UPDATE ON jobs_job
                REFERENCING OLD TABLE AS old_jobs NEW TABLE AS new_jobs
                FOR EACH STATEMENT EXECUTE FUNCTION job_event_of_move();

            CREATE FUNCTION job_event_guard() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                RAISE EXCEPTION 'what happened to a job is not changed afterwards'
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'job_event_kept';
            END $$;
            CREATE TRIGGER job_event_kept BEFORE UPDATE ON jobs_jobevent
                FOR EACH STATEMENT EXECUTE FUNCTION job_event_guard();
            CREATE TRIGGER job_event_pruned BEFORE DELETE ON jobs_jobevent
                FOR EACH ROW
                WHEN (current_setting('app.pruning', true) IS DISTINCT FROM 'on')
                EXECUTE FUNCTION job_event_guard();
            """,
            """
            DROP TRIGGER job_event_of_move ON jobs_job;
            DROP TRIGGER job_event_of_new ON jobs_job;
            DROP FUNCTION job_event_of_move();
            DROP FUNCTION job_event_of_new();
            DROP TABLE jobs_jobevent CASCADE;
            CREATE TABLE jobs_jobevent ();
            DROP FUNCTION job_event_guard();
            """,
        ),
    ]
