from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('tenants', '0003_caps'),
    ]

    operations = [
        migrations.AddField(
            model_name='tenant',
            name='is_accepting',
            field=models.BooleanField(db_default=True, default=True, help_text='Without it the API refuses new jobs; those it has go on.', verbose_name='takes new jobs'),
        ),
        migrations.AddField(
            model_name='tenant',
            name='is_scheduling',
            field=models.BooleanField(db_default=True, default=True, help_text='Without it scheduled jobs stay scheduled when their time comes.', verbose_name='queues scheduled jobs'),
        ),
    ]
