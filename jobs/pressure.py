"""Whether somebody waits for the slots of a pool: told by the dispatcher, in Redis.

A worker asks when an attempt has used up its quantum. The answer only saves a yield
that would help nobody; it expires soon, and without Redis an attempt yields anyway.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis

from jobs.wake import client

logger = logging.getLogger(__name__)

_KEY = "dtq:waiting:"
_EXPIRES_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Pressure:
    """Who waits in a pool: two tenants are enough to know that somebody else does."""

    tenants: Sequence[str]
    #: The highest class waiting of each tenant that has work in flight.
    classes: Mapping[str, int]

    def moves(self, tenant: str, priority: int) -> bool:
        """Return whether an attempt of this tenant and class should give way."""
        if any(waiting != tenant for waiting in self.tenants):
            return True
        return self.classes.get(tenant, priority) < priority


def publish(pool: str, pressure: Pressure) -> None:
    """Tell the pool's workers who waits, for a few seconds."""
    text = json.dumps([list(pressure.tenants), dict(pressure.classes)])
    try:
        client().set(_KEY + pool, text, ex=_EXPIRES_SECONDS)
    except redis.RedisError as error:
        logger.debug("Unable to say who waits in %s: %s", pool, error)


def should_yield(*, pool: str, tenant: str, priority: int) -> bool:
    """Return whether an attempt past its quantum should give its slot back."""
    try:
        text = client().get(_KEY + pool)
    except redis.RedisError:
        return True
    if text is None:
        # No dispatcher speaks: whoever leads next finds the job queued.
        return True
    tenants, classes = json.loads(text)
    return Pressure(tenants, classes).moves(tenant, priority)
