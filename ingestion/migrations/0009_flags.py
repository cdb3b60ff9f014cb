import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0008_sequences'),
        ('tenants', '0005_retention'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='keptoutrow',
            name='kept_out_row_once',
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='corrections_path',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='flagged',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='flags_path',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='decision',
            field=models.TextField(blank=True, choices=[('released', 'Released'), ('refused', 'Refused')], db_default='', default=''),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='reasons',
            field=models.JSONField(db_default=models.Value([], models.JSONField()), default=list),
        ),
        migrations.AddField(
            model_name='ingestedfile',
            name='summary_path',
            field=models.TextField(blank=True, db_default='', default=''),
        ),
        migrations.AddField(
            model_name='keptoutrow',
            name='raw',
            field=models.BinaryField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='keptoutrow',
            name='why',
            field=models.TextField(choices=[('rejected', 'Rejected'), ('conflicting', 'Conflicting'), ('flagged', 'Flagged')]),
        ),
        migrations.AddConstraint(
            model_name='keptoutrow',
            constraint=models.UniqueConstraint(models.F('file'), models.F('line'), models.F('why'), models.F('reason'), django.db.models.functions.text.MD5('column'), name='kept_out_row_once'),
        ),
    ]
