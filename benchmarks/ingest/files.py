"""The files that are loaded: seeded, with faults, repeats and conflicts."""

import shutil
from pathlib import Path
from typing import Final

from django.core.files.storage import storages

from benchmarks.ingest.worker import TENANT
from ingestion.storage import object_key
from samples.generate import Truth, Writer

BAD_EVERY: Final = 250
REPEAT_EVERY: Final = 997
_PIECE_ROWS: Final = 200_000


def path_of(name: str) -> Path:
    """Return where a file lies in the store."""
    found = Path(storages["default"].path(object_key(TENANT, name)))
    found.parent.mkdir(parents=True, exist_ok=True)
    return found


def size(name: str) -> int:
    """Return its bytes."""
    return path_of(name).stat().st_size


def make(name: str, rows: int) -> str:
    """Write a file of so many rows, and return what is in it, in words."""
    truth = make_with_truth(name, rows, seed=1)
    return (
        f"{len(truth.rejects):,} to be refused, {truth.same_again:,} repeated, "
        f"{truth.conflicting:,} in conflict"
    )


def make_with_truth(name: str, rows: int, *, seed: int) -> Truth:
    """Write a file of so many rows and return what a right load finds in it."""
    writer = Writer(seed)
    with path_of(name).open("wb") as file:
        file.writelines(writer.file(rows, BAD_EVERY, REPEAT_EVERY))
    return writer.truth


def make_large(name: str, most_bytes: int) -> dict[str, int]:
    """Write a file of about so many bytes: a piece over and over, with other ids.

    Returns the counts that its load must end with.
    """
    writer = Writer(seed=2)
    header, *lines = writer.file(_PIECE_ROWS, BAD_EVERY, REPEAT_EVERY)
    piece = b"".join(lines)
    pieces = max(1, most_bytes // len(piece))
    with path_of(name).open("wb") as file:
        file.write(header)
        for number in range(pieces):
            file.write(piece.replace(b"ICI0", b"I%03d" % number))
    return {what: count * pieces for what, count in _counts(writer.truth).items()}


def _counts(truth: Truth) -> dict[str, int]:
    repeated = truth.same_again + truth.conflicting
    return {
        "rows": truth.rows,
        "inserted": truth.good - repeated,
        "duplicate": truth.same_again,
        "conflicting": truth.conflicting,
        "rejected": len(truth.rejects),
    }


def copy_with_a_blank_line(name: str, other: str) -> None:
    """Write the same rows as another file: its bytes differ."""
    shutil.copyfile(path_of(name), path_of(other))
    with path_of(other).open("ab") as file:
        file.write(b"\n")
