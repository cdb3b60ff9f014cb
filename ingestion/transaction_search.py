"""Finds transactions without reading all of them, however many there are.

What an index tells apart (a reference, an account, a file, a small tenant) becomes a set
of ids. For anything else the rows are looked through newest first, so many for a page;
the page then says how far that was, and goes on from there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.db.models import F, Q, QuerySet
from psycopg2.errors import QueryCanceled

from ingestion.models import AccountKey, Transaction
from ingestion.terms import TAIL, Term

#: Above this a set of ids is worth nothing: what is frequent is found by looking.
MOST_IDS: Final = 10_000
#: Rows looked through for a page: few at first, since what is frequent is soon found.
STEPS: Final = (5_000, 200_000)
NEWEST: Final = ("-txn_timestamp", "-id")
TIMEOUT_SECONDS: Final = 15

_VALUE_COLUMNS: Final = ("account_id", "counterparty_account", "vpa_or_ifsc")

#: Both indexes start with the tenant, so the tenants are named one by one.
_BY_ID: Final = """
SELECT found.id FROM tenants_tenant t CROSS JOIN LATERAL (
    SELECT id FROM fintech_transactions
    WHERE tenant_id = t.slug AND txn_id = ANY(%(ids)s)
    UNION
    (SELECT id FROM fintech_transactions
     WHERE tenant_id = t.slug AND reference_id = ANY(%(ids)s) LIMIT %(most)s)
) AS found LIMIT %(most)s
"""


class TooSlowError(RuntimeError):
    """The database needed longer than a page may take."""

    def __str__(self) -> str:
        """Return what to do."""
        return (
            f"Finding these takes longer than {TIMEOUT_SECONDS} seconds. Choose a "
            "tenant, a file or fewer days."
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A row's place in the order of the list."""

    at: datetime
    pk: int

    def __str__(self) -> str:
        return f"{self.at.isoformat()}_{self.pk}"

    @classmethod
    def parse(cls, text: str) -> "Place | None":
        """Return the place that `str` wrote; None for anything else."""
        at, _, pk = text.partition("_")
        try:
            place = cls(datetime.fromisoformat(at), int(pk))
        except ValueError:
            return None
        return place if place.at.tzinfo else None


@dataclass(slots=True)
class Page:
    """Rows of one page of the list."""

    rows: list[Transaction] = field(default_factory=list)
    #: Where the next page begins: behind it. None at the end.
    next: Place | None = None
    #: Whether the end of the step was met before the page was full.
    is_cut: bool = False
    #: How many there are in all; None where counting would read too much.
    count: int | None = None


@contextmanager
def bounded() -> Iterator[None]:
    """Let no statement take longer than a page may; raises TooSlowError."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            (before,) = cursor.fetchone() or ("0",)
            cursor.execute(f"SET LOCAL statement_timeout = {TIMEOUT_SECONDS * 1000}")
            yield
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        raise TooSlowError from error


def transaction_ids(term: Term, *, most: int = MOST_IDS) -> list[int]:
    """Return the ids of the transactions that indexes find for a term, at most so many.

    An amount is in no index.
    """
    found: dict[int, None] = {}
    if term.ids:
        values = {"ids": list(term.ids), "most": most}
        found |= {row.pk: None for row in Transaction.objects.raw(_BY_ID, values)}
    for meant in _accounts(term):
        rows = Transaction.objects.filter(meant).values_list("pk", flat=True)
        found |= dict.fromkeys(rows[: max(0, most - len(found))])
    return list(found)


def meaning(term: Term) -> Q:
    """Return the condition that a term stands for."""
    condition = Q()
    if term.ids:
        condition |= Q(txn_id__in=term.ids) | Q(reference_id__in=term.ids)
    for meant in _accounts(term):
        condition |= meant
    if term.amount is not None:
        condition |= Q(amount=term.amount)
    return condition


def _accounts(term: Term) -> Iterator[Q]:
    """Yield a condition for each column with accounts, in the words of its index."""
    text = term.account or term.tail
    if not text:
        return
    is_address = "@" in text
    key = text if is_address else text[-TAIL:]
    for column in _VALUE_COLUMNS:
        if column == "vpa_or_ifsc" and not is_address:
            continue
        meant = Q(_Keyed(column, key))
        if column == "vpa_or_ifsc":
            meant &= Q(vpa_or_ifsc__contains="@")
        else:
            meant &= Q(**{f"{column}__isnull": False})
        if not is_address and (term.account or len(text) > TAIL):
            lookup = "iexact" if term.account else "iendswith"
            meant &= Q(**{f"{column}__{lookup}": text})
        if not is_address:
            # The tail of an address is its bank.
            meant &= ~Q(**{f"{column}__contains": "@"})
        yield meant


def _Keyed(column: str, key: str) -> Any:  # noqa: N802 - reads as an expression
    from django.db.models.lookups import Exact

    return Exact(AccountKey(F(column)), key)


def small_set(
    *, term: Term | None = None, file_id: int | None = None, tenant: str = ""
) -> list[int] | None:
    """Return the ids that the most telling choice leaves; None where they are many."""
    if term is not None and term.has_index:
        ids = transaction_ids(term, most=MOST_IDS + 1)
        if len(ids) <= MOST_IDS:
            return ids
    for condition in (Q(file_id=file_id), Q(tenant_id=tenant)):
        if condition in (Q(file_id=None), Q(tenant_id="")):
            continue
        rows = Transaction.objects.filter(condition).values_list("pk", flat=True)
        # No order: the index of the condition is read, and no further than this.
        ids = list(rows.order_by()[: MOST_IDS + 1])
        if len(ids) <= MOST_IDS:
            return ids
    return None


def find_page(
    rows: QuerySet[Any],
    *,
    ids: list[int] | None,
    behind: Place | None,
    size: int,
    is_filtered: bool,
    times: Q,
) -> Page:
    """Return a page of the filtered rows, newest first.

    `ids` is what `small_set` found, and `times` the conditions on the time alone.
    """
    if ids is not None:
        rows = rows.filter(pk__in=ids)
        count = rows.order_by().count()
        return _cut(rows.filter(_behind(behind)), size, Page(count=count))
    rows = rows.filter(_behind(behind))
    if not is_filtered:
        return _cut(rows, size, Page())
    page = Page()
    for step in STEPS:
        floor = _floor(Q(times, _behind(behind)), step)
        found = rows if floor is None else rows.filter(_not_below(floor))
        page = _cut(found, size, Page())
        if page.next is not None or floor is None:
            return page
    page.next, page.is_cut = floor, True
    return page


def _cut(rows: QuerySet[Any], size: int, page: Page) -> Page:
    found = list(rows.order_by(*NEWEST)[: size + 1])
    page.rows = found[:size]
    if len(found) > size:
        page.next = Place(found[size - 1].txn_timestamp, found[size - 1].pk)
    return page


def _floor(condition: Q, step: int) -> Place | None:
    """Return the place so many rows further back; None where there are fewer."""
    rows = Transaction.objects.filter(condition).order_by(*NEWEST)
    places = rows.values_list("txn_timestamp", "id")[step - 1 : step]
    return next((Place(at, pk) for at, pk in places), None)


def _behind(place: Place | None) -> Q:
    if place is None:
        return Q()
    # The first condition alone is one that the index over the time understands.
    return Q(txn_timestamp__lte=place.at) & (
        Q(txn_timestamp__lt=place.at) | Q(id__lt=place.pk)
    )


def _not_below(place: Place) -> Q:
    return Q(txn_timestamp__gte=place.at) & (
        Q(txn_timestamp__gt=place.at) | Q(id__gte=place.pk)
    )


def estimated_total() -> int:
    """Return about how many transactions there are, as the database last counted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT reltuples::bigint FROM pg_class "
            "WHERE oid = 'fintech_transactions'::regclass"
        )
        (total,) = cursor.fetchone() or (-1,)
    return int(total)
