"""The services that the runner hands out are what the tests believe them to be."""

import os
import subprocess
import sys

import pytest
from botocore.exceptions import ClientError

RIGHTS = """
import os, psycopg2
with psycopg2.connect(os.environ["DATABASE_URL"]) as opened:
    cursor = opened.cursor()
    cursor.execute(
        "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole"
        " FROM pg_roles WHERE rolname = current_user"
    )
    print(*cursor.fetchone())
"""


@pytest.mark.parametrize("more", [(), ("--private", "postgresql")])
def test_the_tests_role_is_bound_by_row_level_security(more: tuple[str, ...]) -> None:
    environ = {k: v for k, v in os.environ.items() if k != "DATABASE_URL"}
    runner = [sys.executable, "-m", "tests.services", "run", "--only", "postgresql"]
    done = subprocess.run(
        [*runner, *more, "--", sys.executable, "-c", RIGHTS],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False False True True"


def test_the_s3_server_obeys_ranges_and_conditions(s3_client, s3_bucket) -> None:
    etag = s3_client.put_object(Bucket=s3_bucket, Key="a", Body=b"0123456789")["ETag"]
    target = {"Bucket": s3_bucket, "Key": "a", "Range": "bytes=4-6"}
    answer = s3_client.get_object(**target, IfMatch=etag)
    assert answer["Body"].read() == b"456"
    s3_client.put_object(Bucket=s3_bucket, Key="a", Body=b"another one")
    with pytest.raises(ClientError) as error:
        s3_client.get_object(**target, IfMatch=etag)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
