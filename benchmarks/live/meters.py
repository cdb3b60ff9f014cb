"""CPU and memory of a run: the queue's processes, its servers, and everybody else's.

A thread looks at every process once a second, so that the CPU of one that has ended
meanwhile is known up to its last second. A server that others use too counts as a whole
(RabbitMQ, Redis) or by its connections to the run's own database (PostgreSQL).
"""

import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Self

import psutil

SAMPLE_SECONDS: Final = 1.0

#: Parts of the sum, in the order of the report.
PROCESSES, POSTGRESQL, RABBITMQ, REDIS = "processes", "postgresql", "rabbitmq", "redis"
#: Neither the queue's nor somebody else's: who sends the jobs, and who looks on.
PRODUCERS, HARNESS = "producers", "harness"
_APART: Final = (PRODUCERS, HARNESS)
_SERVERS: Final = {
    "postgres": POSTGRESQL,
    "beam.smp": RABBITMQ,
    "redis-server": REDIS,
    "valkey-server": REDIS,
}
_FIELDS: Final = ["pid", "ppid", "name", "cpu_times", "memory_info", "create_time"]


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds used so far, by part, and by the whole machine."""

    parts: Mapping[str, float]
    busy: float
    total: float

    def since(self, earlier: "Reading") -> "Reading":
        """Return what was used between two readings."""
        parts = {
            part: seconds - earlier.parts.get(part, 0.0)
            for part, seconds in self.parts.items()
        }
        return Reading(parts, self.busy - earlier.busy, self.total - earlier.total)

    def with_part(self, part: str, seconds: float) -> "Reading":
        """Return the reading with one part that is known better than by looking."""
        return replace(self, parts={**self.parts, part: seconds})

    @property
    def ours(self) -> float:
        """Return the CPU seconds of the queue and its servers."""
        return sum(s for part, s in self.parts.items() if part not in _APART)

    @property
    def others_share(self) -> float:
        """Return the share of the machine's CPU that nobody of the run has used."""
        if self.total <= 0:
            return 0.0
        return max(0.0, self.busy - sum(self.parts.values())) / self.total


@dataclass(slots=True)
class _Seen:
    """A process as it was when last looked at, and its CPU when first."""

    part: str
    first: float
    last: float


@dataclass(slots=True)
class Meter:
    """Samples until it is left; `roots` are the processes started, by part."""

    roots: Callable[[], Mapping[str, Iterable[int]]]
    #: The servers that the queue uses; what the others do is somebody else's load.
    servers: Collection[str]
    database: Callable[[], str]
    #: Largest sum of resident memory seen, by part, in bytes.
    peak_rss: dict[str, int] = field(default_factory=dict)
    _seen: dict[tuple[int, float], _Seen] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to sample."""
        self.read()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def read(self) -> Reading:
        """Look at every process now, and return what was used so far."""
        with self._lock:
            self._look()
            parts: dict[str, float] = {}
            for seen in self._seen.values():
                used = seen.last - seen.first
                parts[seen.part] = parts.get(seen.part, 0.0) + used
        times = psutil.cpu_times()
        total = float(sum(times[:8]))  # guest time is part of user time
        idle = float(times.idle + getattr(times, "iowait", 0.0))
        return Reading(parts, total - idle, total)

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.read()

    def _look(self) -> None:
        infos = [process.info for process in psutil.process_iter(_FIELDS)]
        tree = {
            pid: part
            for part, roots in self.roots().items()
            for pid in _descendants(infos, set(roots))
        }
        memory: dict[str, int] = {}
        for info in infos:
            if not info["cpu_times"] or not info["memory_info"]:
                continue  # a zombie, or somebody else's
            part = self._part(info, tree)
            if part is not None:
                self._note(info, part)
                memory[part] = memory.get(part, 0) + info["memory_info"].rss
        for part, rss in memory.items():
            self.peak_rss[part] = max(rss, self.peak_rss.get(part, 0))

    def _part(self, info: Mapping[str, Any], tree: Mapping[int, str]) -> str | None:
        if info["pid"] in tree:
            return tree[info["pid"]]
        if info["pid"] == os.getpid():
            return HARNESS
        part = _SERVERS.get(info["name"])
        if part not in self.servers:
            return None
        if part == POSTGRESQL and not self._is_own_backend(info["pid"]):
            return None
        return part

    def _is_own_backend(self, pid: int) -> bool:
        """Return whether a server process serves our database, as its title says."""
        name = self.database()
        try:
            words = " ".join(psutil.Process(pid).cmdline()).split()
        except psutil.Error:
            return False
        return bool(name) and name in words

    def _note(self, info: Mapping[str, Any], part: str) -> None:
        used = info["cpu_times"].user + info["cpu_times"].system
        key = (info["pid"], info["create_time"])
        seen = self._seen.get(key)
        if seen is not None:
            seen.last = used
            return
        # What began before us has used CPU that is not the run's.
        is_old = part in (RABBITMQ, REDIS, HARNESS)
        self._seen[key] = _Seen(part, used if is_old else 0.0, used)


def _descendants(infos: Iterable[Mapping[str, Any]], roots: set[int]) -> set[int]:
    """Return the roots and all that descend from them."""
    children: dict[int, list[int]] = {}
    for info in infos:
        children.setdefault(info["ppid"], []).append(info["pid"])
    found, queue = set(roots), list(roots)
    while queue:
        for child in children.get(queue.pop(), []):
            if child not in found:
                found.add(child)
                queue.append(child)
    return found


def load_report(used: Reading, meter: Meter, *, jobs: int) -> dict[str, Any]:
    """Return the load of a stretch for JSON: CPU in s and in ms per job, memory in MB.

    Resident memory counts a page that processes share once for each of them.
    """
    return {
        "others_cpu_share": round(used.others_share, 3),
        "cpu_ms_per_job": round(1000 * used.ours / jobs, 3) if jobs > 0 else None,
        "cpu_s": {part: round(seconds, 2) for part, seconds in used.parts.items()},
        "peak_rss_mb": {
            part: round(size / 2**20)
            for part, size in meter.peak_rss.items()
            if part not in _APART
        },
    }
