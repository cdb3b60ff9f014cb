"""Finds out whether a file is, byte for byte, one that was loaded before.

The bytes are those that come out of a compressed file.

Only where an earlier file of the source has the same size is its content read once for
that. A file that is known brings nothing new: it names the earlier one, and its job
answers with what came of that.
"""

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Any, Final

from django.db.models import QuerySet
from django.db.models.functions import Now

from ingestion.digest import Hasher
from ingestion.models import IngestedFile
from ingestion.opening import opened
from ingestion.progress import Phase, Progress
from ingestion.sources.base import Source
from jobs.handlers import Checkpoint, Step

#: So much is read between two checkpoints.
STEP_BYTES: Final = 16 * 1024 * 1024


def first_phase(source: Source) -> Phase:
    """Return what is done first with a file that is new."""
    return Phase.VALIDATING if source.has_totals else Phase.LOADING


def could_be_known(source: Source, *, size: int) -> bool:
    """Return whether a file of that size was loaded from the source before."""
    return _loaded(source, size).exists()


def recognise(
    source: Source, progress: Progress
) -> Generator[Step, Checkpoint, Progress]:
    """Take the digest of the whole file and look for it among those loaded before."""
    hasher = Hasher(progress.digest)
    begin = progress.digest.offset
    plain = opened(progress.item, begin)
    for _ in hasher.through(plain, at=begin, since=begin):
        if hasher.digest.offset - progress.digest.offset >= STEP_BYTES:
            progress = replace(progress, digest=hasher.digest)
            yield progress.checkpoint
    whole = replace(progress, digest=hasher.whole())
    checkpoint = yield partial(_look_up, source, whole)
    return Progress.from_json(checkpoint.state)


def _look_up(source: Source, progress: Progress) -> Checkpoint:
    known = _loaded(source, progress.item.size).filter(
        content_digest=progress.digest.chain
    )
    first = known.order_by("id").first()
    if first is None:
        return replace(progress, phase=first_phase(source)).checkpoint()
    IngestedFile.objects.filter(pk=progress.file_id).update(
        state=IngestedFile.State.LOADED,
        loaded_at=Now(),
        content_digest=progress.digest.chain,
        same_as=first,
    )
    return replace(progress, phase=Phase.CLOSED).checkpoint()


def _loaded(source: Source, size: int) -> "QuerySet[Any]":
    """Return the files whose rows are in the ledger, read in the same way."""
    return IngestedFile.objects.filter(
        source=source.name,
        source_version=source.version,
        size=size,
        state=IngestedFile.State.LOADED,
        same_as=None,
    ).exclude(content_digest="")
