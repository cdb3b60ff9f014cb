import django.db.models.deletion
import ingestion.models
from django.db import migrations, models

from tenants import rls


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0005_content_digest'),
        ('tenants', '0005_retention'),
    ]

    operations = [
        migrations.AddField(
            model_name='ingestedfile',
            name='fault_count',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='statement_count',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='totals',
            field=models.JSONField(db_default=models.Value([], models.JSONField()), default=list),
        ),
        migrations.CreateModel(
            name='FileFault',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('line', models.BigIntegerField(help_text='Where the file says so.')),
                ('control', models.TextField()),
                ('expected', models.TextField(blank=True)),
                ('found', models.TextField(blank=True)),
                ('file', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='faults', to='ingestion.ingestedfile')),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('file', 'line', 'control', 'expected', 'found'), name='file_fault_once')],
            },
        ),
        migrations.CreateModel(
            name='Statement',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('ordinal', models.BigIntegerField(help_text='Its place in the file, from 1.')),
                ('line', models.BigIntegerField()),
                ('account_id', models.TextField()),
                ('statement_id', models.TextField(blank=True)),
                ('number', models.BigIntegerField(blank=True, null=True)),
                ('currency', models.TextField()),
                ('opening', ingestion.models.ExactDecimalField(blank=True, decimal_places=100, max_digits=1000, null=True)),
                ('closing', ingestion.models.ExactDecimalField(blank=True, decimal_places=100, max_digits=1000, null=True)),
                ('opening_date', models.DateField(blank=True, null=True)),
                ('closing_date', models.DateField(blank=True, null=True)),
                ('rows', models.BigIntegerField()),
                ('credits', ingestion.models.ExactDecimalField(decimal_places=100, max_digits=1000)),
                ('debits', ingestion.models.ExactDecimalField(decimal_places=100, help_text='The sum that was taken; positive.', max_digits=1000)),
                ('file', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='statements', to='ingestion.ingestedfile')),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('file', 'ordinal'), name='statement_once')],
            },
        ),
        rls.protect("ingestion_statement"),
        rls.protect("ingestion_filefault"),
        migrations.RunSQL(
            """
            ALTER TABLE ingestion_statement
                ADD CONSTRAINT statement_file_of_tenant FOREIGN KEY (tenant_id, file_id)
                    REFERENCES ingestion_ingestedfile (tenant_id, id);
            ALTER TABLE ingestion_filefault
                ADD CONSTRAINT fault_file_of_tenant FOREIGN KEY (tenant_id, file_id)
                    REFERENCES ingestion_ingestedfile (tenant_id, id);
            """,
            migrations.RunSQL.noop,
        ),
    ]
