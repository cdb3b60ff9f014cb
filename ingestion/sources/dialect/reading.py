"""A reading of a file by its dialect: from its start or from where one ended."""

from collections.abc import Iterable, Iterator

from ingestion.sources.base import Position, Record
from ingestion.sources.dialect.body import Body
from ingestion.sources.dialect.definition import Dialect
from ingestion.sources.dialect.opening import open_file, reopened


class DialectReading:
    """The records of a file of some dialect."""

    def __init__(
        self, dialect: Dialect, blocks: Iterable[bytes], resume: Position | None
    ) -> None:
        self._dialect = dialect
        self._blocks = blocks
        self._resume = resume
        self._body: Body | None = None

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in file order; raises SourceError before the first one."""
        dialect, resume = self._dialect, self._resume
        if resume is None or not resume.state:
            self._body = Body(dialect, open_file(dialect, self._blocks))
        else:
            opened = reopened(dialect, self._blocks, resume)
            self._body = Body(dialect, opened, resume.state.get("owner"))
            self._body.recall(resume.state)
        yield from self._body

    @property
    def offset(self) -> int:
        """Return how many bytes of the file were read up to there."""
        return self.position.offset if self._body is None else self._body.mark[0]

    @property
    def position(self) -> Position:
        """Return where a later reading goes on after the record yielded last."""
        if self._body is None:
            return self._resume or Position(0, 1, {})
        return self._body.position
