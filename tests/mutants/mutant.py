"""What a planted bug is, and how it is put into a source text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A replacement in one file, and the tests of which at least one must fail."""

    number: int
    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def is_in_schema(self) -> bool:
        """Whether the test database has to be made anew for it."""
        return "/migrations/" in self.file or self.file == "tenants/rls.py"

    def planted(self, source: str) -> str:
        """Return the source with the bug.

        Raises ValueError unless there is exactly one place for it.
        """
        places = source.count(self.old)
        if places != 1:
            raise ValueError(f"bug {self.number} has {places} places in {self.file}")
        return source.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A bug that cannot be planted yet, as what it would break does not exist."""

    number: int
    name: str
    waits_for: str
