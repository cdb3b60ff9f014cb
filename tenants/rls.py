"""Row-level security: the roles, the policies and the grants (wall two).

`protect` goes into the migration that creates a tenant-owned table, and `share` behind
it where rows of no tenant are for all to read. Policies name the role they bind, and
tables are FORCEd, so the owner of the tables sees nothing either until a scope has set
a role (tenants/scoping.py).
"""

from collections.abc import Collection
from typing import Any

from django.db import connection, connections
from django.db.migrations import RunSQL

from tenants.scoping import PLATFORM_ROLE, TENANT_ROLE

BRIDGE_ROLE = "dtq_scopes"

#: Roles belong to the whole server, so another database may have made them already.
#: The login role is a member of both through a role that does not inherit: it may
#: become either, and has the rights of neither until it does.
CREATE_ROLES = f"""
DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY
        ARRAY['{TENANT_ROLE}', '{PLATFORM_ROLE}', '{BRIDGE_ROLE}']
    LOOP
        BEGIN
            IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
    END LOOP;
    IF NOT pg_has_role('{BRIDGE_ROLE}', '{TENANT_ROLE}', 'MEMBER')
       OR NOT pg_has_role('{BRIDGE_ROLE}', '{PLATFORM_ROLE}', 'MEMBER') THEN
        GRANT {TENANT_ROLE}, {PLATFORM_ROLE} TO {BRIDGE_ROLE};
    END IF;
    IF NOT pg_has_role(current_user, '{BRIDGE_ROLE}', 'USAGE') THEN
        GRANT {BRIDGE_ROLE} TO CURRENT_USER;
    END IF;
END $$;
"""  # noqa: S608 - the names are constants

_GRANT_PLATFORM = f"""
GRANT USAGE ON SCHEMA public TO {PLATFORM_ROLE}, {TENANT_ROLE};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {PLATFORM_ROLE};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {PLATFORM_ROLE};
"""


def protect(table: str, column: str = "tenant_id", *, writable: bool = True) -> RunSQL:
    """Return the migration operation that puts a table behind row-level security."""
    rights = "SELECT, INSERT, UPDATE, DELETE" if writable else "SELECT"
    own = f"{column} = NULLIF(current_setting('app.tenant', true), '')"
    return RunSQL(
        f"""
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant_rows ON {table} TO {TENANT_ROLE}
            USING ({own}) WITH CHECK ({own});
        CREATE POLICY platform_rows ON {table} TO {PLATFORM_ROLE}
            USING (true) WITH CHECK (true);
        GRANT {rights} ON {table} TO {TENANT_ROLE};
        GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {PLATFORM_ROLE};
        """,
        f"""
        DROP POLICY tenant_rows ON {table};
        DROP POLICY platform_rows ON {table};
        ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;
        ALTER TABLE {table} DISABLE ROW LEVEL SECURITY;
        """,
    )


def share(table: str, column: str = "tenant_id") -> RunSQL:
    """Return the operation that also shows a protected table's rows of no tenant.

    To `protect`, which comes first, it adds a policy for reading alone: permissive
    policies are joined by OR, and what is changed or removed must pass the others.
    """
    return RunSQL(
        f"""
        CREATE POLICY shared_rows ON {table} FOR SELECT TO {TENANT_ROLE}
            USING ({column} IS NULL);
        """,
        f"DROP POLICY shared_rows ON {table};",
    )


_UNPROTECTED = """
SELECT wanted.name FROM unnest(%(tables)s::text[]) AS wanted (name)
LEFT JOIN pg_class c ON c.oid = to_regclass(wanted.name)
WHERE (c.relrowsecurity AND c.relforcerowsecurity) IS NOT TRUE
   OR 2 <> (SELECT count(*) FROM pg_policies p
            WHERE p.schemaname = c.relnamespace::regnamespace::text
              AND p.tablename = c.relname AND p.cmd = 'ALL'
              AND (p.policyname, p.roles) IN (('tenant_rows', %(tenant)s::name[]),
                                              ('platform_rows', %(platform)s::name[])))
ORDER BY wanted.name
"""


def unprotected(tables: Collection[str]) -> list[str]:
    """Return those of the tables that lack forced row-level security or a policy."""
    values = {
        "tables": list(tables),
        "tenant": [TENANT_ROLE],
        "platform": [PLATFORM_ROLE],
    }
    with connection.cursor() as cursor:
        cursor.execute(_UNPROTECTED, values)
        return [name for (name,) in cursor.fetchall()]


def grant_platform_tables(*, using: str, **_: Any) -> None:
    """Let platform staff work with the tables that no tenant owns."""
    with connections[using].cursor() as cursor:
        cursor.execute(_GRANT_PLATFORM)
