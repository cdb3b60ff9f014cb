from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("ingestion", "0013_transaction_search"),
    ]

    operations = [
        # A load that is under way takes what it wrote beyond its checkpoint for duplicates.
        migrations.RunSQL("TRUNCATE ingestion_filepart", migrations.RunSQL.noop),
        migrations.RenameModel("FilePart", "LoadNote"),
        migrations.RemoveConstraint("loadnote", "file_part_once"),
        migrations.RemoveField("loadnote", "part"),
        migrations.AlterField(
            "loadnote",
            "file",
            models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=models.deletion.CASCADE,
                related_name="+",
                to="ingestion.ingestedfile",
            ),
        ),
        migrations.AddConstraint(
            "loadnote",
            models.UniqueConstraint(fields=("file",), name="load_noted_once"),
        ),
    ]
