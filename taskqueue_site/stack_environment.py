"""The variables that the one-machine stack supplies for those that nobody set."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from taskqueue_site.embedded import EmbeddedPostgres, EmbeddedServer, EmbeddedValkey
from taskqueue_site.private_files import kept_secret, write_private
from taskqueue_site.processes import ServiceError

#: Where other commands find the running stack, inside its directory.
FILE_NAME = "stack.env"

_SERVERS: dict[str, type[EmbeddedPostgres] | type[EmbeddedValkey]] = {
    "DATABASE_URL": EmbeddedPostgres,
    "REDIS_URL": EmbeddedValkey,
}
_REDIS_SCHEMES = ("redis", "rediss")


def missing_servers(
    given: Mapping[str, str], directory: Path
) -> dict[str, EmbeddedServer]:
    """Return an embedded server, not started, for each server variable not given.

    An empty variable counts as not given.
    """
    return {
        variable: server(directory)
        for variable, server in _SERVERS.items()
        if not given.get(variable)
    }


def complete_environment(
    given: Mapping[str, str], urls: Mapping[str, str], directory: Path
) -> dict[str, str]:
    """Return every variable of the stack: as given, else the embedded one.

    `urls` holds what the started embedded servers answered. Raises ServiceError when
    the broker's URL can neither be read nor derived.
    """
    chosen = {name: given.get(name) or urls[name] for name in _SERVERS}
    return {
        **chosen,
        "BROKER_URL": given.get("BROKER_URL") or _broker_on(chosen["REDIS_URL"]),
        "STORAGE_URL": given.get("STORAGE_URL") or _folder_url(directory / "objects"),
        "SECRET_KEY": given.get("SECRET_KEY") or kept_secret(directory / "secret_key"),
    }


@contextmanager
def published(values: Mapping[str, str], directory: Path) -> Iterator[None]:
    """Let other commands on this directory read the variables during the block.

    Raises ServiceError for a value that does not fit on one line.
    """
    broken = [name for name, value in values.items() if "\n" in value]
    if broken:
        raise ServiceError(f"{', '.join(broken)} must not hold a line break")
    lines = (f"{name}={value}\n" for name, value in values.items())
    write_private(directory / FILE_NAME, "".join(lines))
    try:
        yield
    finally:
        (directory / FILE_NAME).unlink(missing_ok=True)


def redacted(url: str) -> str:
    """Return a URL fit for the screen: without passwords, keys or options."""
    if url.startswith("file:"):
        return url
    return re.sub(r"//.*@", "//***@", url.partition("?")[0])


def _broker_on(redis_url: str) -> str:
    """Return database 1 of a Redis server: the product's own keys live in 0."""
    parts = urlsplit(redis_url)
    if parts.scheme not in _REDIS_SCHEMES:
        raise ServiceError(
            f"no broker can be derived from a REDIS_URL of {parts.scheme}://: "
            "set BROKER_URL"
        )
    return urlunsplit(parts._replace(path="/1"))


def _folder_url(folder: Path) -> str:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder.as_uri()
