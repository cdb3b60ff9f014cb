"""What the pruning of a job means for its report.

A report outlives its job and is downloaded as before; of one that was never finished
nothing is left to show.
"""

from jobs import pruning


def register() -> None:
    """Remove the rows of reports that were never finished."""
    pruning.leftover(
        "unfinished reports",
        "reconciliation_report",
        "x.job_id IN (SELECT id FROM doomed) AND x.finished_at IS NULL",
    )
