"""A stack with stand-ins for the product's programs, for the tests of its supervision.

    python small_stack.py DIRECTORY PORT [STEP [WEB]]

STEP and WEB are Python sources that replace the preparing step and the web process.
`web` answers every GET with 200, and keeps a child of its own in another session.
`worker` ignores SIGTERM, so it has to be killed.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from taskqueue_site.embedded import ServiceError
from taskqueue_site.stack import Stack
from taskqueue_site.stack_environment import (
    complete_environment,
    missing_servers,
    published,
)
from taskqueue_site.stack_programs import Plan, Program

WEB = """
import http.server, subprocess, sys
subprocess.Popen(["sleep", "600"], start_new_session=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
WORKER = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""


def main() -> None:
    """Run the stand-in stack until it is told to stop."""
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    directory.mkdir(mode=0o711, exist_ok=True)

    @contextmanager
    def environment(urls: Mapping[str, str]) -> Iterator[dict[str, str]]:
        values = complete_environment({}, urls, directory)
        with published(values, directory):
            yield {**os.environ, **values}

    stack = Stack(
        directory, project=Path.cwd(), say=lambda line: print(line, flush=True)
    )
    try:
        stack.run(
            _plan(port, *sys.argv[3:]), missing_servers({}, directory), environment
        )
    except (ServiceError, OSError) as error:
        sys.exit(str(error))


def _plan(port: int, step: str = "", web: str = WEB) -> Plan:
    python = (sys.executable, "-c")
    return Plan(
        host="127.0.0.1",
        port=port,
        steps_before=[Program("migrate", [*python, step])],
        programs=[
            Program("web", [*python, web, str(port)]),
            Program("worker", [*python, WORKER], stop_rank=2, patience=0.3),
        ],
    )


if __name__ == "__main__":
    main()
