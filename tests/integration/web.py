"""The web process as it runs in production, and a line to a server that can be cut."""

import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote, urlsplit, urlunsplit
from urllib.request import urlopen

from django.db import connection

from tests.acceptance.product import wait_for
from tests.services.process import free_port

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"


@contextmanager
def gunicorn(folder: Path, **environment: str) -> Iterator[str]:
    """Run the web process on the test's database; yields its URL."""
    port = free_port()
    values = {"DATABASE_URL": database_url(), "STACK_DATA": str(folder), **environment}
    command = ["-m", "gunicorn", "taskqueue_site.wsgi", "--bind", f"{HOST}:{port}"]
    options = ["--worker-class", "gthread", "--threads", "4", "--no-control-socket"]
    url = f"http://{HOST}:{port}"
    with (
        (folder / "web.log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, *command, *options],
            cwd=ROOT,
            env={**os.environ, **values},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            wait_for(lambda: process.poll() is None and _is_up(url), 60)
            yield url
        finally:
            process.terminate()


def database_url(port: int | None = None) -> str:
    """Return the URL of the test's database, or of a line to it at another port."""
    told = connection.settings_dict
    # With all that the URL says beside: a socket is named in its query.
    given = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{told['NAME']}")
    if port is None:
        return urlunsplit(given)
    login = f"{quote(told['USER'])}:{quote(told['PASSWORD'])}"
    return urlunsplit(given._replace(netloc=f"{login}@{HOST}:{port}", query=""))


def _is_up(url: str) -> bool:
    try:
        with urlopen(f"{url}/livez") as response:
            return bool(response.status == 200)
    except URLError:
        return False


class Line:
    """Carries TCP to the database until it is cut, and again once it is mended."""

    def __init__(self) -> None:
        told = connection.settings_dict
        self.target = (told["HOST"] or HOST, int(told["PORT"] or 5432))
        self.listener = socket.create_server((HOST, 0))
        self.port: int = self.listener.getsockname()[1]
        self.is_cut = False
        self.ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop every connection, and each one that is tried from now on."""
        self.is_cut = True
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Carry new connections again."""
        self.is_cut = False

    def close(self) -> None:
        """Cut it for good."""
        self.cut()
        self.listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                if self.is_cut:
                    near.close()
                    continue
                far = socket.create_connection(self.target)
                self.ends += [near, far]
                threading.Thread(target=_carry, args=(near, far), daemon=True).start()


def _carry(near: socket.socket, far: socket.socket) -> None:
    with near, far, suppress(OSError):
        while True:
            for end in select.select([near, far], [], [])[0]:
                data = end.recv(65536)
                if not data:
                    return
                (far if end is near else near).sendall(data)
