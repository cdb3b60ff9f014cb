"""A file too large for memory, over a connection that breaks: is it loaded, all of it?

    make ingest-huge [ARGS="--mb 2000 --cuts 2 --most-mib 120"]

The file lies in an S3 server behind a proxy that cuts the connection on the way. Exits
with 1 if a row is missing or too many, a cut did not happen, or the loading process
grew by more than it may.
"""

import argparse
import os
import secrets
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import boto3
import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "taskqueue_site.settings")
django.setup()

from benchmarks.ingest import files, tables  # noqa: E402 - they need Django set up
from benchmarks.ingest.tables import Loaded  # noqa: E402
from benchmarks.ingest.worker import TENANT  # noqa: E402
from ingestion.storage import object_key  # noqa: E402
from taskqueue_site.chaos.proxy import FaultProxy  # noqa: E402

NAME: Final = "huge.csv"
MIB: Final = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Load and print; returns the exit code."""
    options = _options(arguments)
    tables.prepare()
    expected = files.make_large(NAME, options.mb * 1_000_000)
    size = files.size(NAME)
    bucket = _put()
    parts = urlsplit(os.environ["TEST_S3_ENDPOINT"])
    proxy = FaultProxy((str(parts.hostname), parts.port or 80))
    if options.cuts:
        proxy.cut_after(size // (options.cuts + 1), times=options.cuts)
    url = f"s3://{bucket}?endpoint=http://127.0.0.1:{proxy.port}"
    found = tables.load(NAME, loaders=options.loaders, alone=True, STORAGE_URL=url)
    proxy.close()
    print(
        f"{size / 1_000_000:,.0f} MB over S3: {found.counts['rows']:,} rows, "
        f"{found.seconds:.0f} s, {found.counts['rows'] / found.seconds:,.0f} rows/s, "
        f"peak {found.grown / MIB:.0f} MiB above {found.idle / MIB:.0f} MiB idle, "
        f"{found.breaks} cuts"
    )
    problems = _problems(options, expected, found)
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make ingest-huge", description=__doc__)
    parser.add_argument("--mb", type=int, default=2000)
    parser.add_argument("--cuts", type=int, default=2)
    parser.add_argument("--loaders", type=int, default=2)
    parser.add_argument("--most-mib", type=int, default=120, metavar="N")
    return parser.parse_args(arguments)


def _put() -> str:
    """Move the file to a new bucket of the S3 server; returns its name."""
    bucket = f"huge-{secrets.token_hex(4)}"
    client = boto3.client("s3", endpoint_url=os.environ["TEST_S3_ENDPOINT"])
    client.create_bucket(Bucket=bucket)
    path = files.path_of(NAME)
    client.upload_file(str(path), bucket, object_key(TENANT, NAME))
    path.unlink()
    return bucket


def _problems(
    options: argparse.Namespace, expected: dict[str, int], found: Loaded
) -> list[str]:
    problems = [
        f"{what}: {found.counts[what]:,} instead of {count:,}"
        for what, count in expected.items()
        if found.counts[what] != count
    ]
    if found.breaks != options.cuts:
        problems.append(f"{found.breaks} cuts instead of {options.cuts}")
    if found.grown > options.most_mib * MIB:
        problems.append(f"grown by more than {options.most_mib} MiB")
    return problems


if __name__ == "__main__":
    raise SystemExit(main())
