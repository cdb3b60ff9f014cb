"""/livez and /readyz: is the process up, and can it do its work?

Without the database nothing works. Without Redis or the broker the API still accepts
jobs, which run once those are back: that is `degraded`, and still ready.
"""

import logging
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

import redis
from botocore.config import Config
from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from redis.backoff import NoBackoff
from redis.retry import Retry
from storages.backends.s3 import S3Storage

from jobs.surroundings import hurry
from taskqueue_site.celery import app

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS: Final = 1
OK: Final = "ok"
UNREACHABLE: Final = "unreachable"


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """Return `ok` without touching anything."""
    return HttpResponse(OK, content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Return the state of each part; 503 when the API cannot accept jobs."""
    parts = {name: _state(name, check) for name, check in _CHECKS.items()}
    is_ready = parts["database"] == OK
    status = "unavailable"
    if is_ready:
        status = "ready" if set(parts.values()) == {OK} else "degraded"
    body = {"status": status, "parts": parts}
    return JsonResponse(body, status=200 if is_ready else 503)


def _state(name: str, check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - any failure is the answer
        # Addresses are for the log: anybody may ask for this page.
        logger.warning("The %s is not reachable: %s", name, error)
        return UNREACHABLE


def _database() -> str:
    applied = MigrationRecorder(connection).applied_migrations()
    return OK if _expected_migrations() <= applied.keys() else "migrations_pending"


@lru_cache(maxsize=1)
def _expected_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def _redis() -> str:
    with redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    ) as client:
        client.ping()
    return OK


def _broker() -> str:
    with app.connection_for_write(
        connect_timeout=TIMEOUT_SECONDS, transport_options=hurry(TIMEOUT_SECONDS)
    ) as broker:
        broker.connect()
    return OK


def _storage() -> str:
    backend = storages["default"]
    if isinstance(backend, S3Storage):
        client = _impatient(backend).connection.meta.client
        client.head_bucket(Bucket=backend.bucket_name)
    elif isinstance(backend, FileSystemStorage):
        folder = Path(backend.location)
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(nearest, os.W_OK):
            raise PermissionError(f"{nearest} is not writable")
    return OK


@lru_cache(maxsize=1)
def _impatient(backend: S3Storage) -> S3Storage:
    """Return a twin of the store that neither waits long nor tries again."""
    hurry = Config(
        connect_timeout=TIMEOUT_SECONDS,
        read_timeout=TIMEOUT_SECONDS,
        retries={"total_max_attempts": 1},
    )
    options = settings.STORAGES["default"]["OPTIONS"]
    return S3Storage(**options, client_config=backend.client_config.merge(hurry))


_CHECKS: Final[dict[str, Callable[[], str]]] = {
    "database": _database,
    "redis": _redis,
    "broker": _broker,
    "storage": _storage,
}
