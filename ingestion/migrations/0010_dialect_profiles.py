import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

from tenants import rls


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0009_flags'),
        ('tenants', '0005_retention'),
    ]

    operations = [
        migrations.CreateModel(
            name='DialectProfile',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('name', models.TextField(help_text='The word in {"source": …} of an ingest call.', validators=[django.core.validators.RegexValidator('\\A[A-Z0-9][A-Z0-9_-]{0,31}\\Z', "Use 1 to 32 capital letters, digits, '_' or '-', starting with a letter or a digit.")])),
                ('title', models.TextField(blank=True, db_default='', default='')),
                ('definition', models.JSONField()),
                ('shipped', models.JSONField(blank=True, editable=False, null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('changed_at', models.DateTimeField(editable=False, null=True)),
                ('tenant', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='tenants.tenant')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'objects',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('tenant', 'name'), name='dialect_profile_once', nulls_distinct=False, violation_error_message='There is such a profile already.')],
            },
        ),
        rls.protect("ingestion_dialectprofile"),
        rls.share("ingestion_dialectprofile"),
    ]
