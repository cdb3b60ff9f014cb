"""What a producer saw, line by line on disk before it goes on: the client's truth."""

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taskqueue_site.chaos.verdict import FileTruth


class Journal:
    """A file of JSON lines, each on disk when `write` returns; for many threads."""

    def __init__(self, path: Path) -> None:
        """Append to `path`, which need not exist."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()

    def write(self, what: str, **values: Any) -> None:
        """Add one line."""
        line = json.dumps({"what": what, **values}) + "\n"
        with self._lock:
            os.write(self._file, line.encode())
            os.fsync(self._file)


@dataclass
class Seen:
    """A journal read so far."""

    posts: int = 0
    #: Posts that may or may not have been taken: no answer came, or an error.
    unknown: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    #: Body of each accepted job, by its id.
    accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[tuple[str, str], FileTruth] = field(default_factory=dict)
    cancels: int = 0
    #: A repeated post with the same key gets the same job.
    is_idempotent: bool = False

    def add(self, line: dict[str, Any]) -> None:
        """Take one line into account."""
        match line["what"]:
            case "post":
                self.posts += 1
            case "unknown":
                self.unknown += 1
            case "refused":
                self.refused[str(line["why"])] += 1
            case "accepted":
                self.accepted[line["id"]] = line["body"]
            case "file":
                truth = FileTruth(**line["truth"])
                self.files[line["tenant"], line["path"]] = truth
            case "cancel":
                self.cancels += 1
            case "api":
                self.is_idempotent = line["is_idempotent"]


class Reader:
    """Follows a journal that is still being written."""

    def __init__(self, path: Path) -> None:
        """Prepare to read `path`, which need not exist yet."""
        self._path = path
        self._offset = 0
        self.seen = Seen()

    def read(self) -> Seen:
        """Return all that has been written until now."""
        for line in self._new_lines():
            self.seen.add(json.loads(line))
        return self.seen

    def _new_lines(self) -> Iterator[bytes]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # its rest is being written
                self._offset += len(line)
                yield line
