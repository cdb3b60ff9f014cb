"""The names in one document, and damage, which is what ends the reading of it."""

from collections.abc import Callable
from typing import Final

MAX_NAMES: Final = 4096
MAX_NAME_CHARS: Final = 1000
#: No XML text can hold it, so it divides namespace, name and prefix for sure.
SEPARATOR: Final = "\x1f"


class DamageError(Exception):
    """The document cannot be read any further; the message says where and why."""

    def __init__(self, line: int, what: str):
        super().__init__(f"line {line}: {what}")
        self.line = line


def split(tag: str) -> tuple[str, str, str]:
    """Return namespace, name and prefix of a tag; blank where there is none."""
    space, divided, rest = tag.partition(SEPARATOR)
    if not divided:
        return "", tag, ""
    local, _, prefix = rest.partition(SEPARATOR)
    return space, local, prefix


class Names:
    """What the tags mean; the parser keeps each of them, so they are counted."""

    def __init__(self, line: Callable[[], int]) -> None:
        self._line = line
        self._locals: dict[str, str] = {}
        #: The namespace whose names need no mark.
        self.namespace: str | None = None

    def __contains__(self, tag: str) -> bool:
        """Return whether a tag is known."""
        return tag in self._locals

    def __len__(self) -> int:
        """Return how many tags are known."""
        return len(self._locals)

    def local(self, tag: str) -> str:
        """Return the name alone, with its namespace if that is not the message's.

        Raises DamageError if there are too many names, or one is too long.
        """
        known = self._locals.get(tag)
        if known is not None:
            return known
        if len(self._locals) >= MAX_NAMES or len(tag) > MAX_NAME_CHARS:
            what = f"over {MAX_NAMES} names, or one over {MAX_NAME_CHARS} characters"
            raise DamageError(self._line(), what)
        space, local, _ = split(tag)
        if space and space != self.namespace:
            local = f"{{{space}}}{local}"
        self._locals[tag] = local
        return local

    def begin(self, namespace: str) -> None:
        """Read the names as those of a message in that namespace."""
        if namespace != self.namespace:
            self._locals.clear()
            self.namespace = namespace
