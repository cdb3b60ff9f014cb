"""When the rows of a file moved money: its first and its last moment."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ingestion", "0015_plain_size")]

    operations = [
        migrations.AddField(
            model_name="ingestedfile",
            name=name,
            field=models.DateTimeField(blank=True, null=True),
        )
        for name in ("first_at", "last_at")
    ]
