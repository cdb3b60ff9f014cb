import django.contrib.postgres.indexes
from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0012_transaction_tenant'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='transaction',
            options={'base_manager_name': 'objects', 'default_manager_name': 'objects', 'permissions': [('export_transaction', 'Can export transactions, accounts masked')]},
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=django.contrib.postgres.indexes.BrinIndex(autosummarize=True, fields=['txn_timestamp'], name='transaction_time'),
        ),
    ]
