"""A test that commits leaves the database as it was migrated."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connection
from django.test import TransactionTestCase
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from ingestion import profiles
from ingestion.models import DialectProfile
from tenants.models import Tenant, Tier
from tenants.scoping import all_tenants
from tests import baseline
from tests.arrange import (
    make_dead_job,
    make_file,
    make_job,
    make_quarantined_file,
    make_statement,
    make_tenant,
    make_transaction,
    run,
)
from tests.reconciled import make_file_day, make_mismatch, make_profile, make_run

pytestmark = pytest.mark.django_db(transaction=True)

Contents = dict[str, list[str]]

#: What migrations write, and the handlers that follow them.
MIGRATED = {
    "auth_permission",
    "django_content_type",
    "django_migrations",
    "ingestion_dialectprofile",
    "tenants_tier",
}


def contents() -> Contents:
    """Return all rows of all tables."""
    with all_tenants(reason="test"), connection.cursor() as cursor:
        found = {}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t ORDER BY 1')  # noqa: S608
            found[table] = [row for (row,) in cursor.fetchall()]
    return found


def end_test() -> None:
    """Do what pytest-django does after a test that commits."""
    TransactionTestCase()._post_teardown()  # type: ignore[attr-defined]


def changed(before: Contents) -> set[str]:
    now = contents()
    return {table for table in before.keys() | now if before.get(table) != now[table]}


@pytest.fixture(autouse=True)
def migrated() -> Iterator[Contents]:
    """All rows before the test, which are there again behind its end."""
    before = contents()
    assert {table for table, rows in before.items() if rows} == MIGRATED
    yield before
    end_test()
    assert changed(before) == set()


def write_to_many_tables() -> None:
    tenant = make_tenant("t1").slug
    run(make_job(tenant))
    make_dead_job(tenant)
    file = make_file(tenant, job=make_job(tenant))
    make_statement(file)
    make_transaction(file)
    make_quarantined_file(tenant, job=make_job(tenant), path="in/b.csv", same_as=file)
    profile = make_profile(tenant, rules=2)
    make_run(profile)
    make_mismatch(profile)
    make_file_day(profile, file.pk)
    group = Group.objects.create(name="auditors")
    group.permissions.set(Permission.objects.all()[:3])
    User.objects.create_user("asha").groups.add(group)
    every = IntervalSchedule.objects.create(every=1, period="days")
    PeriodicTask.objects.create(name="a", task="b", interval=every)


def test_the_rows_are_those_of_a_migrated_database():
    models = apps.get_models(include_auto_created=False)
    wanted = {(model._meta.app_label, model._meta.model_name) for model in models}
    assert set(ContentType.objects.values_list("app_label", "model")) == wanted
    wanted = {
        (model._meta.app_label, f"{right}_{model._meta.model_name}")
        for model in models
        for right in model._meta.default_permissions
    }
    permissions = Permission.objects.values_list("content_type__app_label", "codename")
    assert wanted <= set(permissions)
    assert set(Tier.objects.values_list("name", flat=True)) == {
        "standard",
        "gold",
        "platinum",
    }
    with all_tenants(reason="test"):
        names = set(DialectProfile.objects.values_list("name", flat=True))
    assert names == set(profiles.built_in())


def test_all_that_a_test_wrote_is_gone(migrated: Contents):
    write_to_many_tables()
    assert len(changed(migrated)) > 20
    end_test()
    assert changed(migrated) == set()


def add_a_tenants_dialect() -> None:
    make_tenant("t1")
    like = DialectProfile.objects.values("title", "definition")[0]
    DialectProfile.objects.create(name="OWN", tenant_id="t1", **like)


def use_a_tier_and_change_it() -> None:
    make_tenant("t1")
    Tier.objects.update(weight=77)


DEEDS: dict[str, Callable[[], object]] = {
    "a dialect is added": add_a_tenants_dialect,
    "dialects are changed": lambda: DialectProfile.objects.update(definition={}),
    "dialects are removed": lambda: DialectProfile.objects.all().delete(),
    "a tier is used and changed": use_a_tier_and_change_it,
    "tiers are removed": lambda: Tier.objects.all().delete(),
    "a permission is renamed": lambda: Permission.objects.filter(
        codename="view_user"
    ).update(name="x"),
    "content types are removed": lambda: ContentType.objects.all().delete(),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_migrated_rows_are_put_back_when(deed: str, migrated: Contents):
    with all_tenants(reason="test"):
        DEEDS[deed]()
    assert changed(migrated) & MIGRATED
    end_test()
    assert changed(migrated) == set()


def test_a_table_that_grew_gets_a_new_file_and_loses_no_migrated_row(
    migrated: Contents,
):
    make_tenant("t1")
    large = [
        Tenant(slug=f"t{n}", name="x" * 90, tier_id="gold") for n in range(2, 9000)
    ]
    with all_tenants(reason="test"):
        Tenant.objects.bulk_create(large)
    assert size_of("tenants_tenant") > baseline.LARGE_BYTES
    end_test()
    assert size_of("tenants_tenant") == 0
    assert changed(migrated) == set()


def size_of(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size(%s)", [table])
        (size,) = cursor.fetchone()
    return int(size)


def test_who_is_still_writing_is_waited_for():
    """Otherwise the rows could come after the end of the test."""
    with closing(connection.copy()) as late, connection.cursor() as cursor:
        late.set_autocommit(False)
        late.cursor().execute("INSERT INTO tenants_tier (name, weight) VALUES ('x', 1)")
        cursor.execute("SET lock_timeout = '50ms'")
        with pytest.raises(OperationalError, match="lock timeout"):
            end_test()
        late.rollback()
    connection.close()
