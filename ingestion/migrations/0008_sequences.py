import datetime

import django.db.models.functions.comparison
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0007_quarantine'),
        ('tenants', '0005_retention'),
    ]

    operations = [
        migrations.AddField(
            model_name='filefault',
            name='settled_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='statement',
            name='day',
            field=models.DateField(default=datetime.date(1, 1, 1), help_text='By which those of an account are in order.'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='statement',
            name='source',
            field=models.TextField(default=''),
            preserve_default=False,
        ),
        migrations.AddIndex(
            model_name='statement',
            index=models.Index(models.F('tenant'), models.F('source'), models.F('account_id'), models.F('currency'), models.F('day'), django.db.models.functions.comparison.Coalesce('number', 0), models.F('id'), name='statement_in_order'),
        ),
    ]
