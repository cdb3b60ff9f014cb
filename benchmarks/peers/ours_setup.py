"""Creates the tenants of a scenario, and keys for them, with the product's services.

    python -m benchmarks.peers.ours_setup TENANTS

TENANTS is a JSON list of [name, weight, cap or null, number of keys]. One process for
all of them, because 10,000 runs of `manage.py tenant create` would take hours.
"""

import json
import os
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import django

django.setup()

from benchmarks.live.scenarios import Tenant, aliases  # noqa: E402 # needs the set-up
from benchmarks.peers.variables import KEYS  # noqa: E402
from quotas.services import tenant_create  # noqa: E402
from tenants.scoping import all_tenants  # noqa: E402
from tenants.services import api_key_create  # noqa: E402


def main() -> None:
    """Create the tenants, and write the keys by alias."""
    rows = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    keys: dict[str, str] = {}
    with all_tenants(reason="set up a benchmark"):
        for name, weight, cap, number in rows:
            tenant = Tenant(name=name, weight=weight, cap=cap, aliases=number)
            tenant_create(slug=name, weight=Decimal(str(weight)), max_in_flight=cap)
            for alias in aliases(tenant) if number else []:
                keys[alias] = _key(name)
    Path(os.environ[KEYS]).write_text(json.dumps(keys), encoding="utf-8")


def _key(slug: str) -> str:
    _, text = api_key_create(slug=slug, now=datetime.now(UTC), name="benchmark")
    return text


if __name__ == "__main__":
    main()
