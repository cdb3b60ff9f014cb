"""Fixtures for every test. The services come from `make test` (tests/services)."""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from django.conf import settings as django_settings
from hypothesis import settings as hypothesis_settings
from xdist.scheduler import LoadScopeScheduling

from jobs import handlers, synthetic
from tests import baseline, processes, template

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

HERE = Path(__file__).parent

handlers.register(synthetic.SLEEP)

# A machine that is busy with something else is no defect.
hypothesis_settings.register_profile(
    "patient", hypothesis_settings.default, deadline=None
)
hypothesis_settings.load_profile("patient")
# `--hypothesis-profile long`: histories of the scheduler by the thousands.
hypothesis_settings.register_profile("long", max_examples=8_000, deadline=None)

# Passwords of tests open nothing: a slow digest took most of a page's test. Products
# that tests start are not told.
django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

#: The folder of a test says what it costs.
MARKS = {"architecture": "unit"}
#: Acceptance tests that start a product for themselves.
HAVE_OWN_PRODUCT = ("test_first_minutes.py", "test_chaos.py", "test_stopping.py")
#: So long that one process would still be at it when all others have ended.
DEALT_OUT_SINGLY = ("test_crash_points.py",)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Mark every test by its folder, so that `-m unit` needs no care."""
    for item in items:
        folder = item.path.relative_to(HERE).parts[0]
        item.add_marker(MARKS.get(folder, folder))
    if _is_one_of_many(config):
        # What takes longest is dealt out first.
        items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if "acceptance" in item.keywords:
        return 0
    return 1 if item.path.name in DEALT_OUT_SINGLY else 2


def _is_one_of_many(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Migrate a database once for all processes of a parallel run."""
    config = session.config
    is_parallel = config.getoption("numprocesses") and not hasattr(
        config, "workerinput"
    )
    if is_parallel and "DATABASE_URL" in os.environ:
        kept = ExitStack()
        config.add_cleanup(kept.close)
        kept.enter_context(template.made())


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None,
) -> None:
    """Copy the migrated database, if there is one."""
    if (name := template.name()) is not None:
        django_settings.DATABASES["default"].setdefault("TEST", {})["TEMPLATE"] = name


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: Any
) -> Iterator[None]:
    """Let tests that commit leave the migrated rows, instead of none.

    In a database of the run before they are not known: then Django empties it.
    """
    with ExitStack() as kept:
        if not request.config.getvalue("reuse_db"):
            with django_db_blocker.unblock():
                kept.enter_context(baseline.kept())
        yield


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Let what shares servers run in one process."""
    return SharedServers(config, log)


class SharedServers(LoadScopeScheduling):  # type: ignore[misc]
    """Tests on the same running product, or on the only broker, in one process.

    Otherwise each process has servers of its own (tests/processes.py).
    """

    def _split_scope(self, nodeid: str) -> str:
        path, _, name = nodeid.partition("::")
        if path.startswith("tests/acceptance") and not path.endswith(HAVE_OWN_PRODUCT):
            is_embedded = "browser" in path or "embedded" in name
            return "embedded" if is_embedded else "broker"
        has_broker = processes.have_brokers(self.config.getoption("numprocesses"))
        if not has_broker and _uses_broker(path):
            return "broker"
        return nodeid if path.endswith(DEALT_OUT_SINGLY) else path


@cache
def _uses_broker(path: str) -> bool:
    names = r"\b(broker_url|dispatcher|publisher|pool|own_servers)\b"
    return bool(re.search(names, (HERE.parent / path).read_text()))


@pytest.fixture(autouse=True)
def plain_static_files(settings: Any) -> None:
    """Serve the admin's files without the manifest that collectstatic makes."""
    backend = "django.contrib.staticfiles.storage.StaticFilesStorage"
    staticfiles = {"BACKEND": backend}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": staticfiles}


def service_variable(name: str) -> str:
    """Return a variable that the service runner sets; without it the test fails."""
    value = os.environ.get(name)
    if not value:
        pytest.fail(f"{name} is not set: run the tests with `make test`", pytrace=False)
    return value


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The URL of a Redis database that holds nothing but test data."""
    return service_variable("REDIS_URL")


@pytest.fixture(scope="session")
def broker_url() -> str:
    """The URL of a RabbitMQ virtual host."""
    url = service_variable("BROKER_URL")
    assert url.startswith("amqp"), url
    return url


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium to look at pages with."""
    return service_variable("CHROMIUM")


@pytest.fixture(scope="session")
def s3_endpoint() -> str:
    """The URL of an S3 server."""
    return service_variable("TEST_S3_ENDPOINT")


@pytest.fixture(scope="session")
def s3_client(s3_endpoint: str) -> "S3Client":
    """A client of the S3 server that signs as settings.py makes the product sign."""
    return boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        aws_access_key_id=service_variable("TEST_S3_ACCESS_KEY"),
        aws_secret_access_key=service_variable("TEST_S3_SECRET_KEY"),
        region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


@pytest.fixture
def s3_bucket(s3_client: "S3Client") -> Iterator[str]:
    """The name of an empty bucket that is removed after the test."""
    name = f"test-{secrets.token_hex(6)}"
    s3_client.create_bucket(Bucket=name)
    yield name
    pages = s3_client.get_paginator("list_objects_v2").paginate(Bucket=name)
    for page in pages:
        for found in page.get("Contents", []):
            s3_client.delete_object(Bucket=name, Key=found["Key"])
    s3_client.delete_bucket(Bucket=name)


@pytest.fixture
def s3_storage_url(s3_endpoint: str, s3_bucket: str) -> str:
    """The STORAGE_URL of that bucket; the keys are in AWS_* variables."""
    return f"s3://{s3_bucket}?endpoint={s3_endpoint}"
