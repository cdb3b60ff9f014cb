"""What every finder takes and gives: a wish for a service, and the service itself."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a finder may look at and where it may write."""

    #: The environment of the caller; an address given here is taken as it is.
    environ: Mapping[str, str]
    #: A folder that is removed after the tests.
    scratch: Path
    #: Start a server of our own even if one runs at the usual address.
    private: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One service that the tests can use until its finder is left."""

    name: str
    #: "given" by the environment, "found" running, or "started" for these tests.
    how: str
    where: str
    #: Variables that tell the tests how to reach it; never printed.
    environment: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name:<12}{self.how:<9}{self.where}"


Finder = Callable[[Wish], AbstractContextManager[Service]]
