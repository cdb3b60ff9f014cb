"""How a tenant stands with the scheduler: told on request by the dispatcher, in Redis.

Idea
    Whoever wants to know writes the tenant's name into a set and wakes the dispatcher,
    which answers from its memory within a tenth of a second, one key for each tenant.
    Answers expire after seconds, and until then serve everybody else who asks, so the
    work is bounded by the tenants asked about, however often.

Cost
    For the dispatcher: a look into the set ten times a second; for an answer O(tenants)
    and O(attempts in flight) in memory, and one bounded statement in ten seconds. At
    most `MOST_ANSWERS` tenants are answered at once; the others wait for the next time.

Limits
    A standing is some seconds old at most, and says when it was taken. Without Redis or
    a dispatcher there is none: the asker then has what the ledger says. An answer holds
    numbers of its own tenant and sums over all the others, never another's name.
"""

import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, cast

import redis

from fairshare.contest import ClassPlace, TierContest
from fairshare.gates import Gate, Rate
from fairshare.scheduler import DELTA_US
from fairshare.terms import TenantShare
from jobs import handlers
from jobs.backlog import TenantConfig
from jobs.pool import Pool
from jobs.statements import rows
from jobs.wake import client, wake_dispatcher
from tenants.scoping import apart

logger = logging.getLogger(__name__)

_ASKED: Final = "dtq:standings:asked"
_STANDING: Final = "dtq:standing:"
#: An answer is kept so long, and asked for anew from this age on.
EXPIRES_SECONDS: Final = 10
FRESH_SECONDS: Final = 2.0
#: How often the dispatcher looks who asks, and how many it answers at once.
ANSWER_SECONDS: Final = 0.1
MOST_ANSWERS: Final = 50
#: How long an asker waits for the answer.
PATIENCE_SECONDS: Final = 0.5
_LOOK_SECONDS: Final = 0.03
#: After a failure the dispatcher leaves Redis alone for so long.
_RECOVER_SECONDS: Final = 2.0
_LONGEST_SECONDS: Final = 10.0

# now() and not clock_timestamp(), which no index range can start at.
_LONGEST = """
SELECT pool, max(GREATEST(settled_us, held_us)) FROM (
    SELECT pool, settled_us, held_us FROM jobs_attempt
    WHERE finished_at > now() - interval '1 hour' AND outcome <> 'lost'
    ORDER BY finished_at DESC LIMIT 5000
) AS latest GROUP BY pool
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rivals:
    """All others at one level that have work: their weight and most in flight."""

    weight: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a tenant stands in its pool. Times are in microseconds since the epoch."""

    at_us: int
    pool: str
    slots: int
    share: TenantShare
    cap: int | None
    elastic_cap: int | None
    rate: Rate | None
    is_tier_capped: bool
    ahead_us: int
    tier_weight: int
    tier_ahead_us: int
    rivals: Rivals
    tier_rivals: Rivals
    classes: Mapping[int, ClassPlace]
    #: Its jobs in flight, by class and kind, and how long they have run by now.
    in_flight: Mapping[int, Mapping[str, int]]
    running_us: int
    #: The longest attempt or hold seen in the pool.
    longest_us: int

    def to_json(self) -> str:
        """Return the standing as one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> "Standing":
        """Return the standing that `to_json` wrote.

        Raises TypeError, ValueError or KeyError for what another version wrote.
        """
        told: dict[str, Any] = json.loads(text)
        share = told.pop("share")
        rate = told.pop("rate")
        gate = Gate(share.pop("gate"))
        return cls(
            share=TenantShare(gate=gate, **share),
            rate=None if rate is None else Rate(**rate),
            rivals=Rivals(**told.pop("rivals")),
            tier_rivals=Rivals(**told.pop("tier_rivals")),
            classes={int(p): ClassPlace(*c) for p, c in told.pop("classes").items()},
            in_flight={int(p): kinds for p, kinds in told.pop("in_flight").items()},
            **told,
        )


# --- Asking ---------------------------------------------------------------------------


def standing_of(tenant: str) -> Standing | None:
    """Return how a tenant stands, at most some seconds old; None if nobody says.

    Waits `PATIENCE_SECONDS` at most. The caller has made sure that the asker may know.
    """
    try:
        last, is_fresh = _look_up(tenant)
        return last if is_fresh else _ask(tenant, last)
    except (redis.RedisError, TypeError, ValueError, KeyError) as error:
        logger.warning("Unable to read how %s stands: %s", tenant, error)
        return None


def _ask(tenant: str, last: Standing | None) -> Standing | None:
    with client().pipeline(transaction=False) as pipeline:
        pipeline.sadd(_ASKED, tenant)
        # Where no dispatcher answers, questions do not pile up.
        pipeline.expire(_ASKED, EXPIRES_SECONDS)
        pipeline.execute()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        # Again each time: a dispatcher that looked just before this has gone to wait.
        wake_dispatcher()
        time.sleep(_LOOK_SECONDS)
        found, is_fresh = _look_up(tenant)
        if is_fresh:
            return found
    return last


def _look_up(tenant: str) -> tuple[Standing | None, bool]:
    with client().pipeline(transaction=False) as pipeline:
        pipeline.get(_STANDING + tenant)
        pipeline.pttl(_STANDING + tenant)
        text, left_ms = pipeline.execute()
    if text is None:
        return None, False
    # The key's own clock: the asker's may differ from the dispatcher's.
    age_seconds = EXPIRES_SECONDS - left_ms / 1000
    return Standing.from_json(text), age_seconds <= FRESH_SECONDS


# --- Answering ------------------------------------------------------------------------


class Standings:
    """The dispatcher's side: tells those who ask how their tenants stand."""

    def __init__(self) -> None:
        self._next_answer = 0.0
        self._next_longest = 0.0
        self._longest_us: dict[str, int] = {}

    def answer(
        self,
        pools: Mapping[str, Pool],
        configs: Mapping[str, TenantConfig],
        *,
        now_us: int,
    ) -> None:
        """Answer for the tenants asked about since the last time, if it is due.

        A tenant that is not known yet gets no answer.
        """
        if time.monotonic() < self._next_answer:
            return
        self._next_answer = time.monotonic() + ANSWER_SECONDS
        try:
            asked = cast("list[bytes]", client().spop(_ASKED, MOST_ANSWERS))
            known = [
                configs[name] for name in map(bytes.decode, asked) if name in configs
            ]
            if known:
                _publish(self._standings(pools, known, now_us))
        except redis.RedisError as error:
            logger.debug("Unable to say how tenants stand: %s", error)
            self._next_answer += _RECOVER_SECONDS

    def _standings(
        self,
        pools: Mapping[str, Pool],
        configs: Iterable[TenantConfig],
        now_us: int,
    ) -> list[Standing]:
        self._read_longest()
        by_pool: dict[str, list[TenantConfig]] = {}
        for config in configs:
            by_pool.setdefault(config.pool, []).append(config)
        found = []
        for name, tenants in by_pool.items():
            longest_us = self._longest_us.get(name, 0)
            found += standings_in(pools[name], tenants, longest_us, now_us=now_us)
        return found

    def _read_longest(self) -> None:
        if time.monotonic() < self._next_longest:
            return
        self._next_longest = time.monotonic() + _LONGEST_SECONDS
        with apart(reason="the longest attempt of each pool"):
            self._longest_us = dict(rows(_LONGEST, {}))


def _take_asked() -> list[str]:
    names = cast("list[bytes]", client().spop(_ASKED, MOST_ANSWERS))
    return [name.decode() for name in names]


def _publish(standings: Iterable[Standing]) -> None:
    with client().pipeline(transaction=False) as pipeline:
        for standing in standings:
            key = _STANDING + standing.share.tenant
            pipeline.set(key, standing.to_json(), ex=EXPIRES_SECONDS)
        pipeline.execute()


def standings_in(
    pool: Pool, configs: Iterable[TenantConfig], longest_us: int, *, now_us: int
) -> list[Standing]:
    """Return how some tenants of one pool stand.

    `longest_us` is the longest attempt in the ledger; what is in flight and what kinds
    are assumed to cost can only add to it.
    """
    most = most_in_flight(pool.slots)
    contest = pool.scheduler.contest(most)
    in_flight, running_us = _at_work(pool)
    longest_us = max(longest_us, _longest_in_flight_us(pool), _longest_prior_us())
    return [
        Standing(
            at_us=now_us,
            pool=pool.name,
            slots=pool.slots,
            in_flight=in_flight.get(config.slug, {}),
            running_us=running_us.get(config.slug, 0),
            longest_us=longest_us,
            **_place(pool, config, contest, most),
        )
        for config in configs
    ]


def most_in_flight(slots: int) -> int:
    """Return how many messages a pool has in flight at most: see `Pool.room`."""
    return slots + (slots + 1) // 2


def _place(
    pool: Pool,
    config: TenantConfig,
    contest: Mapping[str, TierContest],
    most: int,
) -> dict[str, Any]:
    share = pool.scheduler.share(config.slug)
    if config.is_paused:
        # Also while nothing of it waits: a job that is due later asks too.
        share = replace(share, gate=Gate.PAUSED)
    place = pool.scheduler.place_of(config.slug)
    tier = contest.get(share.tier)
    others = [found for name, found in contest.items() if name != share.tier]
    own_weight = share.weight if place.has_work else 0
    own_most = most if place.cap is None else min(most, place.cap)
    return {
        "share": share,
        "cap": place.cap,
        "elastic_cap": place.elastic_cap,
        "rate": Rate(config.rate, config.burst or 1) if config.rate else None,
        "is_tier_capped": place.is_tier_capped,
        "ahead_us": place.ahead_us,
        "tier_weight": config.tier_weight,
        "tier_ahead_us": place.tier_ahead_us,
        "rivals": Rivals(
            weight=tier.tenants_weight - own_weight if tier else 0,
            most=tier.tenants_most - (own_most if place.has_work else 0) if tier else 0,
        ),
        "tier_rivals": Rivals(
            weight=sum(other.weight for other in others), most=most * len(others)
        ),
        "classes": {int(p): found for p, found in place.classes.items()},
    }


def _at_work(pool: Pool) -> tuple[dict[str, dict[int, dict[str, int]]], dict[str, int]]:
    """Return each tenant's jobs in flight by class and kind, and how long they run."""
    counts: dict[str, dict[int, dict[str, int]]] = {}
    messages: dict[str, dict[int, int]] = {}
    for flight in pool.flights.values():
        kinds = counts.setdefault(flight.tenant, {}).setdefault(flight.priority, {})
        kinds[flight.kind] = kinds.get(flight.kind, 0) + 1
        # The jobs of a bundle run one after another, in one slot.
        running = messages.setdefault(flight.tenant, {})
        running[id(flight.message)] = flight.message.elapsed_us
    return counts, {name: sum(running.values()) for name, running in messages.items()}


def _longest_in_flight_us(pool: Pool) -> int:
    messages = (flight.message for flight in pool.flights.values())
    return max((max(m.held_us, m.elapsed_us + DELTA_US) for m in messages), default=0)


def _longest_prior_us() -> int:
    return max(map(handlers.prior_us, handlers.names()), default=0)
