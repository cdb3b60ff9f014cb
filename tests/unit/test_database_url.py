"""Where `manage.py dbshell` goes: to the server of DATABASE_URL, and to no other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit
ROOT = Path(__file__).parents[2]
#: Settings are read once: another process tells what another URL makes of them.
SHOW = """
import json
from django.conf import settings
from django.db.backends.postgresql.client import DatabaseClient

database = settings.DATABASES["default"]
print(json.dumps(DatabaseClient.settings_to_cmd_args_env(database, [])[0]))
"""


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://u@/dtq?host=/run/a%20b&port=5433", "-h /run/a b -p 5433"),
        ("postgresql://u@/dtq?host=/run/db", "-h /run/db"),
        ("postgresql://u@db:5434/dtq", "-h db -p 5434"),
    ],
)
def test_psql_is_told_the_host_and_the_port(url: str, words: str):
    own = {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "taskqueue_site.settings"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=ROOT,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=True,
    )
    assert " ".join(json.loads(done.stdout)) == f"psql -U u {words} dtq"
