"""Files as their jobs leave them, and how each of their invariants is broken."""

from ingestion import services
from ingestion.models import IngestedFile
from jobs.models import Job
from tenants.acting import acting
from tenants.scoping import all_tenants
from tests import arrange
from tests.arrange import make_job
from tests.integration.ledger_states import USAGE, Breach, sql, succeeded


def loaded() -> Job:
    """A file of one transaction and one rejected row, as if a job had loaded it."""
    job = succeeded(kind="ingest", payload={})
    file = arrange.make_file("t1", job=job)
    arrange.make_transaction(file)
    count_usage(job, rows=2, bytes=1234)
    return job


def told() -> Job:
    """A loaded file with a statement and a fault."""
    job = loaded()
    with all_tenants(reason="test"):
        file = IngestedFile.objects.get(job=job)
    arrange.make_statement(file)
    arrange.make_fault(file)
    return job


def quarantined() -> Job:
    """A file with a fault, as its job left it."""
    job = succeeded(kind="ingest", payload={})
    arrange.make_quarantined_file("t1", job=job)
    return job


def refused() -> Job:
    """The same, after a person has decided."""
    job = quarantined()
    with acting(why="sent anew"), all_tenants(reason="test"):
        services.file_refuse(file_id=IngestedFile.objects.get(job=job).pk)
    return job


def known() -> Job:
    """A file with the content of one that was loaded before."""
    first = arrange.make_file("t1", job=make_job("t1"), rows=0, **_EMPTY)
    job = succeeded(kind="ingest", payload={})
    arrange.make_file("t1", job=job, rows=0, same_as=first, **_EMPTY)
    sql("DELETE FROM ingestion_keptoutrow")
    return job


_EMPTY = {"inserted": 0, "rejected": 0, "content_digest": "f00d"}


def count_usage(job: Job, *, part: str = "0:0", **meters: int) -> None:
    for meter, quantity in meters.items():
        sql(
            "INSERT INTO usage_events (tenant_id, source, meter, quantity, job_id) "
            "VALUES ('t1', %(source)s, %(meter)s, %(quantity)s, %(job)s)",
            source=f"job:{job.pk}:{meter}:{part}",
            meter=meter,
            quantity=quantity,
            job=job.pk,
        )


_ANOTHER = USAGE.format(
    tenant="'t1'", source="'job:x:' || id", meter="{0}", quantity="1", job="id"
)

_COUNT = "UPDATE ingestion_ingestedfile SET {0} = {0} + 1"

FILE_BREACHES = (
    Breach(
        "file_rows_add_up",
        loaded,
        "UPDATE ingestion_ingestedfile SET rows = 3",
        "ALTER TABLE ingestion_ingestedfile DROP CONSTRAINT file_rows_add_up",
    ),
    Breach("file_has_its_transactions", loaded, "DELETE FROM fintech_transactions"),
    Breach("file_has_its_kept_out_rows", loaded, "DELETE FROM ingestion_keptoutrow"),
    Breach(
        "file_has_its_kept_out_rows",
        loaded,
        "UPDATE ingestion_keptoutrow SET why = 'conflicting'",
    ),
    Breach("file_has_its_kept_out_rows", loaded, _COUNT.format("flagged")),
    Breach("file_has_its_statements", loaded, _COUNT.format("statement_count")),
    Breach("file_has_its_statements", told, "DELETE FROM ingestion_statement"),
    Breach("file_has_its_faults", loaded, _COUNT.format("fault_count")),
    Breach("file_has_its_faults", told, "DELETE FROM ingestion_filefault"),
    Breach(
        "file_has_its_faults",
        told,
        "UPDATE ingestion_ingestedfile SET fault_count = 0",
    ),
    Breach(
        "file_state_follows_its_job",
        loaded,
        "UPDATE ingestion_ingestedfile SET state = 'loading'",
    ),
    Breach(
        "file_state_follows_its_job",
        quarantined,
        "UPDATE ingestion_ingestedfile SET state = 'failed'",
    ),
    Breach(
        "quarantined_file_posted_nothing",
        quarantined,
        "UPDATE ingestion_ingestedfile SET fault_count = 0; "
        "DELETE FROM ingestion_filefault",
    ),
    Breach(
        "quarantined_file_posted_nothing",
        quarantined,
        "UPDATE ingestion_ingestedfile SET rows = 1, inserted = 1",
    ),
    Breach(
        "file_is_the_same_as_it_says",
        known,
        "UPDATE ingestion_ingestedfile SET content_digest = 'beef' "
        "WHERE same_as_id IS NOT NULL",
    ),
    Breach(
        "file_is_the_same_as_it_says",
        known,
        "UPDATE ingestion_ingestedfile SET rows = 1, duplicate = 1 "
        "WHERE same_as_id IS NOT NULL",
        "DELETE FROM usage_events WHERE meter = 'none'",
    ),
    Breach("file_usage_is_its_size", loaded, _ANOTHER.format("'rows'") + "jobs_job"),
    Breach("file_usage_is_its_size", loaded, _ANOTHER.format("'bytes'") + "jobs_job"),
    Breach(
        "file_usage_is_its_size",
        loaded,
        "DELETE FROM usage_events WHERE meter = 'bytes'",
    ),
)
