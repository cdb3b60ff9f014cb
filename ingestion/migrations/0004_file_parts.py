import django.db.models.deletion
from django.db import migrations, models

import tenants.scoping
from tenants import rls


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0003_file_outlives_job'),
        ('tenants', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='FilePart',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('part', models.PositiveSmallIntegerField()),
                ('line', models.BigIntegerField(help_text='The last line that it has written.')),
                ('rows', models.BigIntegerField()),
                ('inserted', models.BigIntegerField()),
                ('duplicate', models.BigIntegerField()),
                ('conflicting', models.BigIntegerField()),
                ('rejected', models.BigIntegerField()),
                ('file', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='parts', to='ingestion.ingestedfile')),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('file', 'part'), name='file_part_once')],
            },
        ),
        rls.protect("ingestion_filepart"),
        migrations.RunSQL(
            """
            ALTER TABLE ingestion_filepart
                ADD CONSTRAINT file_part_of_tenant FOREIGN KEY (tenant_id, file_id)
                    REFERENCES ingestion_ingestedfile (tenant_id, id);
            """,
            migrations.RunSQL.noop,
        ),
    ]
