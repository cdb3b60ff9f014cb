"""The files of tests/corpus that are not stored but made: steps of a recipe to bytes.

Each step works on what the steps before it made. The README of the folder lists them.
What is repeated is yielded in blocks, so that a GiB of zeros is never held.
"""

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

from ingestion.sources.inflate import Limits
from ingestion.sources.unpacking import Unpacked

ROOT: Final = Path(__file__).parents[1]
#: A block of something that is repeated has about so many bytes.
_BLOCK_BYTES: Final = 1 << 18
_GZIP: Final = 31
_ENTRY, _LOCAL = b"PK\x01\x02", b"PK\x03\x04"

Blocks = Iterator[bytes]
Step = Mapping[str, Any]


def made(steps: Sequence[Step], folder: Path) -> Blocks:
    """Return the blocks of the file that a recipe makes.

    Files that it names are looked for in `folder`, then in the project. Raises KeyError
    for a step that nobody knows.
    """
    blocks: Blocks = iter(())
    for step in steps:
        (kind,) = _STEPS.keys() & step.keys()
        blocks = _STEPS[kind](blocks, step, folder)
    return blocks


def _text(blocks: Blocks, step: Step, folder: Path) -> Blocks:
    data = step["text"].encode(step.get("encoding", "utf-8"), "surrogateescape")
    yield from blocks
    yield from _repeated(data, step.get("times", 1))


def _hex(blocks: Blocks, step: Step, folder: Path) -> Blocks:
    yield from blocks
    yield from _repeated(bytes.fromhex(step["hex"]), step.get("times", 1))


def _numbered(blocks: Blocks, step: Step, folder: Path) -> Blocks:
    yield from blocks
    first = step.get("from", 1)
    for number in range(first, first + step["times"]):
        yield step["numbered"].replace("#", str(number)).encode()


def _file(blocks: Blocks, step: Step, folder: Path) -> Blocks:
    yield from blocks
    beside = folder / step["file"]
    yield (beside if beside.exists() else ROOT / step["file"]).read_bytes()


def _cut(blocks: Blocks, step: Step, folder: Path) -> Blocks:
    """Keep so many bytes; with a minus, all but so many."""
    yield b"".join(blocks)[: step["cut"]]


def _patch(blocks: Blocks, step: Step, folder: Path) -> Blocks:
    """Put other bytes in the place of those from `patch` on; a minus counts back."""
    data, new = b"".join(blocks), bytes.fromhex(step["with"])
    at = step["patch"] % len(data)
    yield data[:at] + new + data[at + len(new) :]


def _join(blocks: Blocks, step: Step, folder: Path) -> Blocks:
    """Add what a recipe of its own makes."""
    yield from blocks
    yield from made(step["join"], folder)


def _wrap(blocks: Blocks, step: Step, folder: Path) -> Blocks:
    return _WRAPS[step["wrap"]](blocks, step)


def _gzip(blocks: Blocks, step: Step) -> Blocks:
    packer = zlib.compressobj(9, wbits=_GZIP)
    for block in blocks:
        yield packer.compress(block)
    yield packer.flush()


def _zip(blocks: Blocks, step: Step) -> Blocks:
    """Make an entry of what there is so far, and others `beside` it, or `empty`."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")  # of a name that is there already
        if "name" in step:
            info = zipfile.ZipInfo(step["name"])
            info.compress_type = getattr(zipfile, f"ZIP_{step.get('how', 'DEFLATED')}")
            info.external_attr = step.get("mode", 0o100644) << 16
            with archive.open(info, "w") as entry:
                for block in blocks:
                    entry.write(block)
        for name, text in step.get("beside", []):
            archive.writestr(zipfile.ZipInfo(name), text)
        for number in range(step.get("empty", 0)):
            archive.writestr(zipfile.ZipInfo(f"e{number}"), b"")
    data = bytearray(file.getvalue())
    if "flags" in step:
        for mark, at in ((_LOCAL, 6), (_ENTRY, 8)):
            struct.pack_into("<H", data, data.find(mark) + at, step["flags"])
    yield bytes(data)


def _repeated(data: bytes, times: int) -> Blocks:
    many = max(1, _BLOCK_BYTES // max(1, len(data)))
    block = data * min(many, times)
    for _ in range(times // many):
        yield block
    if rest := times % many:
        yield data * rest


_WRAPS: Final[Mapping[str, Callable[[Blocks, Step], Blocks]]] = {
    "gzip": _gzip,
    "zip": _zip,
}
_STEPS: Final[Mapping[str, Callable[[Blocks, Step, Path], Blocks]]] = {
    "text": _text,
    "hex": _hex,
    "numbered": _numbered,
    "file": _file,
    "cut": _cut,
    "patch": _patch,
    "join": _join,
    "wrap": _wrap,
}


def unpacked(blocks: Blocks) -> Unpacked:
    """Return a made file as an ingest reads it: unpacked, within the usual limits.

    It is made while it is read, but for a zip, which is read from its end.
    """
    first = next(blocks, b"")
    whole = chain((first,), blocks)
    if not first.startswith(b"PK"):
        return Unpacked(lambda _offset, _end: whole, 0, limits=Limits())
    data = b"".join(whole)
    return Unpacked(
        lambda offset, end: iter((data[offset:end],)), len(data), limits=Limits()
    )
