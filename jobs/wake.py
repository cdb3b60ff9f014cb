"""Wakes through Redis: they save the dispatcher a wait, and nothing depends on them."""

import logging
from functools import lru_cache

import redis
from django.conf import settings

logger = logging.getLogger(__name__)

_KEY = "dtq:wake:dispatcher"


#: An API call must not wait for a Redis that hangs; the sweep finds the job anyway.
_SEND_SECONDS = 0.2
#: Longer than any wait for a wake.
_RECEIVE_SECONDS = 2.0


@lru_cache(maxsize=2)
def _client(socket_seconds: float) -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=socket_seconds,
        socket_connect_timeout=_SEND_SECONDS,
    )


def wake_dispatcher() -> None:
    """Tell the dispatcher that something changed; without Redis its sweep finds it."""
    try:
        with _client(_SEND_SECONDS).pipeline(transaction=False) as pipeline:
            pipeline.rpush(_KEY, 1)
            pipeline.ltrim(_KEY, -1, -1)
            pipeline.execute()
    except redis.RedisError as error:
        logger.warning("Unable to wake the dispatcher: %s", error)


def wait_for_wake(seconds: float) -> bool:
    """Wait for a wake, at most so many seconds; True when one came.

    Raises redis.RedisError, so that the caller can wait another way.
    """
    return _client(_RECEIVE_SECONDS).blpop([_KEY], timeout=seconds) is not None
