"""How far an ingest is: what its checkpoints keep."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Self

from django.conf import settings

from ingestion.digest import Digest, Hasher
from ingestion.findings import Findings
from ingestion.opening import opened
from ingestion.reading import Chunk, chunks
from ingestion.sources.base import Position, Source
from ingestion.storage import StoredObject
from jobs.handlers import Checkpoint, JSONDict


class Phase(StrEnum):
    """What is being done with a file."""

    RECOGNISING = "recognising"  # its content is compared with that of earlier files
    VALIDATING = "validating"  # its totals are compared, before anything is written
    LOADING = "loading"
    CLOSED = "closed"  # only the report is left to be written


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one job is with one file."""

    file_id: int
    item: StoredObject
    phase: Phase
    #: How often its bytes are turned into records, from the first to the last time.
    passes: int = 1
    #: How many loaders take turns at its chunks.
    loaders: int = 1
    chunk: int = 0
    position: Position | None = None
    #: Bytes of the stored file that were unpacked; None if it is not compressed.
    taken: int | None = None
    digest: Digest = field(default_factory=Digest)
    findings: Findings = field(default_factory=Findings)
    #: What the file says about itself was checked before: its faults are known.
    is_checked: bool = False
    #: What the file is read by: its row may be edited while the load goes on.
    dialect: JSONDict | None = None

    @property
    def offset(self) -> int:
        """Return how many bytes of the file, unpacked, are done with in this phase."""
        return 0 if self.position is None else self.position.offset

    @classmethod
    def from_json(cls, state: JSONDict) -> Self:
        """Return what `to_json` wrote."""
        position = state["position"]
        return cls(
            file_id=state["file_id"],
            item=StoredObject(**state["item"]),
            phase=Phase(state["phase"]),
            passes=state["passes"],
            loaders=state.get("loaders", 1),
            chunk=state["chunk"],
            position=None if position is None else Position.from_json(position),
            taken=state["taken"],
            digest=Digest.from_json(state["digest"]),
            findings=Findings.from_json(state["findings"]),
            is_checked=state["is_checked"],
            dialect=state["dialect"],
        )

    def to_json(self) -> JSONDict:
        """Return the state to keep in the checkpoint."""
        return {
            "file_id": self.file_id,
            "item": asdict(self.item),
            "phase": self.phase.value,
            "passes": self.passes,
            "loaders": self.loaders,
            "chunk": self.chunk,
            "position": None if self.position is None else self.position.to_json(),
            "taken": self.taken,
            "digest": self.digest.to_json(),
            "findings": self.findings.to_json(),
            "is_checked": self.is_checked,
            "dialect": self.dialect,
        }

    def after(self, chunk: Chunk, digest: Digest) -> Self:
        """Return how far it is once a chunk is done with."""
        return replace(
            self,
            chunk=self.chunk + 1,
            position=chunk.position,
            taken=chunk.taken,
            digest=digest,
            findings=self.findings.plus(chunk),
        )

    def checked(self) -> Self:
        """Return the beginning of the load of a file that holds what it says."""
        return replace(
            self,
            phase=Phase.LOADING,
            chunk=0,
            position=None,
            taken=None,
            findings=Findings(),
            is_checked=True,
        )

    def checkpoint(self, **usage: int) -> Checkpoint:
        """Return the checkpoint of the step that led here."""
        size = self.item.size
        before = {Phase.LOADING: self.passes - 1, Phase.CLOSED: self.passes}
        is_last = self.phase is Phase.CLOSED
        here = 0 if is_last else self.offset if self.taken is None else self.taken
        return Checkpoint(
            state=self.to_json(),
            done=before.get(self.phase, 0) * size + here,
            total=self.passes * size,
            unit="bytes",
            is_last=is_last,
            usage={(meter, f"0:{self.chunk}"): used for meter, used in usage.items()},
        )

    def chunks(self, source: Source, hasher: Hasher) -> Iterator[Chunk]:
        """Yield the chunks that are left; all of the file passes through the hasher."""
        begin = min(self.offset, hasher.digest.offset)
        plain = opened(self.item, begin)
        blocks = hasher.through(plain, at=begin, since=self.offset)
        for chunk in chunks(
            source.read(blocks, resume=self.position),
            most_rows=settings.INGEST_CHUNK_ROWS,
        ):
            chunk.taken = plain.taken
            yield chunk
        for _ in blocks:  # what no reader wanted is content as well
            pass
