"""Gives each process of a parallel run a database of Redis and a broker of its own.

It is loaded before Django reads its settings (pyproject.toml).
"""

import gc
import os
from urllib.parse import urlsplit, urlunsplit


def _own_database(url: str, process: int) -> str:
    parts = urlsplit(url)
    number = int(parts.path.strip("/") or 0) + process
    return urlunsplit(parts._replace(path=f"/{number}"))


def have_brokers(processes: int) -> bool:
    """Return whether each process has a broker, or a virtual host, of its own."""
    return len(_brokers()) >= processes


def _brokers() -> list[str]:
    return os.environ.get("TEST_BROKER_URLS", "").split()


def _separate(process: int) -> None:
    if url := os.environ.get("REDIS_URL"):
        os.environ["REDIS_URL"] = _own_database(url, process)
    if have_brokers(int(os.environ["PYTEST_XDIST_WORKER_COUNT"])):
        os.environ["BROKER_URL"] = _brokers()[process]


if name := os.environ.get("PYTEST_XDIST_WORKER"):
    _separate(int(name.removeprefix("gw")))


def pytest_collection_finish() -> None:
    """Look for garbage no more among thousands of tests, which stay to the end."""
    gc.collect()
    gc.freeze()
