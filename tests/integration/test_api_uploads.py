"""Uploads: a place for one file, for a while, wherever the objects lie."""

import io
import json
import socket
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from django.core import signing
from django.core.files.storage import storages
from django.utils import timezone
from rest_framework.test import APIClient
from storages.backends.s3 import S3Storage

from ingestion import uploads
from ingestion.objects import UploadCutError
from ingestion.storage import S3Store, store
from ingestion.uploads import Upload
from taskqueue_site.settings import _object_store
from tests.arrange import make_job, make_tenant, run
from tests.integration.api import assert_problem, client_of, make_key, places
from tests.integration.ingesting import counts, row, text
from tests.integration.web import gunicorn

pytestmark = pytest.mark.django_db(transaction=True)

UPLOADS = "/v1/uploads"
FILE = text(row(1), row(2))
NOWHERE = "s3://bucket?endpoint=http://127.0.0.1:1"


@pytest.fixture
def owner(store_url: str) -> APIClient:
    """A client of the tenant `owner`, on that store."""
    make_tenant("owner")
    return client_of("owner")


def begin(client: APIClient, **changes: Any) -> Any:
    body = {"path": "in/a.csv", "size": len(FILE)} | changes
    return client.post(UPLOADS, body, format="json")


def stored(path: str = "in/a.csv") -> bytes | None:
    key = f"tenants/owner/{path}"
    if not storages["default"].exists(key):
        return None
    return b"".join(store().blocks(store().stat(key), 0))


def send(client: APIClient, told: Any, content: bytes) -> int:
    """Send a file as the answer says; returns the status."""
    if told["method"] == "PUT":
        return int(put(client, told["url"], content).status_code)
    fields = {**told["fields"], "file": ("any name", content)}
    answer = urllib3.PoolManager().request("POST", told["url"], fields=fields)
    return answer.status


def put(client: APIClient, url: str, content: bytes) -> Any:
    return client.put(url, content, content_type="application/octet-stream")


def test_a_file_is_sent_to_where_the_answer_says(owner: APIClient):
    response = begin(owner, content_type="text/csv")
    assert response.status_code == 201
    told = response.json()
    assert told["s3_path"] == "in/a.csv"
    assert send(owner, told, FILE) in {201, 204}
    assert stored() == FILE
    payload = {"s3_path": told["s3_path"], "source": "UPI"}
    assert counts(run(make_job("owner", kind="ingest", payload=payload)))[0] == 2


def test_an_upload_replaces_what_was_there(owner: APIClient):
    store().write("tenants/owner/in/a.csv", io.BytesIO(b"before"))
    send(owner, begin(owner).json(), FILE)
    assert stored() == FILE


def test_the_key_says_whose_it_is(owner: APIClient):
    make_tenant("other")
    told = begin(client_of("other")).json()
    send(owner, told, FILE)
    assert stored() is None
    assert_problem(begin(APIClient()), 401)


@pytest.mark.parametrize(
    ("changes", "place", "code"),
    [
        ({"path": "../other/a.csv"}, "/path", "unsafe_path"),
        ({"path": "tenants/other/a.csv"}, "/path", "unsafe_path"),
        ({"path": "rejects/a.csv"}, "/path", "unsafe_path"),
        # It would stand where loads want their folder.
        ({"path": "rejects"}, "/path", "unsafe_path"),
        ({"path": f"in/{'x' * 256}"}, "/path", "unsafe_path"),
        ({"path": "tenants/owner/summaries/a.csv"}, "/path", "unsafe_path"),
        ({"path": "a/${filename}"}, "/path", "unsafe_path"),
        ({"path": 7}, "/path", "invalid"),
        ({"size": 0}, "/size", "min_value"),
        ({"size": "10"}, "/size", "invalid"),
        ({"size": 1001}, "/size", "too_large"),
        ({"content_type": "text/csv\r\nx: y"}, "/content_type", "invalid"),
        ({"more": 1}, "/more", "unknown_field"),
    ],
)
def test_what_is_not_taken_is_named(
    owner: APIClient, settings: Any, changes: Any, place: str, code: str
):
    settings.UPLOAD_MAX_BYTES = 1000
    problem = assert_problem(begin(owner, **changes), 400, "invalid")
    assert places(problem) == {place: code}


def test_a_folders_name_in_another_place_is_any_name(owner: APIClient):
    assert begin(owner, path="rejects.csv").status_code == 201
    assert begin(owner, path="in/rejects/a.csv").status_code == 201


def test_a_file_below_a_file_is_refused_where_files_are_kept_in_folders(
    owner: APIClient,
):
    """Not as a store that is away: to send it again would never help."""
    store().write("tenants/owner/in", io.BytesIO(b"a file"))
    told = begin(owner, path="in/a.csv").json()
    if told["method"] == "PUT":
        answer = put(APIClient(), told["url"], FILE)
        assert_problem(answer, 400, "unsafe_path")
    else:
        assert send(owner, told, FILE) in {201, 204}


# --- A bucket's own form --------------------------------------------------------------


@pytest.mark.parametrize("store_url", ["s3"], indirect=True)
def test_a_bucket_gets_a_form_for_exactly_that_object(owner: APIClient, store_url: str):
    told = begin(owner, content_type="text/csv").json()
    assert told["method"] == "POST"
    assert told["url"].endswith(f"/{urlsplit(store_url).hostname}")
    fields = told["fields"]
    assert fields["key"] == "tenants/owner/in/a.csv"
    assert fields["Content-Type"] == "text/csv"
    policy = json.loads(b64decode(fields["policy"]))
    wanted: list[Any] = [
        ["content-length-range", len(FILE), len(FILE)],
        {"key": fields["key"]},
        {"Content-Type": "text/csv"},
        {"bucket": urlsplit(store_url).hostname},
    ]
    assert [rule for rule in wanted if rule not in policy["conditions"]] == []


@pytest.mark.parametrize("store_url", ["s3"], indirect=True)
def test_a_form_is_signed_for_the_servers_public_address(
    owner: APIClient, settings: Any
):
    settings.STORAGE_PUBLIC_ENDPOINT = "https://files.example.com"
    assert begin(owner).json()["url"].startswith("https://files.example.com/")


def test_a_form_needs_no_answer_of_the_server(owner: APIClient, settings: Any):
    settings.STORAGES = {**settings.STORAGES, "default": _object_store(NOWHERE)}
    assert begin(owner).json()["url"].startswith("http://127.0.0.1:1/")


# --- Our own address ------------------------------------------------------------------


def upload(size: int = len(FILE), *, seconds: int = 600) -> Upload:
    expires = timezone.now() + timedelta(seconds=seconds)
    return Upload("owner", "in/a.csv", size, expires)


def test_the_address_alone_is_enough_and_works_on_any_store(owner: APIClient):
    nobody = APIClient()
    answer = put(nobody, f"{UPLOADS}/{upload().token}", FILE)
    assert answer.status_code == 201
    assert answer.json() == {"s3_path": "in/a.csv", "size": len(FILE)}
    assert stored() == FILE


def test_an_address_that_is_changed_or_old_takes_nothing(owner: APIClient):
    token = upload().token
    for wrong in (token[:-1], f"{token}x", "x", signing.dumps(["owner", "a", 1, 2])):
        assert_problem(put(owner, f"{UPLOADS}/{wrong}", FILE), 404, "not_found")
    late = upload(seconds=-1).token
    problem = put(owner, f"{UPLOADS}/{late}", FILE)
    assert_problem(problem, 403, "upload_expired")
    assert stored() is None


@pytest.mark.parametrize("content", [b"", FILE[:-1], FILE + b"x"])
def test_another_size_than_was_asked_for_is_refused(owner: APIClient, content: bytes):
    answer = put(owner, f"{UPLOADS}/{upload().token}", content)
    assert_problem(answer, 400, "wrong_size")
    assert stored() is None


def test_a_store_that_is_away_is_a_503(owner: APIClient, settings: Any):
    settings.STORAGES = {**settings.STORAGES, "default": _object_store(NOWHERE)}
    answer = put(owner, f"{UPLOADS}/{upload().token}", FILE)
    assert_problem(answer, 503, "store_unavailable")


# --- Bytes as they come ---------------------------------------------------------------


class Line:
    """A connection that has sent some bytes, in odd pieces, and then breaks or ends."""

    def __init__(self, size: int, how: Callable[[], bytes]) -> None:
        self.left = size
        self.how = how

    def read(self, size: int, /) -> bytes:
        if not self.left:
            return self.how()
        piece = min(size, self.left, 100_003)
        self.left -= piece
        return b"x" * piece


def breaks() -> bytes:
    raise ConnectionResetError("reset by peer")


LARGE = 20_000_000


@pytest.mark.parametrize("how", [breaks, lambda: b""], ids=["reset", "end"])
@pytest.mark.parametrize("came", [0, 1000, LARGE - 1])
def test_a_body_that_breaks_off_leaves_nothing(
    owner: APIClient, tmp_path: Path, came: int, how: Callable[[], bytes]
):
    store().write("tenants/owner/in/a.csv", io.BytesIO(b"before"))
    with pytest.raises(UploadCutError):
        uploads.upload_receive(
            upload=upload(LARGE), content=Line(came, how), now=timezone.now()
        )
    assert stored() == b"before"
    found = store()
    if isinstance(found, S3Store):
        assert isinstance(found.storage, S3Storage)
        begun = found.client.list_multipart_uploads(Bucket=found.bucket)
        assert begun.get("Uploads", []) == []
    else:
        files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
        assert files == ["a.csv"]


def test_a_large_body_comes_whole_piece_by_piece(owner: APIClient):
    uploads.upload_receive(
        upload=upload(LARGE), content=Line(LARGE, breaks), now=timezone.now()
    )
    assert store().stat("tenants/owner/in/a.csv").size == LARGE


@pytest.mark.parametrize("store_url", ["folder"], indirect=True)
def test_a_body_is_taken_over_a_socket_and_a_cut_one_is_not(
    owner: APIClient, store_url: str, tmp_path: Path
):
    size = 5_000_000
    with gunicorn(tmp_path, STORAGE_URL=store_url, SECRET_KEY="for tests") as url:
        headers = {
            "Authorization": f"Bearer {make_key('owner')}",
            "Content-Type": "application/json",
        }
        body = json.dumps({"path": "in/a.csv", "size": size}).encode()
        pool = urllib3.PoolManager()
        told = pool.request("POST", url + UPLOADS, body=body, headers=headers).json()
        parts = urlsplit(url)
        head = (
            f"PUT {told['url']} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Content-Length: {size}\r\n\r\n"
        )
        with socket.create_connection((parts.hostname, parts.port)) as line:
            line.sendall(head.encode() + b"x" * 1_000_000)
        content = b"y" * size
        assert pool.request("PUT", url + told["url"], body=content).status == 201
        assert stored() == content
    assert "Traceback" not in (tmp_path / "web.log").read_text()
