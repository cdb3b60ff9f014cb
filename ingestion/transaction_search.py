"""Finds transactions: ids and references by index, anything else within some days."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from psycopg2.errors import QueryCanceled

from ingestion.terms import Term
from tenants.models import Tenant

#: What has no index is looked for in so many days, unless others are chosen.
DAYS: Final = 31
TIMEOUT_SECONDS: Final = 10


class TooSlowError(RuntimeError):
    """The database needed longer than a page may take."""

    def __str__(self) -> str:
        """Return what to do."""
        return (
            f"Finding these takes longer than {TIMEOUT_SECONDS} seconds. Narrow the "
            "dates, choose a tenant or a file."
        )


@contextmanager
def bounded() -> Iterator[None]:
    """Let no statement take longer than a page may; raises TooSlowError."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            (before,) = cursor.fetchone() or ("0",)
            _limit(cursor, f"{TIMEOUT_SECONDS}s")
            yield
            # The end of a savepoint keeps the setting.
            _limit(cursor, before)
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise TooSlowError from error


def with_id(rows: QuerySet[Any], term: Term) -> QuerySet[Any]:
    """Keep the rows with that transaction id or reference (UTR, RRN).

    Both indexes begin with the tenant, so every tenant is named.
    """
    slugs = list(Tenant.objects.values_list("slug", flat=True))
    named = Q(txn_id__in=term.ids) | Q(reference_id__in=term.ids)
    return rows.filter(named, tenant_id__in=slugs)


def with_meaning(rows: QuerySet[Any], term: Term) -> QuerySet[Any]:
    """Keep the rows with that account, end of an account, UPI address or amount."""
    if term.amount is not None:
        return rows.filter(amount=term.amount)
    if term.tail:
        tail = Q(account_id__endswith=term.tail)
        return rows.filter(tail | Q(counterparty_account__endswith=term.tail))
    if not term.account:
        return rows.none()
    account = Q(account_id__iexact=term.account)
    account |= Q(counterparty_account__iexact=term.account)
    return rows.filter(account | Q(vpa_or_ifsc__iexact=term.account))


def lately(rows: QuerySet[Any], now: datetime) -> QuerySet[Any]:
    """Keep the rows of the last days."""
    return rows.filter(txn_timestamp__gte=now - timedelta(days=DAYS))


def _limit(cursor: Any, value: str) -> None:
    cursor.execute("SELECT set_config('statement_timeout', %s, true)", [value])
