"""A good and a bad file of each source, through the API, and what came of each.

The bad files of sources with totals end in quarantine: the table shows the first fault
of those, and the first rejected row of the others.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ingestion.storage import object_key, store
from taskqueue_site.demo import Producer

TENANT: Final = "delta"
#: Source, good sample, bad sample.
FILES: Final = (
    ("UPI", "upi_small.csv", "upi_bad_rows.csv"),
    ("UPI_PSP", "upi_psp_small.txt", "upi_psp_bad.txt"),
    ("IMPS", "imps_small.csv", "imps_bad.csv"),
    ("NEFT", "neft_small.csv", "neft_bad.csv"),
    ("RTGS", "rtgs_small.csv", "rtgs_bad.csv"),
    ("LEDGER", "ledger_small.csv", "ledger_bad.csv"),
    ("HDFC", "hdfc_small.csv", "hdfc_bad.csv"),
    ("ICICI", "icici_small.csv", "icici_bad.csv"),
    ("SBI", "sbi_small.tsv", "sbi_bad.tsv"),
    ("AXIS", "axis_small.csv", "axis_bad.csv"),
    ("KOTAK", "kotak_small.csv", "kotak_bad.csv"),
    ("MT940", "mt940_small.sta", "mt940_bad.sta"),
    ("MT942", "mt942_small.sta", "mt942_bad.sta"),
    ("CAMT052", "camt052_sample.xml", "camt052_bad.xml"),
    ("CAMT053", "camt053_sample.xml", "camt053_bad.xml"),
    ("CAMT054", "camt054_sample.xml", "camt054_bad.xml"),
    ("BAI2", "bai2_small.txt", "bai2_bad.txt"),
)
_HEAD: Final = ("file", "source", "read", "inserted", "dup", "conflict", "rejected")
_COUNTS: Final = ("inserted", "duplicate", "conflicting", "rejected")
_WIDTHS: Final = (-18, -8, 4, 8, 4, 8, 8)


def enqueue(producer: Producer, samples: Path) -> list[tuple[str, str]]:
    """Store and enqueue every sample; returns each file with its source, in order."""
    pairs = [(name, source) for source, *names in FILES for name in names]
    for name, source in pairs:
        with (samples / name).open("rb") as content:
            store().write(object_key(producer.tenant, name), content)
        producer.enqueue(name, source)
    return pairs


def table(
    producer: Producer, pairs: Sequence[tuple[str, str]], jobs: Sequence[Any]
) -> list[str]:
    """Return a line for each file; `jobs` are in the order of `pairs`."""
    lines = [_line(*_HEAD, "first reject, or why it is in quarantine")]
    lines.append("-" * len(lines[0]))
    for (name, source), job in zip(pairs, jobs, strict=True):
        lines.append(_line(name, source, *_counts(job), _trouble(producer, job)))
    return lines


def _counts(job: Any) -> tuple[object, ...]:
    result = job["result"]
    if result is None:
        return ("",) * (1 + len(_COUNTS))
    # Of a file in quarantine nothing was loaded, so its `rows` is 0.
    rows = result.get("rows_read", result["rows"])
    return (rows, *(result[count] for count in _COUNTS))


def _trouble(producer: Producer, job: Any) -> str:
    if job["state"] != "succeeded":
        return f"{job['state']}: {(job['error'] or {}).get('message', '')}"
    if job["result"].get("quarantined"):
        return _fault(job["result"]["faults"][0])
    link = job["links"].get("rejects")
    return _first_reject(producer.text(link)) if link else ""


def _fault(fault: Any) -> str:
    told = f"quarantine: line {fault['line']} {fault['control']}"
    if fault["found"]:
        told += f", {fault['expected']} is said, {fault['found']} found"
    return told


def _first_reject(rejects: str) -> str:
    """Return the first row of a file of rejects in words."""
    row = next(csv.DictReader(rejects.splitlines()), None)
    if row is None:
        return ""
    return " ".join(filter(None, (f"line {row['line']}", row["column"], row["reason"])))


def _line(*cells: object) -> str:
    *first, last = cells
    pairs = zip(first, _WIDTHS, strict=True)
    text = " ".join(
        f"{cell!s:<{-width}}" if width < 0 else f"{cell!s:>{width}}"
        for cell, width in pairs
    )
    return f"{text}  {last}".rstrip()
