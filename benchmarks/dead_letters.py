"""How the admin bears many dead letters: each page's time and queries, and a retry.

Pages are read through Django's test client against a real ledger: what the browser
would wait for, without the network. A dispatcher that leads carries the retry out.

    make bench-dead-letters [ARGS="--letters 10000"]
"""

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
django.setup()

from celery import current_app  # noqa: E402 - they need Django set up
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402

from jobs.broker import Publisher  # noqa: E402
from jobs.dispatcher import Dispatcher  # noqa: E402
from jobs.models import BulkDecision  # noqa: E402
from tenants.scoping import all_tenants  # noqa: E402

LIST: Final = "/admin/jobs/deadletter/"
ROUNDS: Final = 5

_TENANTS = """
INSERT INTO tenants_tenant (slug, tier_id)
SELECT 't' || n, 'standard' FROM generate_series(0, 19) AS n
"""
_QUOTAS = """
INSERT INTO quotas_quota (tenant_id, weight) SELECT slug, 1 FROM tenants_tenant
"""
# They died in the way that the lifecycle allows, one move at a time.
_JOBS = """
INSERT INTO jobs_job (id, tenant_id, kind, payload, priority, state, max_attempts)
SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '70008000'
        || lpad(to_hex(n), 12, '0'))::uuid,
       't' || n %% 20, 'sleep', '{"seconds": 0}', 2, 'queued', 5
FROM generate_series(1, %(letters)s) AS n
"""
_MOVES = (
    "UPDATE jobs_job SET state = 'dispatched', event = 'dispatched',"
    " dispatched_at = now(), attempt_count = 1",
    "UPDATE jobs_job SET state = 'running', event = 'started', started_at = now()",
    """
UPDATE jobs_job SET state = 'dead', event = 'buried', finished_at = now(),
    failed_count = 1, fingerprint = md5(right(id::text, 1)),
    error = jsonb_build_object('code', 'cause_' || right(id::text, 1),
                               'message', 'The reason number ' || right(id::text, 1))
""",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the letters, read the pages, retry all, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--letters", type=int, default=10_000)
    parser.add_argument("--per-second", type=int, default=200, help="jobs retried")
    options = parser.parse_args(arguments)
    call_command("migrate", verbosity=0)
    call_command("collectstatic", "--noinput", verbosity=0)
    seed(options.letters)
    browser = Client(SERVER_NAME="localhost")
    browser.force_login(User.objects.create_superuser("bench", password=None))
    print(f"{options.letters:,} dead letters\n\n{'page':<34}{'queries':>9}{'ms':>9}")
    for name, path in {
        "list, with its causes": LIST,
        "last page": f"{LIST}?p={options.letters // 50}",
        "one cause": f"{LIST}?code=cause_7",
        "one tenant": f"{LIST}?tenant__slug__exact=t3",
        "question before a retry of all": f"{LIST}retry/",
        "overview": "/admin/",
    }.items():
        read(browser, name, path)
    retry(browser, options.per_second)
    return 0


def seed(letters: int) -> None:
    """Write tenants and dead letters of sixteen causes into an empty database."""
    with all_tenants(reason="benchmark"), connection.cursor() as cursor:
        for statement in (_TENANTS, _QUOTAS):
            cursor.execute(statement)
        cursor.execute(_JOBS, {"letters": letters})
        for statement in _MOVES:
            cursor.execute(statement)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")


def read(browser: Client, name: str, path: str) -> None:
    """Read a page some times, and print its queries and its median time."""
    browser.get(path)
    taken = []
    for _ in range(ROUNDS):
        with CaptureQueriesContext(connection) as queries:
            began = time.perf_counter()
            answer = browser.get(path)
            taken.append(1000 * (time.perf_counter() - began))
        if answer.status_code != 200:
            raise SystemExit(f"{name}: {answer.status_code}")
    print(f"{name:<34}{len(queries):>9}{statistics.median(taken):>9.0f}")


def retry(browser: Client, per_second: int) -> None:
    """Retry all, call off in the middle, retry the rest, and print how it went."""
    dispatcher = Dispatcher(holder="benchmark", publisher=Publisher(current_app))
    form = {"confirmed": "yes", "reason": "benchmark", "per_second": per_second}
    began = time.perf_counter()
    page = str(browser.post(f"{LIST}retry/", form)["Location"])
    print(f"{'the click that retries all':<34}{'':>9}{_ms(began):>9.0f}")
    read(browser, "its page", page)
    turns = _lead(
        dispatcher, until=lambda bulk: bulk.done_count >= bulk.total_count // 2
    )
    print(f"{'slowest turn of the dispatcher':<34}{'':>9}{max(turns):>9.0f}")
    browser.post(page.replace("change", "cancel"))
    bulk = BulkDecision.objects.get()
    print(f"\ncalled off after {bulk.done_count:,} of {bulk.total_count:,}")
    began = time.perf_counter()
    browser.post(f"{LIST}retry/", form)
    _lead(dispatcher, until=lambda bulk: bulk.finished_at is not None)
    bulk = BulkDecision.objects.latest("pk")
    seconds = time.perf_counter() - began
    print(f"the rest, {bulk.done_count:,}, retried in {seconds:.0f} s")
    dispatcher.publisher.close()


def _lead(dispatcher: Dispatcher, *, until: Any) -> list[float]:
    turns = []
    while not until(BulkDecision.objects.latest("pk")):
        began = time.perf_counter()
        dispatcher.tick()
        turns.append(_ms(began))
        time.sleep(0.01)
    return turns


def _ms(began: float) -> float:
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    raise SystemExit(main())
