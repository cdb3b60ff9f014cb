import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0002_no_tenant_index'),
        ('jobs', '0005_job_size'),
    ]

    operations = [
        migrations.AlterField(
            model_name='ingestedfile',
            name='job',
            field=models.OneToOneField(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='ingested_file', to='jobs.job'),
        ),
        # The file forgets the job that is pruned, and stays its tenant's.
        migrations.RunSQL(
            """
            ALTER TABLE ingestion_ingestedfile
                DROP CONSTRAINT file_job_of_tenant,
                ADD CONSTRAINT file_job_of_tenant
                    FOREIGN KEY (tenant_id, job_id) REFERENCES jobs_job (tenant_id, id)
                    ON DELETE SET NULL (job_id);
            """,
            """
            ALTER TABLE ingestion_ingestedfile
                DROP CONSTRAINT file_job_of_tenant,
                ADD CONSTRAINT file_job_of_tenant
                    FOREIGN KEY (tenant_id, job_id) REFERENCES jobs_job (tenant_id, id);
            """,
        ),
    ]
