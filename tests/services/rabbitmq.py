"""RabbitMQ, and where we may administer it a virtual host for these tests alone."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from amqp.exceptions import AMQPError
from kombu import Connection

from taskqueue_site.processes import ServiceError
from tests.services import debian
from tests.services.process import answers, free_port, running
from tests.services.service import Service, Wish

LOCAL = "amqp://guest:guest@127.0.0.1:5672"
#: Debian puts wrappers on PATH that run only as root or rabbitmq; these are theirs.
FOLDERS = ("/usr/lib/rabbitmq/bin", "/opt/homebrew/sbin", "/usr/local/sbin")
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
            if (fault := _fault_of(given)) is not None:
                raise ServiceError(f"BROKER_URL cannot be used: {fault}")
            yield _service("given", given)
        elif not wish.private and _fault_of(LOCAL) is None:
            yield _service("found", stack.enter_context(_virtual_host()))
        else:
            program = _program(wish) or _installed(wish)
            yield _service("started", stack.enter_context(_started(program, wish)))


def _fault_of(url: str) -> str | None:
    try:
        with Connection(url, connect_timeout=5) as connection:
            connection.connect()
    except (OSError, AMQPError) as error:
        return " ".join(str(error).split())
    return None


@contextmanager
def _virtual_host() -> Iterator[str]:
    """Add a virtual host to the local broker, or fall back on its default one.

    rabbitmqctl may speak to another node than the one that listens, so only a
    connection proves that the host is there.
    """
    name = f"dtq_test_{os.getpid()}"
    made = _control("add_vhost", name) and _control(
        "set_permissions", "-p", name, "guest", ".*", ".*", ".*"
    )
    try:
        url = f"{LOCAL}/{name}"
        yield url if made and _fault_of(url) is None else f"{LOCAL}//"
    finally:
        if made:
            _control("delete_vhost", name)


def _control(*arguments: str) -> bool:
    program = shutil.which("rabbitmqctl")
    if program is None:
        return False
    done = subprocess.run(
        [program, "--quiet", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _program(wish: Wish) -> str | None:
    path = os.pathsep.join([*FOLDERS, wish.environ.get("PATH", "")])
    return shutil.which("rabbitmq-server", path=path)


def _installed(wish: Wish) -> str:
    if not debian.may_install():
        raise ServiceError(HOW_TO_GET)
    debian.install("rabbitmq-server", scratch=wish.scratch)
    program = _program(wish)
    if program is None:
        raise ServiceError(HOW_TO_GET)
    return program


@contextmanager
def _started(program: str, wish: Wish) -> Iterator[str]:
    """Run a broker of our own: ports, name, cookie and data are nobody else's."""
    home = wish.scratch / "rabbitmq"
    home.mkdir()
    ports = {"amqp": free_port(), "epmd": free_port(), "distribution": free_port()}
    environ = _private_environment(home, ports)
    url = f"amqp://guest:guest@127.0.0.1:{ports['amqp']}//"
    with ExitStack() as stack:
        # The broker would start this name server itself, and leave it running.
        if epmd := shutil.which("epmd"):
            stack.enter_context(
                running(
                    [epmd, "-port", str(ports["epmd"]), "-address", "127.0.0.1"],
                    folder=home,
                    environ=environ,
                    ready=lambda: answers(ports["epmd"]),
                )
            )
        stack.enter_context(
            running(
                [program],
                folder=home,
                environ=environ,
                ready=lambda: answers(ports["amqp"]) and _fault_of(url) is None,
            )
        )
        yield url


def _private_environment(home: Path, ports: Mapping[str, int]) -> dict[str, str]:
    settings = home / "rabbitmq.conf"
    settings.write_text("disk_free_limit.absolute = 50MB\nlog.file.level = warning\n")
    for name in ("enabled_plugins", "rabbitmq-env.conf"):
        (home / name).write_text("[].\n" if name == "enabled_plugins" else "")
    return os.environ | {
        "HOME": str(home),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "RABBITMQ_CONFIG_FILE": str(settings),
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_NODENAME": f"dtq_test_{os.getpid()}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(ports["amqp"]),
        "RABBITMQ_DIST_PORT": str(ports["distribution"]),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
    }


def _service(how: str, url: str) -> Service:
    return Service(
        name="rabbitmq",
        how=how,
        where=url.rpartition("@")[2],
        environment={"BROKER_URL": url},
    )
