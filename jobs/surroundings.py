"""What the ledger stands among: is each part there, and as it should be?

Reads only. A queue that exists is declared once more as jobs/queues.py says, which
changes nothing: it is how RabbitMQ compares the two.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import redis
from celery import current_app
from django.apps import apps
from django.conf import settings
from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from kombu import Connection, Queue
from kombu.exceptions import KombuError
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs import backlog, dead_letters
from jobs.audit import read_only
from jobs.dispatcher import LEASE_NAME, WORKER_FRESH_SECONDS
from jobs.queues import DEAD_LETTER_QUEUE, pool_queue
from jobs.statements import rows
from jobs.switches import turned_off
from tenants import checks, rls
from tenants.models import Tenant
from tenants.scoping import TenantOwned, TenantShared, all_tenants

#: Seconds that Redis and the broker have for an answer, and each look at the ledger.
PART_SECONDS: Final = 2
LEDGER_SECONDS: Final = 10
#: Dead letters that are counted; more are "more than".
MOST_DEAD: Final = 10_000
#: Tenants, kinds and pools with a switch off that are named; the rest is counted.
MOST_OFF: Final = 5


class Verdict(StrEnum):
    """How bad a sign is."""

    OK = "ok"
    WARN = "warn"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Sign:
    """What was found about one part, and what to do unless it is ok."""

    part: str
    verdict: Verdict
    text: str
    remedy: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the sign as a JSON object."""
        return asdict(self)


def look_around() -> list[Sign]:
    """Return the signs of all parts; of the ledger's only if the database is well."""
    signs = [_database()]
    if signs[0].verdict is Verdict.OK:
        for look in (_login, _walls, _leader, _workers, _dead_letters, _switches):
            signs += _in_ledger(look)
    return [*signs, _redis(), *_broker(_pools(signs))]


# --- The database ---------------------------------------------------------------------


def _database() -> Sign:
    try:
        executor = MigrationExecutor(connection)
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error as error:
        return _away("database", error, "Start PostgreSQL, or correct DATABASE_URL.")
    if pending:
        names = ", ".join(f"{each.app_label}.{each.name}" for each, _ in pending)
        text = f"migrations are not applied: {names}"
        return Sign("database", Verdict.WRONG, text, "Run `manage.py migrate`.")
    return Sign("database", Verdict.OK, "answers, with all migrations applied")


def _in_ledger(look: Callable[[], list[Sign]]) -> list[Sign]:
    part = look.__name__.strip("_").replace("_", " ")
    try:
        with all_tenants(reason="doctor"):
            read_only(LEDGER_SECONDS)
            return look()
    except Error as error:
        remedy = "Run this again; if it stays, look at PostgreSQL's log."
        return [_away(part, error, remedy)]


def _login() -> list[Sign]:
    if checks.login_role_is_exempt():
        return [Sign("login", Verdict.WARN, checks.EXEMPT, checks.EXEMPT_HINT)]
    return [Sign("login", Verdict.OK, "is bound by row-level security")]


def _walls() -> list[Sign]:
    kinds = (Tenant, TenantOwned, TenantShared)
    owned = [m for m in apps.get_models() if issubclass(m, kinds)]
    tables = {model._meta.db_table for model in owned if model._meta.managed}
    if open_ := rls.unprotected(tables):
        text = (
            f"row-level security is not forced, or lacks a policy: {', '.join(open_)}"
        )
        remedy = (
            "A tenant may see another's rows. Put it back as `protect` in "
            "tenants/rls.py does, and find out who took it away."
        )
        return [Sign("walls", Verdict.WRONG, text, remedy)]
    text = f"{len(tables)} tables of tenants are behind row-level security"
    return [Sign("walls", Verdict.OK, text)]


# --- The processes, as the ledger knows them ------------------------------------------

_LEADER = """
SELECT holder, term FROM jobs_leaderlease
WHERE name = %(name)s AND expires_at > clock_timestamp()
"""

# One look-up in the index of queued jobs for each tenant.
_WAITING = """
SELECT DISTINCT COALESCE(NULLIF(t.pool, ''), tier.default_pool)
FROM tenants_tenant t JOIN tenants_tier tier ON tier.name = t.tier_id
WHERE NOT t.is_paused AND EXISTS (
    SELECT FROM jobs_job j WHERE j.tenant_id = t.slug AND j.state = 'queued')
ORDER BY 1
"""


def _leader() -> list[Sign]:
    found = rows(_LEADER, {"name": LEASE_NAME})
    if not found:
        remedy = "Start one with `manage.py dispatch`; nothing is dispatched meanwhile."
        return [Sign("dispatcher", Verdict.WRONG, "none leads", remedy)]
    ((holder, term),) = found
    return [Sign("dispatcher", Verdict.OK, f"{holder} leads, term {term}")]


def _workers() -> list[Sign]:
    slots = backlog.slots(fresh_seconds=WORKER_FRESH_SECONDS)
    waiting = {pool for (pool,) in rows(_WAITING, {})}
    return [_pool_sign(pool, slots, waiting) for pool in sorted({*slots, *waiting})]


def _pool_sign(pool: str, slots: dict[str, int], waiting: set[str]) -> Sign:
    number, part = slots.get(pool, 0), f"{_POOL}{pool}"
    if number or pool not in waiting:
        return Sign(part, Verdict.OK, f"{number} slots of live workers")
    remedy = f"Start one with `manage.py worker --pool {pool}`."
    return Sign(part, Verdict.WRONG, "jobs wait and no worker serves it", remedy)


_POOL: Final = "pool "


def _pools(signs: list[Sign]) -> list[str]:
    """Return the pools that have workers or waiting work."""
    named = (s.part for s in signs if s.part.startswith(_POOL))
    return [part.removeprefix(_POOL) for part in named]


def _dead_letters() -> list[Sign]:
    count = dead_letters.count(most=MOST_DEAD)
    number = f"more than {count:,}" if count == MOST_DEAD else f"{count:,}"
    return [Sign("dead letters", Verdict.OK, f"{number} wait for a person to decide")]


def _switches() -> list[Sign]:
    off = [f"{row['scope']} {row['name']}" for row in turned_off()]
    if not off:
        return [Sign("switches", Verdict.OK, "everything is on")]
    more = f" and {len(off) - MOST_OFF:,} more" if len(off) > MOST_OFF else ""
    text = f"off, in part or wholly, for {', '.join(off[:MOST_OFF])}{more}"
    remedy = "`manage.py switch` says what, and why, and turns it on."
    return [Sign("switches", Verdict.WARN, text, remedy)]


# --- Redis and the broker -------------------------------------------------------------


def _redis() -> Sign:
    try:
        with redis.Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=PART_SECONDS,
            socket_connect_timeout=PART_SECONDS,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            client.ping()
    except redis.RedisError as error:
        remedy = "Start it, or correct REDIS_URL; until then jobs start later."
        return _away("redis", error, remedy)
    return Sign("redis", Verdict.OK, "answers")


def _broker(pools: list[str]) -> list[Sign]:
    try:
        with current_app.connection_for_write(
            connect_timeout=PART_SECONDS, transport_options=hurry(PART_SECONDS)
        ) as broker:
            broker.connect()
            answers = Sign("broker", Verdict.OK, "answers")
            if broker.transport.driver_type != "amqp":
                return [answers]
            return [answers, *_queues(broker, pools)]
    except (KombuError, redis.RedisError, OSError) as error:
        remedy = (
            "Start it, or correct BROKER_URL; jobs are accepted and wait until then."
        )
        return [_away("broker", error, remedy)]


def hurry(seconds: float) -> dict[str, float]:
    """Return the options of a connection that waits so long for each answer.

    A frozen broker accepts a connection and says nothing, and the options of the
    product's own connections are patient.
    """
    names = ("socket_timeout", "socket_connect_timeout")
    url = current_app.conf.broker_write_url or current_app.conf.broker_url
    if url.startswith("amqp"):
        names = ("read_timeout", "write_timeout")
    return dict.fromkeys(names, seconds)


def _queues(broker: Connection, pools: list[str]) -> Iterator[Sign]:
    for pool in pools:
        sign, _ = _queue(broker, pool_queue(pool), "Its first worker makes it.")
        yield sign
    sign, messages = _queue(
        broker, DEAD_LETTER_QUEUE, "Messages that are refused have nowhere to go."
    )
    if sign.verdict is Verdict.OK and messages:
        text = f"{messages:,} messages that the broker or a worker gave up on"
        remedy = (
            "Their attempts are replaced by themselves. Look at what is in them before "
            "you purge the queue."
        )
        sign = Sign(sign.part, Verdict.WARN, text, remedy)
    yield sign


def _queue(broker: Connection, queue: Queue, if_absent: str) -> tuple[Sign, int]:
    """Return how the queue differs from its declaration, and its messages."""
    part = f"queue {queue.name}"
    channel: Any = broker.channel()
    bound = queue.bind(channel)
    errors: Any = broker.channel_errors
    try:
        messages: int = _declared(bound, passive=True)
    except errors:
        return Sign(part, Verdict.WARN, "does not exist", if_absent), 0
    try:
        _declared(bound, passive=False)
    except errors as error:
        remedy = (
            "Stop its workers, let it run empty, delete it, and start them: they "
            "declare it anew."
        )
        return Sign(part, Verdict.WRONG, _line(error), remedy), messages
    channel.close()
    text = f"as declared, {messages:,} messages"
    return Sign(part, Verdict.OK, text), messages


def _declared(bound: Any, *, passive: bool) -> int:
    """Declare a queue, or only ask for it; returns the number of its messages."""
    return int(
        bound.channel.queue_declare(
            queue=bound.name,
            passive=passive,
            durable=bound.durable,
            exclusive=bound.exclusive,
            auto_delete=bound.auto_delete,
            arguments=bound.queue_arguments,
        ).message_count
    )


def _away(part: str, error: Exception, remedy: str) -> Sign:
    return Sign(part, Verdict.WRONG, f"does not answer: {_line(error)}", remedy)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
