from django.db import migrations, models

# The moves of jobs/lifecycle.py; a test compares the two. As in 0006, with the event
# `edited` of dead jobs.
_TRIGGER = """
    DROP TRIGGER job_lifecycle ON jobs_job;
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
                ('restored', 'dead'){more})
            WHEN 'scheduled' THEN (NEW.event, NEW.state) IN (
                ('due', 'queued'), ('cancelled', 'cancelled'))
            WHEN 'retryable' THEN (NEW.event, NEW.state) IN (
                ('due', 'queued'), ('cancelled', 'cancelled'))
            ELSE false END
        ) EXECUTE FUNCTION job_state_guard();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0009_bulk_decisions'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='deadletter',
            options={'permissions': [('retry_deadletter', 'Can retry dead letters'), ('discard_deadletter', 'Can discard and restore dead letters'), ('edit_deadletter', 'Can edit the payloads of dead letters')], 'verbose_name': 'dead letter'},
        ),
        migrations.AddField(
            model_name='job',
            name='original_payload',
            field=models.JSONField(blank=True, null=True),
        ),
        migrations.RunSQL(
            _TRIGGER.format(more=", ('edited', 'dead')"), _TRIGGER.format(more=''),
        ),
    ]
