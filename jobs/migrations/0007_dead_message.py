import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0006_events_and_switches'),
    ]

    operations = [
        migrations.CreateModel(
            name='DeadMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('queue', models.TextField()),
                ('reason', models.TextField()),
                ('detail', models.TextField()),
                ('sha256', models.TextField()),
                ('size', models.BigIntegerField()),
                ('body', models.BinaryField()),
                ('content_type', models.TextField(blank=True, db_default='', default='')),
                ('content_encoding', models.TextField(blank=True, db_default='', default='')),
                ('headers', models.JSONField(default=dict)),
                ('attempt_ids', models.JSONField(blank=True, null=True)),
                ('seen_count', models.PositiveBigIntegerField(db_default=1, default=1)),
                ('first_seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('last_seen_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('discarded_at', models.DateTimeField(blank=True, null=True)),
                ('discarded_by', models.TextField(blank=True, db_default='', default='')),
            ],
            options={
                'verbose_name': 'dead message',
                'permissions': [('discard_deadmessage', 'Can discard dead messages')],
                'constraints': [models.UniqueConstraint(fields=('sha256', 'queue', 'reason'), name='dead_message_counted_once')],
            },
        ),
    ]
