"""Downloads of a file: by short-lived links of a bucket, or through our own paths."""

import io
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import urllib3
from django.contrib.auth.models import Permission, User
from django.core.files.storage import storages
from django.test import Client
from rest_framework.test import APIClient

from ingestion.models import IngestedFile
from ingestion.storage import store
from taskqueue_site.settings import _object_store
from tests.arrange import make_admin, make_job, make_tenant, run
from tests.integration.api import assert_problem, client_of
from tests.integration.ingesting import file_of, row, text

pytestmark = pytest.mark.django_db(transaction=True)

PATH = 'in/a "b" ä.csv'
FILE = text(row(1), row(2, amount="x"), row(1, amount="2.00"))
LEFT = {"rejects", "conflicts", "corrections", "summary"}
NOWHERE = "s3://bucket?endpoint=http://127.0.0.1:1"

s3_only = pytest.mark.parametrize("store_url", ["s3"], indirect=True)
folder_only = pytest.mark.parametrize("store_url", ["folder"], indirect=True)


@pytest.fixture
def owner(store_url: str) -> APIClient:
    """A client of the tenant `owner`, on that store."""
    make_tenant("owner")
    return client_of("owner")


@pytest.fixture
def file(owner: APIClient) -> IngestedFile:
    """A loaded file of `owner` that left four others."""
    store().write(f"tenants/owner/{PATH}", io.BytesIO(FILE))
    payload = {"s3_path": PATH, "source": "UPI"}
    return file_of(run(make_job("owner", kind="ingest", payload=payload)))


def links(client: APIClient, file: IngestedFile) -> Any:
    answer = client.get(f"/v1/files/{file.pk}/links")
    assert answer.status_code == 200, answer.content
    assert answer["Cache-Control"] == "no-store"
    return answer.json()


def streamed(answer: Any) -> bytes:
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


def fetched(url: str) -> tuple[bytes, str]:
    """Fetch as somebody without a key; returns the content and how it is named."""
    answer = urllib3.PoolManager().request("GET", url)
    assert answer.status == 200, answer.data
    return answer.data, answer.headers["Content-Disposition"]


# --- Over HTTP ------------------------------------------------------------------------


@s3_only
def test_a_link_of_the_bucket_is_all_that_it_takes(
    owner: APIClient, file: IngestedFile
):
    told = links(owner, file)
    assert set(told["links"]) == {"original", *LEFT}
    assert told["expires_at"].endswith("Z")
    content, named = fetched(told["links"]["original"])
    assert content == FILE
    assert named.startswith("attachment; filename")
    for what in LEFT:
        content, named = fetched(told["links"][what])
        assert content == streamed(owner.get(f"/v1/files/{file.pk}/{what}"))
        assert named.startswith(f'attachment; filename="{what}-{file.pk}.')


@s3_only
def test_a_link_is_signed_for_five_minutes_and_the_public_address(
    owner: APIClient, file: IngestedFile, settings: Any
):
    settings.STORAGE_PUBLIC_ENDPOINT = "https://files.example.com"
    for url in links(owner, file)["links"].values():
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc) == ("https", "files.example.com")
        assert parse_qs(parts.query)["X-Amz-Expires"] == ["300"]


@folder_only
def test_a_folders_links_are_paths_that_need_the_key(
    owner: APIClient, file: IngestedFile
):
    told = links(owner, file)
    assert told["expires_at"] is None
    own = f"/v1/files/{file.pk}"
    assert told["links"] == {what: f"{own}/{what}" for what in ("original", *LEFT)}
    assert_problem(APIClient().get(told["links"]["original"]), 401)
    assert streamed(owner.get(told["links"]["original"])) == FILE


def test_the_original_comes_by_its_own_name(owner: APIClient, file: IngestedFile):
    shown = owner.get(f"/v1/files/{file.pk}").json()["links"]
    assert shown["downloads"] == f"/v1/files/{file.pk}/links"
    answer: Any = owner.get(shown["original"])
    assert streamed(answer) == FILE
    assert answer["Content-Disposition"].startswith("attachment; filename*=utf-8''a%20")
    assert answer["Content-Type"] == "application/octet-stream"


def test_a_stranger_finds_nothing(owner: APIClient, file: IngestedFile):
    make_tenant("stranger")
    stranger = client_of("stranger")
    for what in ("links", "original", *LEFT):
        path = f"/v1/files/{file.pk}/{what}"
        assert owner.get(path).status_code == 200
        assert_problem(stranger.get(path), 404, "not_found")
        assert_problem(APIClient().get(path), 401)


def test_an_original_that_was_replaced_is_no_longer_handed_out(
    owner: APIClient, file: IngestedFile
):
    store().write(f"tenants/owner/{PATH}", io.BytesIO(b"another"))
    assert set(links(owner, file)["links"]) == LEFT
    assert_problem(owner.get(f"/v1/files/{file.pk}/original"), 404, "not_found")


def test_an_original_that_is_gone_is_not_linked(owner: APIClient, file: IngestedFile):
    storages["default"].delete(f"tenants/owner/{PATH}")
    assert set(links(owner, file)["links"]) == LEFT
    assert_problem(owner.get(f"/v1/files/{file.pk}/original"), 404, "not_found")


@folder_only
def test_a_store_that_is_away_is_a_503(
    owner: APIClient, file: IngestedFile, settings: Any
):
    settings.STORAGES = {**settings.STORAGES, "default": _object_store(NOWHERE)}
    for what in ("links", "original"):
        answer = owner.get(f"/v1/files/{file.pk}/{what}")
        assert_problem(answer, 503, "store_unavailable")


# --- In the admin ---------------------------------------------------------------------


def download(browser: Client, file: IngestedFile, what: str) -> Any:
    url = f"/admin/ingestion/ingestedfile/{file.pk}/download/{what}/"
    return browser.get(url)


def content_of(answer: Any) -> bytes:
    """Return what a download leads to, on either kind of store."""
    if answer.status_code == 302:
        return fetched(answer["Location"])[0]
    return streamed(answer)


def test_staff_download_the_original_and_what_was_left(
    owner: APIClient, file: IngestedFile, client: Client, store_url: str
):
    client.force_login(make_admin())
    page = client.get(f"/admin/ingestion/ingestedfile/{file.pk}/change/")
    assert "download/original/" in page.content.decode()
    answer = download(client, file, "original")
    assert answer.status_code == (302 if store_url.startswith("s3") else 200)
    assert content_of(answer) == FILE
    for what in LEFT:
        wanted = streamed(owner.get(f"/v1/files/{file.pk}/{what}"))
        assert content_of(download(client, file, what)) == wanted
    assert download(client, file, "flags").status_code == 404
    assert download(client, file, "nothing").status_code == 404


def test_the_original_takes_a_permission_of_its_own(file: IngestedFile):
    staff = {}
    for code in ("view_keptoutrow", "download_ingestedfile"):
        user = User.objects.create_user(code, is_staff=True)
        codes = ("view_ingestedfile", code)
        user.user_permissions.set(Permission.objects.filter(codename__in=codes))
        staff[code] = Client()
        staff[code].force_login(user)
    rows, originals = staff["view_keptoutrow"], staff["download_ingestedfile"]
    assert content_of(download(originals, file, "original")) == FILE
    assert download(rows, file, "original").status_code == 403
    assert content_of(download(rows, file, "rejects"))
    assert download(originals, file, "rejects").status_code == 403
    page = rows.get(f"/admin/ingestion/ingestedfile/{file.pk}/change/")
    assert "download/original/" not in page.content.decode()


def test_an_original_that_was_replaced_is_told_on_its_page(
    file: IngestedFile, client: Client
):
    store().write(f"tenants/owner/{PATH}", io.BytesIO(b"another"))
    client.force_login(make_admin())
    answer = client.get(
        f"/admin/ingestion/ingestedfile/{file.pk}/download/original/", follow=True
    )
    assert "it was replaced since" in answer.content.decode()
