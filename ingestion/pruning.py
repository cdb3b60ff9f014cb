"""What the pruning of a job means for its file.

A loaded file outlives its job, with its transactions and its kept-out rows: they are
what the bank said. A load that failed and brought nothing goes with its job.
"""

from typing import Final

from jobs import pruning

_BROUGHT_NOTHING: Final = """f.state = 'failed' AND NOT EXISTS (
    SELECT FROM fintech_transactions t WHERE t.file_id = f.id)"""
_FILES: Final = f"""
    SELECT f.id FROM ingestion_ingestedfile f JOIN doomed ON doomed.id = f.job_id
    WHERE {_BROUGHT_NOTHING}
"""  # noqa: S608 - constants


def register() -> None:
    """Hold the jobs of files in progress; remove what failed loads left."""
    pruning.hold(
        "files neither loaded nor failed",
        """EXISTS (
            SELECT FROM ingestion_ingestedfile f
            WHERE f.job_id = j.id AND f.state NOT IN ('loaded', 'failed'))""",
    )
    for name, table, key in (
        ("kept-out rows", "ingestion_keptoutrow", "file_id"),
        ("faults", "ingestion_filefault", "file_id"),
        ("statements", "ingestion_statement", "file_id"),
        ("files", "ingestion_ingestedfile", "id"),
    ):
        pruning.leftover(name, table, f"x.{key} IN ({_FILES})")
