"""A transaction's tenant is checked through its file alone."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ingestion", "0011_file_permissions"),
        ("tenants", "0005_retention"),
    ]

    operations = [
        migrations.AlterField(
            model_name="transaction",
            name="tenant",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
            ),
        ),
    ]
