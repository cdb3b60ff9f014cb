import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0006_statements'),
        ('jobs', '0009_bulk_decisions'),
        ('tenants', '0005_retention'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='ingestedfile',
            options={'base_manager_name': 'objects', 'default_manager_name': 'objects', 'permissions': [('release_ingestedfile', 'Can release and refuse quarantined files')]},
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='decided_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='decided_by',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='decided_why',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='quarantine_job',
            field=models.OneToOneField(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='quarantined_file', to='jobs.job'),
        ),
        migrations.AddConstraint(
            model_name='ingestedfile',
            constraint=models.CheckConstraint(condition=models.Q(('decided_at', None), models.Q(('decided_why', ''), _negated=True), _connector='OR'), name='file_decided_for_a_reason'),
        ),
        # The file forgets a job that is pruned.
        migrations.RunSQL(
            """
            ALTER TABLE ingestion_ingestedfile
                ADD CONSTRAINT file_quarantine_job_of_tenant
                    FOREIGN KEY (tenant_id, quarantine_job_id)
                    REFERENCES jobs_job (tenant_id, id)
                    ON DELETE SET NULL (quarantine_job_id);
            """,
            """
            ALTER TABLE ingestion_ingestedfile
                DROP CONSTRAINT file_quarantine_job_of_tenant;
            """,
        ),
    ]
