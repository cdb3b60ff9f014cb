"""Gives each process of a parallel run a Redis database of its own.

It is loaded before Django reads its settings (pyproject.toml).
"""

import gc
import os
from urllib.parse import urlsplit, urlunsplit


def _own_database(url: str, process: int) -> str:
    parts = urlsplit(url)
    number = int(parts.path.strip("/") or 0) + process
    return urlunsplit(parts._replace(path=f"/{number}"))


if (name := os.environ.get("PYTEST_XDIST_WORKER")) and "REDIS_URL" in os.environ:
    os.environ["REDIS_URL"] = _own_database(
        os.environ["REDIS_URL"], int(name.removeprefix("gw"))
    )


def pytest_collection_finish() -> None:
    """Look for garbage no more among thousands of tests, which stay to the end."""
    gc.collect()
    gc.freeze()
