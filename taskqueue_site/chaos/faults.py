"""The faults by name: what each does, to what, and how it is undone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Final

from taskqueue_site.chaos.evidence import Interrupted, Ledger
from taskqueue_site.chaos.fleet import Fleet
from taskqueue_site.chaos.proxy import FaultProxy
from taskqueue_site.chaos.servers import Server, Servers
from taskqueue_site.embedded_rabbitmq import EmbeddedRabbitMQ

_QUEUE: Final = "jobs.shared"
#: A leader that is frozen for this long has lost its lease of 4 s.
_PAST_LEADING_S: Final = (6.0, 9.0)

Heal = Callable[[], None]


@dataclass
class Site:
    """What there is to break, and what was interrupted by it."""

    servers: Servers
    fleet: Fleet
    ledger: Ledger
    interrupted: list[Interrupted] = field(default_factory=list)
    #: Servers that were killed.
    crashes: int = 0

    @property
    def kills(self) -> int:
        """How many processes and servers were killed."""
        return self.crashes + self.fleet.kills


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: `begin` does it and returns what ends it."""

    begin: Callable[[Site, Random], Heal]
    #: How long it holds, at least and at most, in seconds.
    holds: tuple[float, float]
    #: Counted from the end of a worker's lease.
    outlasts_lease: bool = False
    needs_rabbitmq: bool = False


def _nothing() -> None:
    """Undo nothing: the supervisor or the product itself does."""


def _interrupt(site: Site, rng: Random) -> str:
    """Return a worker to interrupt, the busiest; what it is at work on is noted."""
    names = site.fleet.names("worker")
    rng.shuffle(names)
    at_work = {name: site.ledger.interrupted(site.fleet.pid(name)) for name in names}
    victim = max(names, key=lambda name: len(at_work[name].attempt_ids))
    site.interrupted.append(at_work[victim])
    return victim


# --- Processes ------------------------------------------------------------------------


def _kill_worker(site: Site, rng: Random) -> Heal:
    name = _interrupt(site, rng)
    site.fleet.kill(name)
    return _nothing


def _kill_child(site: Site, rng: Random) -> Heal:
    name = _interrupt(site, rng)
    child = site.fleet.child(name, rng)
    site.fleet.kill_child(child)
    return _nothing


def _freeze_worker(site: Site, rng: Random) -> Heal:
    name = _interrupt(site, rng)
    site.fleet.freeze(name)
    return lambda: site.fleet.thaw(name)


def _freeze_child(site: Site, rng: Random) -> Heal:
    name = _interrupt(site, rng)
    child = site.fleet.child(name, rng)
    site.fleet.freeze_child(child)
    return lambda: site.fleet.thaw_child(child)


def _drain(site: Site, rng: Random) -> Heal:
    site.fleet.terminate(rng.choice(site.fleet.names("worker")))
    return _nothing


def _leader(site: Site) -> str:
    """Return the dispatcher that leads, or any if nobody does."""
    holder = site.ledger.leader()
    names = site.fleet.names("dispatcher")
    leading = [n for n in names if f":{site.fleet.pid(n)}:" in holder]
    return (leading or names)[0]


def _kill_leader(site: Site, _: Random) -> Heal:
    site.fleet.kill(_leader(site))
    return _nothing


def _split_leader(site: Site, _: Random) -> Heal:
    name = _leader(site)
    site.fleet.freeze(name)
    return lambda: site.fleet.thaw(name)


def _kill_web(site: Site, _: Random) -> Heal:
    site.fleet.kill("web")
    return _nothing


def _kill_beat(site: Site, rng: Random) -> Heal:
    site.fleet.kill(rng.choice(site.fleet.names("beat")))
    return _nothing


# --- Servers --------------------------------------------------------------------------


def _crash(server: Callable[[Servers], Server]) -> Callable[[Site, Random], Heal]:
    def begin(site: Site, _: Random) -> Heal:
        victim = server(site.servers)
        site.servers.crash(victim)
        site.crashes += 1
        return lambda: site.servers.start_again(victim)

    return begin


def _empty_redis(site: Site, rng: Random) -> Heal:
    if rng.random() < 0.5:
        site.servers.flush_valkey()
        return _nothing
    site.servers.empty_valkey()
    site.crashes += 1
    return lambda: site.servers.start_again(site.servers.valkey)


def _partition(
    server: Callable[[Servers], Server],
) -> Callable[[Site, Random], Heal]:
    def begin(site: Site, rng: Random) -> Heal:
        proxy = site.servers.proxy(server(site.servers))
        way = rng.choice(_WAYS_TO_PART)
        way(proxy)
        return proxy.heal

    return begin


#: A network can be slow, silent, deaf on one side, or say no.
_WAYS_TO_PART: Final[tuple[Callable[[FaultProxy], object], ...]] = (
    FaultProxy.freeze,
    FaultProxy.half_open,
    FaultProxy.refuse,
    FaultProxy.reset,
    lambda proxy: proxy.delay(0.15, jitter=0.3),
    lambda proxy: proxy.cut_after(20_000),
)


def _refuse_redis(site: Site, _: Random) -> Heal:
    proxy = site.servers.proxy(site.servers.valkey)
    proxy.refuse()
    return proxy.heal


def _drop_confirms(site: Site, _: Random) -> Heal:
    proxy = site.servers.proxy(site.servers.broker)
    proxy.drop_confirms()
    return proxy.heal


def _purge_queue(site: Site, _: Random) -> Heal:
    site.servers.purge_queue(_QUEUE)
    return _nothing


def _delete_queue(site: Site, _: Random) -> Heal:
    site.servers.delete_queue(_QUEUE)
    return _nothing


def _alarm(site: Site, _: Random) -> Heal:
    node = site.servers.broker
    assert isinstance(node, EmbeddedRabbitMQ)  # noqa: S101 - `needs_rabbitmq`
    node.control("set_vm_memory_high_watermark", "0.0000001")
    return lambda: node.control("set_vm_memory_high_watermark", "0.4")


def _postgres(servers: Servers) -> Server:
    return servers.postgres


def _broker(servers: Servers) -> Server:
    return servers.broker


CATALOGUE: Final[Mapping[str, Fault]] = {
    "worker-kill-9": Fault(_kill_worker, (1.0, 3.0)),
    "child-kill": Fault(_kill_child, (0.5, 1.0)),
    "worker-freeze": Fault(_freeze_worker, (2.0, 6.0), outlasts_lease=True),
    "zombie-stop-cont": Fault(_freeze_child, (2.0, 6.0), outlasts_lease=True),
    "drain": Fault(_drain, (1.0, 3.0)),
    "dispatcher-kill": Fault(_kill_leader, (1.0, 3.0)),
    "dispatcher-split": Fault(_split_leader, _PAST_LEADING_S),
    "web-kill": Fault(_kill_web, (1.0, 3.0)),
    "beat-kill": Fault(_kill_beat, (0.5, 1.0)),
    "pg-crash": Fault(_crash(_postgres), (0.2, 3.0)),
    "pg-partition": Fault(_partition(_postgres), (2.0, 8.0)),
    "broker-restart": Fault(_crash(_broker), (0.5, 4.0)),
    "broker-partition": Fault(_partition(_broker), (2.0, 12.0)),
    "confirm-drop": Fault(_drop_confirms, (4.0, 8.0), needs_rabbitmq=True),
    "queue-purge": Fault(_purge_queue, (0.5, 1.0), needs_rabbitmq=True),
    "queue-delete": Fault(_delete_queue, (0.5, 1.0), needs_rabbitmq=True),
    "memory-alarm": Fault(_alarm, (4.0, 10.0), needs_rabbitmq=True),
    "redis-flush": Fault(_empty_redis, (0.2, 2.0)),
    "redis-away": Fault(_refuse_redis, (2.0, 8.0)),
}


def holds(names: list[str], *, lease_seconds: float) -> dict[str, tuple[float, float]]:
    """Return how long each of the faults holds, at least and at most."""
    found = {}
    for name in names:
        fault = CATALOGUE[name]
        longer = lease_seconds if fault.outlasts_lease else 0.0
        found[name] = (fault.holds[0] + longer, fault.holds[1] + longer)
    return found


def names_for(broker: str) -> list[str]:
    """Return the faults that a run with this broker can have."""
    return [
        name
        for name, fault in CATALOGUE.items()
        if broker == "rabbitmq" or not fault.needs_rabbitmq
    ]
