from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0007_dead_message'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='deadletter',
            options={'permissions': [('retry_deadletter', 'Can retry dead letters'), ('discard_deadletter', 'Can discard and restore dead letters')], 'verbose_name': 'dead letter'},
        ),
    ]
