from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('ingestion', '0010_dialect_profiles'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='ingestedfile',
            options={'base_manager_name': 'objects', 'default_manager_name': 'objects', 'permissions': [('release_ingestedfile', 'Can release and refuse quarantined files'), ('upload_ingestedfile', 'Can upload files'), ('download_ingestedfile', 'Can download originals of files')]},
        ),
    ]
