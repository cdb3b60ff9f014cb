"""Two walls between tenants: the manager and row-level security."""

from typing import Any

import pytest
from django.apps import apps
from django.db import DatabaseError, connection, transaction
from django.db.models import Model

from ingestion.models import IngestedFile
from jobs import statements
from jobs.models import Job
from tenants.models import Tenant
from tenants.scoping import (
    TENANT_ROLE,
    TenantOwned,
    TenantShared,
    UnscopedQueryError,
    all_tenants,
    apart,
    current_scope,
    tenant_scope,
)
from tests.arrange import make_job, make_tenant

pytestmark = pytest.mark.django_db(transaction=True)

OWNED: list[type[Model]] = [
    Tenant,
    *(model for model in apps.get_models() if issubclass(model, TenantOwned)),
]
#: Tables with rows of the platform, which every tenant reads.
SHARED: list[type[Model]] = [
    model for model in apps.get_models() if issubclass(model, TenantShared)
]


@pytest.fixture(autouse=True)
def two_tenants() -> None:
    """Owner and stranger, with one job each."""
    for slug in ("owner", "stranger"):
        make_tenant(slug)
        make_job(slug)


def rows(statement: str, *values: Any) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


# --- Wall one -------------------------------------------------------------------------


@pytest.mark.parametrize("model", OWNED + SHARED, ids=lambda model: model.__name__)
def test_an_unscoped_query_raises(model: type[Model]):
    with pytest.raises(UnscopedQueryError, match="tenant_scope"):
        model._default_manager.count()


def test_a_scope_shows_one_tenant_and_the_platform_all():
    with tenant_scope("owner"):
        assert {job.tenant_id for job in Job.objects.all()} == {"owner"}
        assert [tenant.slug for tenant in Tenant.objects.all()] == ["owner"]
    with all_tenants(reason="test"):
        assert Job.objects.count() == 2


def test_the_manager_filters_where_row_level_security_would_not():
    with tenant_scope("owner"):
        rows("SELECT set_config('role', 'dtq_platform', true)")
        assert rows("SELECT count(*) FROM jobs_job") == [(2,)]
        assert {job.tenant_id for job in Job.objects.all()} == {"owner"}
        assert [tenant.slug for tenant in Tenant.objects.all()] == ["owner"]


# --- Wall two -------------------------------------------------------------------------


def test_a_forgotten_filter_finds_nothing_of_another_tenant():
    with tenant_scope("owner"):
        assert rows("SELECT DISTINCT tenant_id FROM jobs_job") == [("owner",)]


def test_outside_a_scope_even_the_tables_owner_sees_nothing():
    assert rows("SELECT count(*) FROM jobs_job") == [(0,)]


def test_a_row_of_another_tenant_cannot_be_written():
    with (
        pytest.raises(DatabaseError, match="row-level security"),
        tenant_scope("owner"),
    ):
        make_job("stranger", scoped=False)


def test_a_row_of_another_tenant_cannot_be_written_blindly_either():
    """Without RETURNING, only the check of what is written stands in the way."""
    with (
        pytest.raises(DatabaseError, match="row-level security"),
        tenant_scope("owner"),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id) "
            "VALUES ('stranger', 'planted', 'rows', 1, gen_random_uuid())"
        )


def test_a_row_of_another_tenant_cannot_be_changed_or_removed():
    with tenant_scope("owner"), connection.cursor() as cursor:
        cursor.execute("UPDATE jobs_job SET kind = 'x' WHERE tenant_id = 'stranger'")
        assert cursor.rowcount == 0
        cursor.execute("DELETE FROM jobs_job WHERE tenant_id = 'stranger'")
        assert cursor.rowcount == 0


def test_a_row_cannot_point_to_another_tenants_job():
    with all_tenants(reason="test"):
        foreign = Job.objects.get(tenant_id="stranger")
    with (
        pytest.raises(DatabaseError, match="file_job_of_tenant"),
        tenant_scope("owner"),
    ):
        IngestedFile.objects.create(
            tenant_id="owner", job=foreign, source="UPI", path="a.csv", size=1
        )


@pytest.mark.parametrize("model", OWNED + SHARED, ids=lambda model: model.__name__)
def test_every_tenant_owned_table_is_protected(model: type[Model]):
    if model._meta.proxy:
        return
    table = model._meta.db_table
    security = rows(
        "SELECT relrowsecurity, relforcerowsecurity FROM pg_class "
        "WHERE oid = %s::regclass",
        table,
    )
    policies = rows(
        "SELECT policyname, roles::text, cmd, with_check IS NOT NULL FROM pg_policies "
        "WHERE tablename = %s ORDER BY policyname",
        table,
    )
    assert security == [(True, True)]
    shared = [("shared_rows", "{dtq_tenant}", "SELECT", False)]
    assert policies == [
        ("platform_rows", "{dtq_platform}", "ALL", True),
        *(shared if model in SHARED else []),
        ("tenant_rows", "{dtq_tenant}", "ALL", True),
    ]


def test_every_table_with_a_tenant_column_has_a_scoping_model():
    found = rows(
        "SELECT table_name FROM information_schema.columns "
        "WHERE column_name = 'tenant_id' AND table_schema = 'public'"
    )
    scoping = {model._meta.db_table for model in OWNED + SHARED}
    expected = scoping - {"tenants_tenant"}
    assert {name for (name,) in found} == expected


def test_the_tenant_role_cannot_change_limits_or_sign_ins():
    for statement in (
        "UPDATE quotas_quota SET weight = 9",
        "UPDATE tenants_tenant SET is_paused = false",
        "UPDATE tenants_tier SET weight = 9",
        "SELECT password FROM auth_user",
        "SELECT * FROM django_session",
    ):
        refused = pytest.raises(DatabaseError, match="permission denied")
        with refused, tenant_scope("owner"):
            rows(statement)


# --- Scopes ---------------------------------------------------------------------------


def test_a_nested_scope_gives_way_to_the_outer_one():
    with all_tenants(reason="test"):
        with tenant_scope("owner"):
            assert rows("SELECT current_user") == [(TENANT_ROLE,)]
        assert rows("SELECT count(*) FROM jobs_job") == [(2,)]
        with pytest.raises(ZeroDivisionError), tenant_scope("stranger"):
            _ = 1 / 0
        assert rows("SELECT count(*) FROM jobs_job") == [(2,)]
        assert current_scope().tenant is None


def test_a_scope_inside_a_transaction_ends_with_it():
    with transaction.atomic():
        with tenant_scope("owner"):
            pass
        assert rows("SELECT count(*) FROM jobs_job") == [(0,)]


def test_nothing_stays_behind_on_the_connection():
    before = rows("SELECT current_user")
    with pytest.raises(ZeroDivisionError), tenant_scope("owner"):
        _ = 1 / 0
    with tenant_scope("owner"):
        pass
    assert rows("SELECT current_user") == before
    assert rows("SELECT count(*) FROM jobs_job") == [(0,)]


def test_a_scope_needs_a_tenant():
    with pytest.raises(ValueError, match="slug"), tenant_scope(""):
        pass


# --- Statements apart -----------------------------------------------------------------


def test_a_statement_apart_sees_what_its_scope_sees():
    with apart(tenant="owner"):
        assert statements.rows("SELECT tenant_id FROM jobs_job", {}) == [("owner",)]
    with apart(reason="test"):
        assert len(statements.rows("SELECT tenant_id FROM jobs_job", {})) == 2


def test_a_statement_apart_leaves_no_role_behind():
    with apart(tenant="owner"):
        statements.rows("SELECT 1", {})
    assert rows("SELECT current_setting('role'), current_setting('app.tenant', true)")[
        0
    ] in [("none", ""), ("none", None)]


def test_a_failed_statement_apart_leaves_no_role_behind():
    with pytest.raises(DatabaseError), apart(tenant="owner"):
        statements.rows("SELECT 1 / 0", {})
    assert rows("SELECT current_setting('role')") == [("none",)]


def test_a_statement_apart_writes_for_its_tenant_only():
    move = "UPDATE jobs_job SET tenant_id = 'stranger' RETURNING id"
    refused = pytest.raises(DatabaseError, match="row-level security")
    with refused, apart(tenant="owner"):
        statements.rows(move, {})
    with apart(tenant="owner"):
        others = "SELECT id FROM jobs_job WHERE tenant_id = 'stranger'"
        assert statements.rows(others, {}) == []


def test_a_statement_without_a_scope_is_refused():
    with pytest.raises(UnscopedQueryError):
        statements.rows("SELECT 1", {})
    with apart(tenant="owner"), pytest.raises(UnscopedQueryError):
        Job.objects.count()


def test_inside_a_transaction_apart_is_an_ordinary_scope():
    with transaction.atomic(), apart(tenant="owner"):
        assert statements.rows("SELECT tenant_id FROM jobs_job", {}) == [("owner",)]
        assert Job.objects.count() == 1
