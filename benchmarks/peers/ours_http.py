"""Hands jobs to our product over HTTP, as its producers do."""

import http.client
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.peers.plan import JobSpec
from benchmarks.peers.variables import KEYS, URL

#: The server closes a connection that has been idle for two seconds.
IDLE_SECONDS: Final = 1.0


class HttpSender:
    """One connection, kept while it is used."""

    def __init__(self) -> None:
        self._keys = json.loads(Path(os.environ[KEYS]).read_text(encoding="utf-8"))
        self._address = urlsplit(os.environ[URL]).netloc
        self._connection = self._connect()
        self._used_at = time.monotonic()

    def send(self, spec: JobSpec, _called_at: float) -> str:
        """Enqueue one job; the answer means that it is committed."""
        if time.monotonic() - self._used_at > IDLE_SECONDS:
            self._connection.close()
            self._connection = self._connect()
        body = {"tenant_id": spec.tenant, "seconds": spec.seconds, "steps": spec.steps}
        headers = {
            "Authorization": f"Bearer {self._keys[spec.alias]}",
            "Content-Type": "application/json",
        }
        self._connection.request("POST", "/enqueue/sleep", json.dumps(body), headers)
        answer = self._connection.getresponse()
        text = answer.read()
        self._used_at = time.monotonic()
        if answer.status != http.client.ACCEPTED:
            raise RuntimeError(f"{answer.status}: {text[:200]!r}")
        return str(json.loads(text)["id"])

    def send_many(self, specs: Sequence[JobSpec], called_at: float) -> list[str]:
        """Enqueue one by one: a call of the API takes one job."""
        return [self.send(spec, called_at) for spec in specs]

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._address, timeout=60)


def sender() -> HttpSender:
    """Return what hands jobs to the API."""
    return HttpSender()
