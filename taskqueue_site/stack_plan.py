"""What the one-machine stack of this product runs: its processes and its steps."""

import hashlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders

from taskqueue_site.private_files import kept_secret, write_private
from taskqueue_site.stack_programs import Plan, Program, component_line

_ADMIN = "admin"
_ALREADY_THERE = "already taken"
_STATIC_MARK = "static.mark"
#: What a worker may take to leave once the time of its jobs is over.
_LEAVE_SECONDS = 10
#: Below what the stack grants the web process: a slow request is cut off in order.
_GRACEFUL_SECONDS = "8"


def product_plan(
    *, host: str, port: int, concurrency: int, directory: Path, given: Mapping[str, str]
) -> Plan:
    """Return the plan of the whole product; `given` may name the ADMIN_PASSWORD."""
    chosen = given.get("ADMIN_PASSWORD")
    stored = directory / "admin_password"
    first_start = not stored.exists()
    password = chosen or kept_secret(stored, size=12)
    assets = _assets_fingerprint()
    steps = [Program("migrate", manage("migrate", "--noinput"))]
    if assets != _collected(directory):
        collect = manage("collectstatic", "--noinput", "--clear")
        steps.append(Program("collectstatic", collect))

    def closing_lines() -> Sequence[str]:
        write_private(directory / _STATIC_MARK, assets)
        shown = "as in ADMIN_PASSWORD" if chosen else password
        if first_start and _ALREADY_THERE in _read(directory / "log" / "admin.log"):
            # The login is older than this directory: an external database has it.
            shown = "as set before"
        return [component_line("admin", _login_text(plan.url, shown))]

    plan = Plan(
        host=host,
        port=port,
        steps_before=steps,
        programs=_programs(host, port, concurrency),
        steps_beside=[_create_admin(password)],
        closing_lines=closing_lines,
    )
    return plan


def _programs(host: str, port: int, concurrency: int) -> list[Program]:
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    drain = settings.DRAIN_SECONDS + _LEAVE_SECONDS
    return [
        Program("web", web(address), stop_rank=1),
        # Nothing more is published for workers that are about to leave.
        Program("dispatcher", manage("dispatch"), stop_rank=0),
        Program(
            "worker",
            manage("worker", "--pool", "shared", "--concurrency", str(concurrency)),
            stop_rank=1,
            patience=drain,
        ),
        Program(
            "maintenance",
            manage("worker", "--maintenance"),
            stop_rank=1,
            patience=drain,
        ),
        Program("beat", beat(), stop_rank=1),
    ]


def web(address: str) -> list[str]:
    """Return the command line of the web process."""
    return [
        *(sys.executable, "-m", "gunicorn", "taskqueue_site.wsgi"),
        *("--bind", address, "--worker-class", "gthread"),
        *("--threads", "8", "--workers", "1", "--no-control-socket"),
        *("--graceful-timeout", _GRACEFUL_SECONDS),
    ]


def _create_admin(password: str) -> Program:
    return Program(
        "admin",
        manage("createsuperuser", "--noinput"),
        env={
            "DJANGO_SUPERUSER_USERNAME": _ADMIN,
            "DJANGO_SUPERUSER_EMAIL": "",
            "DJANGO_SUPERUSER_PASSWORD": password,
        },
        accepts=_ALREADY_THERE,
    )


def beat() -> list[str]:
    """Return the command line of beat."""
    return [
        *(sys.executable, "-m", "celery", "-A", "taskqueue_site", "beat"),
        *("--scheduler", "django_celery_beat.schedulers:DatabaseScheduler"),
        "--pidfile=",
    ]


def manage(*arguments: str) -> list[str]:
    """Return the command line of a management command."""
    return [sys.executable, "manage.py", *arguments]


def _login_text(url: str, password: str) -> str:
    return f"{url}/admin/  user {_ADMIN}  password {password}"


def login_of(lines: Iterable[str]) -> str:
    """Return what the stack's lines say of the admin: address, user and password."""
    named = (line.partition(" ") for line in lines)
    texts = [text.strip() for name, _, text in named if name == "admin"]
    return texts[-1]


def _assets_fingerprint() -> str:
    """Return a digest of all static files, to collect them only when one changed."""
    digest = hashlib.sha256()
    for finder in finders.get_finders():
        for path, storage in finder.list([]):
            modified = storage.get_modified_time(path).timestamp()
            digest.update(f"{path}\0{modified}\0".encode())
    return digest.hexdigest()


def _collected(directory: Path) -> str:
    """Return the digest of the static files last collected, empty if they are gone."""
    present = (directory / "static").is_dir()
    return _read(directory / _STATIC_MARK) if present else ""


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
