from django.db import migrations, models

import ingestion.models


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0010_dialect_profiles'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='transaction',
            options={'base_manager_name': 'objects', 'default_manager_name': 'objects', 'permissions': [('export_transaction', 'Can export transactions, accounts masked'), ('export_full_transaction', 'Can export transactions with whole accounts')]},
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(models.F('txn_timestamp'), models.F('id'), name='transaction_time'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(ingestion.models.AccountKey(models.F('account_id')), name='transaction_account'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(ingestion.models.AccountKey(models.F('counterparty_account')), condition=models.Q(('counterparty_account__isnull', False)), name='transaction_counterparty'),
        ),
        migrations.AddIndex(
            model_name='transaction',
            index=models.Index(ingestion.models.AccountKey(models.F('vpa_or_ifsc')), condition=models.Q(('vpa_or_ifsc__contains', '@')), name='transaction_vpa'),
        ),
    ]
