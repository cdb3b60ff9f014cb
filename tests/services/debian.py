"""Installing a missing program where that is allowed: as root on Debian or Ubuntu."""

import os
import shutil
import subprocess
from pathlib import Path

from taskqueue_site.processes import ServiceError, last_line


def may_install() -> bool:
    """Return whether this process can install Debian packages without asking."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(package: str, *, scratch: Path) -> None:
    """Install one package, with one line to the reader before it starts.

    Raises ServiceError if apt-get fails.
    """
    print(f"{'apt-get':<12}installs {package}, which may take minutes", flush=True)
    log = scratch / f"apt-get-{package}.log"
    # RUNLEVEL keeps the package from starting a server that outlives the tests.
    environ = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    with log.open("wb") as output:
        for command in (["update"], ["install", "-y", package]):
            done = subprocess.run(
                ["apt-get", *command],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
    if done.returncode != 0:
        raise ServiceError(f"apt-get install {package} failed: {last_line(log)}")
