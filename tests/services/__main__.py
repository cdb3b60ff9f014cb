"""Run a command with every service that the tests need: see `--help`."""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from taskqueue_site.processes import ServiceError
from tests.services import chromium, postgresql, rabbitmq, redis, s3
from tests.services.service import Finder, Wish

FINDERS: Mapping[str, Finder] = {
    "postgresql": postgresql.provide,
    "redis": redis.provide,
    "rabbitmq": rabbitmq.provide,
    "s3": s3.provide,
    "chromium": chromium.provide,
}


def main() -> int:
    """Return the exit code of the command, or 1 if a service is missing."""
    wanted = _arguments()
    # From here on SIGTERM unwinds like Ctrl-C, so nothing stays behind. A shell that
    # runs us in the background had Ctrl-C ignored, in us and in all that we start.
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with _services(wanted.only, wanted.private) as environ:
            return _run_to_end(wanted.command, environ)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.services")
    run = parser.add_subparsers(required=True).add_parser(
        "run", help="run a command with the services it needs, then stop them"
    )
    run.add_argument(
        "--only", action="append", choices=FINDERS, metavar="NAME", default=[]
    )
    run.add_argument(
        "--private",
        action="append",
        choices=FINDERS,
        metavar="NAME",
        default=[],
        help="start this one even if one is running",
    )
    run.add_argument("command", nargs="+")
    return parser.parse_args()


def _stop(signum: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(signum).name)


@contextmanager
def _services(only: Sequence[str], private: Sequence[str]) -> Iterator[dict[str, str]]:
    """Find or start the services, and hand out the environment that names them."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dtq-")))
        # A server that must not run as root reaches its own folder in there.
        scratch.chmod(0o711)
        environ = os.environ | {"STACK_DATA": str(scratch / "stack")}
        environ.setdefault("STORAGE_URL", f"file://{scratch / 'objects'}")
        for name in only or FINDERS:
            wish = Wish(environ=os.environ, scratch=scratch, private=name in private)
            service = stack.enter_context(FINDERS[name](wish))
            print(service, flush=True)
            environ |= service.environment
        # The tests start hundreds of processes: none of them compiles all files anew.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        yield environ


def _run_to_end(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the command, and let it clean up behind itself when we are told to stop."""
    with subprocess.Popen(command, env=dict(environ)) as child:

        def interrupt(signum: int, _frame: FrameType | None) -> None:
            # A terminal sends Ctrl-C to the child by itself.
            if signum == signal.SIGTERM or not sys.stdin.isatty():
                child.send_signal(signal.SIGINT)

        signal.signal(signal.SIGINT, interrupt)
        signal.signal(signal.SIGTERM, interrupt)
        code = child.wait()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
