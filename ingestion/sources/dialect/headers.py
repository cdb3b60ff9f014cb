"""Which column of a file is which field: names, aliases and places."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ingestion.sources.dialect.definition import FIELDS, Dialect

#: `Dr / Cr#2`: the second column of that name.
_NUMBERED: Final = re.compile("(.+)#([2-9])")
#: Nowhere: the place of a column that a file does not have.
ABSENT: Final = -1


def key_of(text: str) -> str:
    """Return the form in which names are compared: letters and digits, case ignored.

    A name without any, such as a currency's sign, is compared as it is.
    """
    return "".join(filter(str.isalnum, text)).casefold() or text.strip()


def column_names(cells: Iterable[str]) -> tuple[str, ...]:
    """Return names that differ: a blank one is called by its place, a repeated one
    has its number behind it (`Dr / Cr`, `Dr / Cr#2`)."""
    names: list[str] = []
    seen: dict[str, int] = {}
    for place, cell in enumerate(cells, 1):
        name = " ".join(cell.split()) or f"column_{place}"
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(names)


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one file; `at` has the place of each field that it has."""

    names: tuple[str, ...]
    at: Mapping[str, int]

    @property
    def has_sides(self) -> bool:
        """Return whether debits and credits have a column each."""
        return "debit" in self.at and "credit" in self.at

    def place(self, field: str) -> int:
        """Return the place of a field, `ABSENT` without one."""
        return self.at.get(field, ABSENT)

    def name(self, field: str) -> str:
        """Return how the file calls a field."""
        return self.names[self.at[field]] if field in self.at else field


def laid_out(dialect: Dialect, cells: Sequence[str]) -> Layout:
    """Return the layout of a file whose header has these cells."""
    return Layout(column_names(cells), MappingProxyType(_places(dialect, cells)))


def placed(dialect: Dialect, width: int) -> Layout:
    """Return the layout of a file without a header, by the places of its columns."""
    at = {field: int(told[0]) - 1 for field, told in dialect.columns.items() if told}
    names = tuple(f"column_{place}" for place in range(1, width + 1))
    return Layout(names, MappingProxyType(at))


def lacking(dialect: Dialect, layout: Layout) -> list[str]:
    """Return the first names of the columns that the dialect cannot do without."""
    wanted = [*dialect.required, "date"]
    if "id" in dialect.columns:
        wanted.append("id")
    if not layout.has_sides and "amount" in dialect.columns:
        wanted += ["amount", *({"direction"} & dialect.columns.keys())]
    elif not layout.has_sides:
        wanted += ["debit", "credit"]
    missing = [field for field in dict.fromkeys(wanted) if field not in layout.at]
    return [dialect.columns[field][0] for field in missing]


def _places(dialect: Dialect, cells: Sequence[str]) -> dict[str, int]:
    places = _by_key(cells)
    at: dict[str, int] = {}
    for field in FIELDS:
        if field == "direction" and "debit" in at and "credit" in at:
            continue  # a column of that name then tells the side of the balance
        for alias in dialect.columns.get(field, ()):
            place = places.get(_alias_key(alias))
            taken = field == "balance_direction" and place == at.get("direction")
            if place is not None and not taken:
                at[field] = place
                break
    return at


def _by_key(cells: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    seen: dict[str, int] = {}
    for place, cell in enumerate(cells):
        if key := key_of(cell):
            seen[key] = seen.get(key, 0) + 1
            places[key if seen[key] == 1 else f"{key}#{seen[key]}"] = place
    return places


def _alias_key(alias: str) -> str:
    match = _NUMBERED.fullmatch(alias)
    return f"{key_of(match[1])}#{match[2]}" if match else key_of(alias)
