"""What every new connection to the database is told first."""

from typing import Any

from django.db.backends.signals import connection_created


def prepare_connections() -> None:
    """Have new connections prepared; called once, when the app is ready."""
    connection_created.connect(_without_jit, dispatch_uid="tenants.without_jit")


def _without_jit(connection: Any, **_: Any) -> None:
    """Turn off PostgreSQL's compiler of expressions where it has one.

    Our statements are short, but the planner's guesses about tables of work are old,
    and large ones set it off: `doctor` then took four seconds on an empty ledger.
    """
    with connection.connection.cursor() as cursor:
        cursor.execute("SET jit = off")
