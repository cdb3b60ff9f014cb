"""Redis or Valkey, in a numbered database that leaves number 0 alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from redis import Redis
from redis.exceptions import RedisError

from taskqueue_site.embedded import EmbeddedValkey
from taskqueue_site.processes import ServiceError
from tests.services.service import Service, Wish

LOCAL = "redis://127.0.0.1:6379"
TEST_DATABASE = 9


@contextmanager
def provide(wish: Wish) -> Iterator[Service]:
    """Take REDIS_URL, else a local server that needs no password, else start Valkey.

    Raises ServiceError if REDIS_URL does not answer.
    """
    if given := wish.environ.get("REDIS_URL"):
        url = with_test_database(given)
        if (fault := _fault_of(url)) is not None:
            raise ServiceError(f"REDIS_URL cannot be used: {fault}")
        yield _service("given", url)
    elif not wish.private and _fault_of(with_test_database(LOCAL)) is None:
        yield _service("found", with_test_database(LOCAL))
    else:
        server = EmbeddedValkey(wish.scratch)
        try:
            yield _service("started", with_test_database(server.start()))
        finally:
            server.stop()


def with_test_database(url: str) -> str:
    """Return the URL with the tests' database, unless it names one other than 0."""
    parts = urlsplit(url)
    if parts.path.strip("/") not in ("", "0"):
        return url
    return urlunsplit(parts._replace(path=f"/{TEST_DATABASE}"))


def _fault_of(url: str) -> str | None:
    try:
        with Redis.from_url(url, socket_connect_timeout=3) as client:
            client.ping()
    except RedisError as error:
        return " ".join(str(error).split())
    return None


def _service(how: str, url: str) -> Service:
    parts = urlsplit(url)
    where = f"{parts.hostname}:{parts.port or 6379}{parts.path}"
    return Service(name="redis", how=how, where=where, environment={"REDIS_URL": url})
