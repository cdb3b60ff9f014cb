"""Which queues take part in which comparison."""

import importlib
from collections.abc import Sequence
from typing import Final

from benchmarks.peers.system import System

OURS: Final = "ours"
#: Where each queue is; a module is loaded only when its queue takes part.
_PLACES: Final = {
    OURS: "benchmarks.peers.ours:Ours",
    "ours-alone": "benchmarks.peers.ours:OursAlone",
    "celery": "benchmarks.peers.celery_rabbitmq:CeleryOneQueue",
    "celery-queues": "benchmarks.peers.celery_rabbitmq:CeleryQueuePerTenant",
    "celery-results": "benchmarks.peers.celery_rabbitmq:CeleryWithResults",
    "temporal": "benchmarks.peers.temporal:Temporal",
    "procrastinate": "benchmarks.peers.procrastinate_queue:Procrastinate",
    "pgqueuer": "benchmarks.peers.pgqueuer_queue:PgQueuer",
}
NAMES: Final = tuple(_PLACES)
FAIRNESS: Final = (OURS, "celery", "celery-queues", "temporal")
#: Not Temporal: its development server keeps everything in memory, in one process.
THROUGHPUT: Final = (
    OURS,
    "ours-alone",
    "celery",
    "celery-results",
    "procrastinate",
    "pgqueuer",
)


def load(name: str) -> type[System]:
    """Return the class of a queue."""
    module, _, attribute = _PLACES[name].partition(":")
    found: type[System] = getattr(importlib.import_module(module), attribute)
    return found


def chosen(names: Sequence[str], only: Sequence[str]) -> list[str]:
    """Return the names that take part; `only` empty means all.

    `celery` chooses every form of Celery.
    """
    if not only:
        return list(names)
    return [
        name
        for name in names
        if any(name == one or name.startswith(f"{one}-") for one in only)
    ]
