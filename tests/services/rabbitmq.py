"""RabbitMQ, and where we may administer it virtual hosts for these tests alone.

There is one for each process of a parallel run, so that no test meets another's queues.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from taskqueue_site.embedded_rabbitmq import EmbeddedRabbitMQ, fault_of, find_program
from taskqueue_site.processes import ServiceError
from tests.services import debian
from tests.services.service import Service, Wish

LOCAL = "amqp://guest:guest@127.0.0.1:5672"
#: That run tests side by side, as the Makefile says.
PROCESSES = 4
HOW_TO_GET = (
    "rabbitmq is missing: install it (Debian: apt-get install rabbitmq-server), "
    "or set BROKER_URL=amqp://user:password@host:5672//"
)


@contextmanager
def provide(wish: Wish) -> Iterator[Service]:
    """Take BROKER_URL if it is AMQP, else a local broker, else start or install one.

    Raises ServiceError if none of these works.
    """
    given = wish.environ.get("BROKER_URL", "")
    with ExitStack() as stack:
        if given.startswith("amqp"):
            if (fault := fault_of(given)) is not None:
                raise ServiceError(f"BROKER_URL cannot be used: {fault}")
            yield _service("given", [given])
        elif not wish.private and fault_of(LOCAL) is None:
            yield _service("found", stack.enter_context(_virtual_hosts()))
        else:
            program = installed(wish)
            yield _service("started", [stack.enter_context(_started(program, wish))])


@contextmanager
def _virtual_hosts() -> Iterator[list[str]]:
    """Add virtual hosts to the local broker, or fall back on its default one.

    rabbitmqctl may speak to another node than the one that listens, so only a
    connection proves that the hosts are there.
    """
    names = [f"dtq_test_{os.getpid()}_{number}" for number in range(PROCESSES)]
    urls = [f"{LOCAL}/{name}" for name in names]
    try:
        made = _control("import_definitions", stdin=_definitions(names))
        are_there = made and not any(map(fault_of, urls))
        yield urls if are_there else [f"{LOCAL}//"]
    finally:
        _control("eval", _removal(names))


def _definitions(names: Sequence[str]) -> str:
    rights = {"user": "guest", "configure": ".*", "write": ".*", "read": ".*"}
    return json.dumps(
        {
            "vhosts": [{"name": name} for name in names],
            "permissions": [{"vhost": name, **rights} for name in names],
        }
    )


def _removal(names: Sequence[str]) -> str:
    """Return what removes all hosts in one call: each call costs seconds."""
    hosts = ", ".join(f'<<"{name}">>' for name in names)
    return f'[catch rabbit_vhost:delete(N, <<"tests">>) || N <- [{hosts}]].'


def _control(*arguments: str, stdin: str = "") -> bool:
    program = shutil.which("rabbitmqctl")
    if program is None:
        return False
    done = subprocess.run(
        [program, "--quiet", *arguments],
        input=stdin,
        text=True,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def installed(wish: Wish) -> str:
    """Return the `rabbitmq-server` of this machine, installed first if that may be.

    Raises ServiceError if it is missing.
    """
    path = wish.environ.get("PATH", "")
    program = find_program("rabbitmq-server", path)
    if program is None and debian.may_install():
        debian.install("rabbitmq-server", scratch=wish.scratch)
        program = find_program("rabbitmq-server", path)
    if program is None:
        raise ServiceError(HOW_TO_GET)
    return program


@contextmanager
def _started(program: str, wish: Wish) -> Iterator[str]:
    """Run a broker of our own."""
    server = EmbeddedRabbitMQ(wish.scratch, program=program)
    try:
        yield server.start()
    finally:
        server.stop()


def _service(how: str, urls: Sequence[str]) -> Service:
    return Service(
        name="rabbitmq",
        how=how,
        where=urls[0].rpartition("@")[2],
        environment={"BROKER_URL": urls[0], "TEST_BROKER_URLS": " ".join(urls)},
    )
