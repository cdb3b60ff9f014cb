"""The short form of `make ingest-huge`, as a person would run it."""

import os
import subprocess
import sys

from tests.acceptance.conftest import own_database
from tests.acceptance.product import ROOT


def test_a_file_is_loaded_over_a_connection_that_breaks(redis_url: str):
    command = [sys.executable, "-m", "benchmarks.ingest.huge", "--mb", "20"]
    with own_database() as url:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url, "REDIS_URL": redis_url},
            check=False,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "200,000 rows" in done.stdout
    assert "2 cuts" in done.stdout
