"""An S3 server over HTTP: the one given, or one of our own that keeps data in memory.

moto is the smallest one to be had as a package that obeys ranged reads and If-Match,
on which a resumed ingest relies. It accepts any key.
"""

import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.services.process import answers, free_port, running
from tests.services.service import Service, Wish


@contextmanager
def provide(wish: Wish) -> Iterator[Service]:
    """Take TEST_S3_ENDPOINT with its keys, or start a server."""
    if endpoint := wish.environ.get("TEST_S3_ENDPOINT"):
        access_key = wish.environ.get("TEST_S3_ACCESS_KEY", "")
        secret_key = wish.environ.get("TEST_S3_SECRET_KEY", "")
        yield _service("given", endpoint, access_key, secret_key)
        return
    port = free_port()
    folder = wish.scratch / "s3"
    folder.mkdir()
    with running(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        folder=folder,
        ready=lambda: answers(port),
    ):
        secret_key = secrets.token_urlsafe(24)
        yield _service("started", f"http://127.0.0.1:{port}", "tests", secret_key)


def _service(how: str, endpoint: str, access_key: str, secret_key: str) -> Service:
    environment = {
        "TEST_S3_ENDPOINT": endpoint,
        "TEST_S3_ACCESS_KEY": access_key,
        "TEST_S3_SECRET_KEY": secret_key,
        # boto3 reads these, so that no test can use keys of the person who runs it.
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
    }
    return Service(name="s3", how=how, where=endpoint, environment=environment)
