"""One running product for each set of services, shared by every test here.

It ends with the tests of this package: its workers would take others' messages.
"""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from tests import template
from tests.acceptance.product import ROOT, Product
from tests.conftest import service_variable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: Shorter than in production, so that a killed worker is noticed sooner.
QUICK = {
    "LEASE_SECONDS": "6",
    "START_TIMEOUT_SECONDS": "5",
    "DRAIN_SECONDS": "2",
    "SYNTHETIC_KINDS": "1",
}
#: Enough for the mixed load of tests/acceptance/stopping.py.
SLOTS = 6


@contextmanager
def own_database() -> Iterator[str]:
    """Make a database as the product's login role would have it, and drop it."""
    parts = urlsplit(service_variable("DATABASE_URL"))
    name = f"dtq_test_{secrets.token_hex(4)}"
    administer = psycopg2.connect(urlunsplit(parts._replace(path="/postgres")))
    administer.autocommit = True
    with administer.cursor() as cursor:
        cursor.execute(
            f"CREATE DATABASE {name} TEMPLATE {template.name() or 'template1'}"
        )
        yield urlunsplit(parts._replace(path=f"/{name}"))
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
    administer.close()


@pytest.fixture
def own_servers(
    redis_url: str, broker_url: str, session_bucket: str
) -> Iterator[dict[str, str]]:
    """The servers of production, with a database that nobody else uses."""
    with own_database() as database_url:
        yield on_servers(database_url, redis_url, broker_url, session_bucket)


def on_servers(database: str, redis: str, broker: str, bucket: str) -> dict[str, str]:
    """Return the variables of a product on these servers."""
    return {
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "BROKER_URL": broker,
        "STORAGE_URL": f"s3://{bucket}?endpoint={os.environ['TEST_S3_ENDPOINT']}",
    }


@pytest.fixture(scope="package")
def database_url() -> Iterator[str]:
    """The database of the product on servers."""
    with own_database() as url:
        yield url


@pytest.fixture(scope="package")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """The product on its embedded default."""
    product = Product(tmp_path_factory.mktemp("embedded") / "data", **QUICK)
    product.start(concurrency=SLOTS)
    yield product
    assert product.stop() == 0


@pytest.fixture(scope="package")
def on_services(
    tmp_path_factory: pytest.TempPathFactory,
    redis_url: str,
    broker_url: str,
    session_bucket: str,
) -> Iterator[Product]:
    """The product on PostgreSQL, Redis, RabbitMQ and S3 servers."""
    with own_database() as database_url:
        servers = on_servers(database_url, redis_url, broker_url, session_bucket)
        folder = tmp_path_factory.mktemp("services") / "data"
        product = Product(folder, **servers, **QUICK)
        product.start()
        yield product
        assert product.stop() == 0


@pytest.fixture(scope="session")
def session_bucket(s3_client: "S3Client") -> str:
    """A bucket of the S3 server, which keeps all in memory and forgets it."""
    name = f"test-{secrets.token_hex(6)}"
    s3_client.create_bucket(Bucket=name)
    return name


@dataclass(frozen=True)
class LargeFile:
    """A generated file, and what a right reader finds in it."""

    path: Path
    truth: dict[str, Any]

    @property
    def counts(self) -> dict[str, int]:
        """Return the counts that a job must end with."""
        truth = self.truth
        return {
            "rows": truth["rows"],
            "inserted": truth["good"] - truth["same_again"] - truth["conflicting"],
            "duplicate": truth["same_again"],
            "conflicting": truth["conflicting"],
            "rejected": len(truth["rejects"]),
        }


@pytest.fixture(scope="session")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> LargeFile:
    """A UPI file of 200,000 rows with bad rows, repeats and conflicts."""
    return generate(tmp_path_factory.mktemp("large"), rows=200_000)


def generate(folder: Path, *, rows: int) -> LargeFile:
    """Write a UPI file with bad rows, repeats and conflicts."""
    path, truth = folder / "large.csv", folder / "truth.json"
    size = ["--rows", str(rows), "--seed", "7"]
    faults = ["--bad-every", "1000", "--repeat-every", "700", "--truth", str(truth)]
    command = [sys.executable, "samples/generate.py", *size, *faults]
    with path.open("wb") as out:
        subprocess.run(command, cwd=ROOT, stdout=out, check=True)
    return LargeFile(path, json.loads(truth.read_text()))
