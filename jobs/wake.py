"""Wakes through Redis: they save the dispatcher a wait, and nothing depends on them.

A wake names the tenants that have new work, so that the dispatcher looks for it where
it is. Whatever a lost wake hides, the dispatcher's sweep of all tenants finds.
"""

import atexit
import logging
import threading
import time
from collections.abc import Collection
from functools import lru_cache
from typing import cast

import redis
from django.conf import settings

logger = logging.getLogger(__name__)

_KEY = "dtq:wake:dispatcher"
_TENANTS = "dtq:wake:tenants"
#: More names than this mean that nobody listens: the sweep will find them all.
_MOST_TENANTS = 20_000

#: An API call must not wait for a Redis that hangs; the sweep finds the job anyway.
_SEND_SECONDS = 0.2
#: Longer than any wait for a wake.
_RECEIVE_SECONDS = 2.0
#: A process that ends waits no longer for its last wake.
_CLOSE_SECONDS = 5.0
#: Wakes that follow one within this time travel together.
_TOGETHER_SECONDS = 0.005


@lru_cache(maxsize=2)
def _client(socket_seconds: float) -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=socket_seconds,
        socket_connect_timeout=_SEND_SECONDS,
    )


def client() -> redis.Redis:
    """Return a connection that gives up quickly: nobody may wait for a hint."""
    return _client(_SEND_SECONDS)


def wake_dispatcher(*tenants: str) -> None:
    """Tell the dispatcher that something changed, and for whom there is new work.

    Without Redis its sweep finds it.
    """
    try:
        with client().pipeline(transaction=False) as pipeline:
            if tenants:
                pipeline.sadd(_TENANTS, *tenants)
            pipeline.rpush(_KEY, 1)
            pipeline.ltrim(_KEY, -1, -1)
            pipeline.execute()
    except redis.RedisError as error:
        logger.warning("Unable to wake the dispatcher: %s", error)


class _Sender:
    """Sends wakes from a thread: the first at once, those that follow it together."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tenants: set[str] = set()
        self._more = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_over = False

    def send_soon(self, tenants: Collection[str]) -> None:
        """Have these tenants named in a wake."""
        with self._lock:
            self._tenants.update(tenants)
        self._more.set()
        # Started on first use: a thread does not survive a fork.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, daemon=True, name="wake")
            self._thread.start()

    def close(self) -> None:
        """Send what is not sent yet, and see the thread end.

        Python would stop it wherever it is, be it with a lock that Python itself then
        waits for, for ever.
        """
        self._is_over = True
        self._more.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS)
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            tenants, self._tenants = self._tenants, set()
        if tenants:
            wake_dispatcher(*tenants)

    def _run(self) -> None:
        while True:
            self._more.wait()
            self._more.clear()
            self._flush()
            if self._is_over:
                return
            time.sleep(_TOGETHER_SECONDS)


_sender = _Sender()
atexit.register(_sender.close)


def wake_dispatcher_soon(*tenants: str) -> None:
    """Do the same without waiting for Redis, for callers who have no time for it."""
    _sender.send_soon(tenants)


def wait_for_wake(seconds: float) -> bool:
    """Wait for a wake, at most so many seconds; True when one came.

    Raises redis.RedisError, so that the caller can wait another way.
    """
    return _client(_RECEIVE_SECONDS).blpop([_KEY], timeout=seconds) is not None


def woken_tenants() -> Collection[str]:
    """Take the tenants named since the last call. Raises redis.RedisError."""
    names = cast("list[bytes]", client().spop(_TENANTS, _MOST_TENANTS))
    return [name.decode() for name in names]
