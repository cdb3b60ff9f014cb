"""Chromium, for the tests that look at pages as a person would."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from taskqueue_site.processes import ServiceError
from tests.services import debian
from tests.services.service import Service, Wish

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_GET = (
    "chromium is missing: install it (Debian: apt-get install chromium), "
    "or set CHROMIUM=/path/to/it"
)


@contextmanager
def provide(wish: Wish) -> Iterator[Service]:
    """Find a browser, or install one.

    Raises ServiceError if there is none and none may be installed.
    """
    if given := wish.environ.get("CHROMIUM"):
        if shutil.which(given) is None:
            raise ServiceError(f"CHROMIUM={given} is not a program")
        yield _service("given", given)
    elif found := _on_path(wish):
        yield _service("found", found)
    elif not debian.may_install():
        raise ServiceError(HOW_TO_GET)
    else:
        debian.install("chromium", scratch=wish.scratch)
        yield _service("started", _on_path(wish) or "chromium")


def _on_path(wish: Wish) -> str | None:
    path = wish.environ.get("PATH")
    return next(filter(None, (shutil.which(name, path=path) for name in NAMES)), None)


def _service(how: str, path: str) -> Service:
    return Service(name="chromium", how=how, where=path, environment={"CHROMIUM": path})
