import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0004_file_parts'),
        ('jobs', '0009_bulk_decisions'),
        ('tenants', '0005_retention'),
    ]

    operations = [
        migrations.AddField(
            model_name='ingestedfile',
            name='content_digest',
            field=models.TextField(blank=True, db_default='', default='', help_text='By which the same content is known again; docs/files.md.'),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='same_as',
            field=models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='ingestion.ingestedfile'),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='source_version',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddIndex(
            model_name='ingestedfile',
            index=models.Index(condition=models.Q(('content_digest', ''), _negated=True), fields=['tenant', 'source', 'size'], name='file_by_size'),
        ),
        migrations.RunSQL(
            """
            ALTER TABLE ingestion_ingestedfile
                ADD CONSTRAINT file_same_of_tenant FOREIGN KEY (tenant_id, same_as_id)
                    REFERENCES ingestion_ingestedfile (tenant_id, id);
            """,
            "ALTER TABLE ingestion_ingestedfile DROP CONSTRAINT file_same_of_tenant;",
        ),
    ]
