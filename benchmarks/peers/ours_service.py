"""Hands jobs to our product by its service, as code beside the product does."""

from collections.abc import Sequence
from datetime import UTC, datetime

import django

django.setup()

from benchmarks.peers.plan import JobSpec  # noqa: E402 # needs the set-up
from jobs.services import jobs_enqueue  # noqa: E402
from tenants.scoping import apart  # noqa: E402


class ServiceSender:
    """Calls the service, a transaction for each call."""

    def send(self, spec: JobSpec, _called_at: float) -> str:
        """Enqueue one job in a transaction."""
        return enqueue(spec.tenant, [spec])[0]

    def send_many(self, specs: Sequence[JobSpec], _called_at: float) -> list[str]:
        """Enqueue jobs, one transaction for each tenant among them."""
        places: dict[str, list[int]] = {}
        for place, spec in enumerate(specs):
            places.setdefault(spec.tenant, []).append(place)
        references = [""] * len(specs)
        for tenant, own in places.items():
            ids = enqueue(tenant, [specs[place] for place in own])
            for place, reference in zip(own, ids, strict=True):
                references[place] = reference
        return references

    def close(self) -> None:
        """Do nothing: every transaction is committed."""


def enqueue(tenant: str, specs: Sequence[JobSpec]) -> list[str]:
    """Enqueue jobs of one tenant in one statement; return their ids in order."""
    payloads = [{"seconds": spec.seconds, "steps": spec.steps} for spec in specs]
    with apart(tenant=tenant):
        ids = jobs_enqueue(
            tenant_id=tenant, kind="sleep", payloads=payloads, now=datetime.now(UTC)
        )
    return [str(job_id) for job_id in ids]


def sender() -> ServiceSender:
    """Return what hands jobs to the service."""
    return ServiceSender()
