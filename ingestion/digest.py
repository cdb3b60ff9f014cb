"""A digest of a file's content that can be gone on with after an interruption. Pure.

SHA-256 keeps no state that could be written down, so it is taken of each block of 4 MiB
and chained: the first block's digest, then of each other the digest of the chain so far
and the block's digest. A file of one block has the SHA-256 that any tool tells; whoever
compares longer ones compares their sizes too.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self

BLOCK_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Digest:
    """The chain up to the end of a block; `is_whole` once the file has no more."""

    offset: int = 0
    chain: str = ""
    is_whole: bool = False

    def followed_by(self, block: bytes, size: int, *, is_last: bool = False) -> Self:
        """Return the chain with the digest of one more block, of `size` bytes."""
        link = bytes.fromhex(self.chain) + block
        chain = (sha256(link).digest() if self.chain else block).hex()
        return type(self)(self.offset + size, chain, is_last)

    @classmethod
    def from_json(cls, data: list[Any]) -> Self:
        """Return what `to_json` wrote."""
        return cls(*data)

    def to_json(self) -> list[Any]:
        """Return it for a checkpoint."""
        return [self.offset, self.chain, self.is_whole]


class Hasher:
    """Takes the digest of what passes through it.

    `digest` is where a later one may begin: it is replaced as a whole, so that another
    thread may look at it at any time.
    """

    def __init__(self, begin: Digest) -> None:
        self.digest = begin
        self._block = sha256()
        self._size = 0

    def through(
        self, blocks: Iterable[bytes], *, at: int, since: int
    ) -> Iterator[bytes]:
        """Yield what lies behind `since` of blocks that start at `at`.

        `at` is no further than `since` and than the digest so far, which takes in what
        is not in it yet.
        """
        for block in blocks:
            self._take(memoryview(block)[max(0, self._taken - at) :])
            if at + len(block) > since:
                yield block if at >= since else block[since - at :]
            at += len(block)

    def whole(self) -> Digest:
        """Return the digest of the file, all of which has passed."""
        if self.digest.is_whole:
            return self.digest
        if self._size or not self.digest.chain:
            self._end_block(is_last=True)
            return self.digest
        return Digest(self.digest.offset, self.digest.chain, True)

    @property
    def _taken(self) -> int:
        return self.digest.offset + self._size

    def _take(self, content: memoryview) -> None:
        while content:
            part = content[: BLOCK_BYTES - self._size]
            self._block.update(part)
            self._size += len(part)
            if self._size == BLOCK_BYTES:
                self._end_block()
            content = content[len(part) :]

    def _end_block(self, *, is_last: bool = False) -> None:
        self.digest = self.digest.followed_by(
            self._block.digest(), self._size, is_last=is_last
        )
        self._block, self._size = sha256(), 0
