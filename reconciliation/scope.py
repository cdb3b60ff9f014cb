"""What a run looks at, and the ranges of references that it looks at one by one."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

#: Rows of these files and sources; what a tenant may see is the database's business.
IN_SCOPE: Final = """
    t.tenant_id = %(tenant)s AND t.source = ANY(%(sources)s)
    AND t.file_id = ANY(%(files)s)
"""


@dataclass(frozen=True, slots=True)
class Range:
    """References behind one and up to another, that one included; None: no bound.

    Or the rows that have none.
    """

    after: str | None = None
    upto: str | None = None
    is_keyless: bool = False
    #: Its rows lie in the table in the order of their references, more or less.
    is_in_order: bool = False

    def holds(self, column: str) -> str:
        """Return the condition that a column's value is in here."""
        if self.is_keyless:
            return f"{column} IS NULL"
        parts = [f"{column} IS NOT NULL"]
        if self.after is not None:
            parts.append(f"{column} > %(after)s")
        if self.upto is not None:
            parts.append(f"{column} <= %(upto)s")
        return " AND ".join(parts)

    @property
    def bounds(self) -> dict[str, str | None]:
        """Return the parameters of `holds`."""
        return {"after": self.after, "upto": self.upto}


KEYLESS: Final = Range(is_keyless=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a run looks at: the rows of these files between two moments.

    And of what came since the run before it, from `since` to `until`.
    """

    run_id: int
    profile_id: int
    tenant: str
    files: list[int]
    starts: datetime
    ends: datetime
    #: Files that the run before it had not read; None: there was none.
    fresh: list[int] = field(default_factory=list)
    #: All that runs have looked at by now, this one included, is between the two.
    since: datetime | None = None
    until: datetime | None = None
    #: The run before it, whose open questions it takes over, and to which run those
    #: open rows belong.
    previous_id: int | None = None
    previous_holder_id: int | None = None
    #: The run to which its open rows belong: itself, or the full one before it.
    holder_id: int

    @property
    def is_whole(self) -> bool:
        """Return whether its open rows are its own, and all of them are looked at."""
        return self.holder_id == self.run_id

    @property
    def values(self) -> dict[str, Any]:
        """Return the parameters of statements."""
        return {
            "run": self.run_id,
            "profile": self.profile_id,
            "tenant": self.tenant,
            "files": self.files,
            "fresh": self.fresh,
            "starts": self.starts,
            "ends": self.ends,
            "since": self.since,
            "until": self.until,
            "previous": self.previous_id,
            "previous_holder": self.previous_holder_id,
            "holder": self.holder_id,
            "actor": f"run {self.run_id}",
        }
