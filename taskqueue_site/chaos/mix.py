"""What the producers ask for: a mix of jobs of every length and fate, drawn by seed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

#: Slug and weight of the tenants that share the slots.
TENANTS: Final = {"chaos-a": 1, "chaos-b": 2, "chaos-c": 4, "chaos-d": 1}
_PRIORITIES: Final = ("urgent", "high", "normal", "normal", "normal", "low")
_SLEEP: Final = "/enqueue/sleep"
_INGEST: Final = "/enqueue/ingest"


@dataclass(frozen=True, slots=True)
class Order:
    """One job to ask for, and the rows of the file it needs, if it needs one."""

    tenant: str
    endpoint: str
    body: dict[str, Any]
    file_rows: int = 0
    #: Seconds after which a producer that may cancel does so.
    cancel_after: float | None = None


def draw(rng: Random, number: str, *, now: datetime) -> Order:
    """Return the next order; `number` names its file, `now` dates its start."""
    tenant = rng.choice(tuple(TENANTS))
    kinds, weights = zip(*_MIX, strict=True)
    (make,) = rng.choices(kinds, weights)
    wish = make(rng)
    rows = wish.pop("rows", 0)
    body = {"tenant_id": tenant, "priority": rng.choice(_PRIORITIES), **wish}
    if rows:
        body |= {"s3_path": f"{number}.csv", "source": "UPI"}
    if rng.random() < 0.1:
        body["run_after"] = (now + timedelta(seconds=rng.uniform(1, 12))).isoformat()
    cancel_after = rng.uniform(0, 2) if rng.random() < 0.08 else None
    return Order(tenant, _INGEST if rows else _SLEEP, body, rows, cancel_after)


# Each returns what is particular to its kind of job; files by their number of rows.


def _tiny(rng: Random) -> dict[str, Any]:
    return {"seconds": round(rng.uniform(0, 0.005), 4)}


def _short(rng: Random) -> dict[str, Any]:
    return {"seconds": round(rng.uniform(0.02, 0.3), 3), "steps": rng.randint(1, 3)}


def _medium(rng: Random) -> dict[str, Any]:
    return {"seconds": round(rng.uniform(0.5, 2.5), 3), "steps": rng.randint(4, 12)}


def _long(rng: Random) -> dict[str, Any]:
    return {"seconds": round(rng.uniform(4, 9), 3), "steps": rng.randint(10, 30)}


def _failing(rng: Random) -> dict[str, Any]:
    how = rng.choice(("retryable", "permanent"))
    return {**_short(rng), "fail": how, "max_attempts": 2}


def _poison(_: Random) -> dict[str, Any]:
    return {"seconds": 0.1, "fail": "kill"}


def _file(rng: Random) -> dict[str, Any]:
    return {"rows": rng.randint(200, 4_000)}


def _large_file(rng: Random) -> dict[str, Any]:
    return {"rows": rng.randint(12_000, 20_000)}


_MIX: Final[tuple[tuple[Callable[[Random], dict[str, Any]], float], ...]] = (
    (_tiny, 20),
    (_short, 32),
    (_medium, 18),
    (_long, 4),
    (_failing, 8),
    (_poison, 1),
    (_file, 15),
    (_large_file, 2),
)
