from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ingestion", "0013_transaction_search"),
    ]

    operations = [
        # A load that is under way takes what it wrote beyond its checkpoint for duplicates.
        migrations.DeleteModel("FilePart"),
        migrations.AddField(
            "ingestedfile",
            "written_line",
            models.BigIntegerField(default=0, db_default=0),
        ),
    ]
