"""What a result was measured on: the machine and the versions."""

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from benchmarks.live.workspace import ROOT


def machine() -> dict[str, Any]:
    """Return the facts of this machine that a rate depends on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "network": "loopback",
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the installed versions of Python packages."""
    return {name: metadata.version(name) for name in sorted(set(packages))}


def revision() -> str:
    """Return the commit that was measured, marked if files differ from it."""
    git = ["git", "-c", "safe.directory=*", "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
