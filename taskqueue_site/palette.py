"""What the command palette finds: exact ids and the beginnings of tenants' names.

Only by indexes: it is asked at every few keystrokes.
"""

from typing import Final
from uuid import UUID

from django.http import HttpRequest
from unfold.dataclasses import SearchResult

from ingestion.models import Transaction
from ingestion.terms import read_term
from ingestion.transaction_search import with_id
from jobs.models import Job
from tenants.adminkit import change_url
from tenants.models import Tenant

MOST: Final = 10
SHORTEST: Final = 3


def search(request: HttpRequest, _: str) -> list[SearchResult]:
    """Return what the term means, for those who may see it."""
    # The theme lower-cases the term that it passes; ids are told apart by case.
    term = request.GET.get("s", "").strip()
    found: list[SearchResult] = []
    if request.user.has_perm("jobs.view_job"):
        found += _jobs(term)
    if request.user.has_perm("tenants.view_tenant"):
        found += _tenants(term)
    if request.user.has_perm("ingestion.view_transaction"):
        found += _transactions(term)
    return found


def _jobs(term: str) -> list[SearchResult]:
    try:
        jobs = Job.objects.filter(pk=UUID(term))
    except ValueError:
        return []
    return [
        SearchResult(
            title=f"{job.kind} of {job.tenant_id}",
            description=f"Job · {job.state}",
            link=change_url(Job, job.pk),
            icon="work",
        )
        for job in jobs
    ]


def _tenants(term: str) -> list[SearchResult]:
    tenants = Tenant.objects.filter(slug__startswith=term.lower())[:MOST]
    return [
        SearchResult(
            title=tenant.slug,
            description=f"Tenant · {tenant.name}" if tenant.name else "Tenant",
            link=change_url(Tenant, tenant.pk),
            icon="domain",
        )
        for tenant in tenants
    ]


def _transactions(term: str) -> list[SearchResult]:
    if len(term) < SHORTEST:
        return []
    return [
        SearchResult(
            title=row.txn_id,
            description=f"Transaction · {row.tenant_id} · {row.amount} {row.currency}",
            link=change_url(Transaction, row.pk),
            icon="receipt_long",
        )
        for row in with_id(Transaction.objects.all(), read_term(term))[:MOST]
    ]
