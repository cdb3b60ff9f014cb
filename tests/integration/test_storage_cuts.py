"""Reads of a bucket whose connections break: they go on, or they say so."""

import io
from collections.abc import Callable, Iterator
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from storages.backends.s3 import S3Storage

from ingestion.objects import ObjectChangedError, StoredObject, StoreUnavailableError
from ingestion.s3_store import S3Store
from taskqueue_site.chaos.proxy import FaultProxy
from taskqueue_site.settings import _object_store

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "tenants/t1/a.csv"
#: Larger than what the sockets on the way hold.
CONTENT = b"".join(b"line %09d\n" % n for n in range(1_000_000))


@pytest.fixture
def proxy(s3_endpoint: str) -> Iterator[FaultProxy]:
    """A proxy in front of the S3 server."""
    parts = urlsplit(s3_endpoint)
    made = FaultProxy((str(parts.hostname), parts.port or 80))
    yield made
    made.close()


@pytest.fixture
def store(proxy: FaultProxy, s3_client: "S3Client", s3_bucket: str) -> S3Store:
    """A store behind the proxy, with one object."""
    s3_client.put_object(Bucket=s3_bucket, Key=KEY, Body=CONTENT)
    url = f"s3://{s3_bucket}?endpoint=http://127.0.0.1:{proxy.port}"
    return S3Store(S3Storage(**_object_store(url)["OPTIONS"]))


@pytest.fixture
def opened(store: S3Store) -> list[str]:
    """The ranges that have been asked for."""
    asked: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        asked.append(params["headers"]["Range"])

    store.client.meta.events.register("before-call.s3.GetObject", note)
    return asked


def test_a_read_goes_on_where_its_connection_broke(
    store: S3Store, proxy: FaultProxy, opened: list[str]
):
    item = store.stat(KEY)
    proxy.cut_after(3_000_000)
    assert b"".join(store.blocks(item, 7)) == CONTENT[7:]
    starts = [int(asked.removeprefix("bytes=").partition("-")[0]) for asked in opened]
    assert len(starts) >= 5
    assert starts == sorted(set(starts))
    assert all(asked.endswith(f"-{len(CONTENT) - 1}") for asked in opened)


def test_a_part_of_an_object_ends_where_asked(store: S3Store, proxy: FaultProxy):
    item = store.stat(KEY)
    proxy.cut_after(400_000)
    found = b"".join(store.blocks(item, 100, 1_000_100))
    assert found == CONTENT[100:1_000_100]
    assert list(store.blocks(item, 5, 5)) == []


def test_a_connection_that_brings_nothing_is_given_up(
    store: S3Store, proxy: FaultProxy, opened: list[str]
):
    item = store.stat(KEY)
    blocks = store.blocks(item, 0)
    assert next(blocks)
    proxy.cut_after(2_000)
    with pytest.raises(StoreUnavailableError, match=r"tenants/t1/a\.csv"):
        list(blocks)
    assert 3 <= len(opened) <= 10
    assert len(set(opened[1:])) == 1


def test_a_server_that_went_away_is_given_up(store: S3Store, proxy: FaultProxy):
    blocks = store.blocks(store.stat(KEY), 0)
    assert next(blocks)
    proxy.refuse()
    with pytest.raises(StoreUnavailableError):
        list(blocks)


def test_an_object_replaced_behind_a_cut_is_not_read_on(
    store: S3Store, proxy: FaultProxy, s3_client: "S3Client"
):
    blocks = store.blocks(store.stat(KEY), 0)
    got = [next(blocks)]
    s3_client.put_object(Bucket=store.bucket, Key=KEY, Body=CONTENT[::-1])
    proxy.reset()
    with pytest.raises(ObjectChangedError):
        got.extend(blocks)
    assert CONTENT.startswith(b"".join(got))


def test_threads_share_one_client(store: S3Store):
    made: list[S3Store] = []
    thread = Thread(target=lambda: made.append(S3Store(store.storage)))
    thread.start()
    thread.join()
    assert made[0].client is store.client


# --- Stores that do not do as they are told ------------------------------------------

Answering = Callable[..., None]


@pytest.fixture
def answering(store: S3Store) -> Answering:
    """A function that makes the store's server answer a read with something else."""

    def answering(body: bytes, status: int = 206, **headers: str) -> None:
        told = HTTPHeaders()
        for name, value in headers.items():
            told[name.replace("_", "-")] = value

        def answer(**_: Any) -> AWSResponse:
            return AWSResponse("http://s3", status, told, _Raw(body))

        store.client.meta.events.register("before-send.s3.GetObject", answer)

    return answering


class _Raw(io.BytesIO):
    """A body as the HTTP client hands it out."""

    def stream(self, amount: int = 1024, **_: Any) -> Iterator[bytes]:
        while piece := self.read(amount):
            yield piece


PINNED = StoredObject(KEY, 10, '"tag"')


@pytest.mark.parametrize("told", [{"Content_Length": "10"}, {}], ids=["told", "untold"])
def test_a_body_that_is_too_short_is_no_end(
    store: S3Store, answering: Answering, told: dict[str, str]
):
    answering(b"01234", ETag='"tag"', Content_Range="bytes 0-9/10", **told)
    blocks = store.blocks(PINNED, 0)
    assert next(blocks) == b"01234"
    with pytest.raises(StoreUnavailableError):
        list(blocks)


def test_the_whole_instead_of_a_part_is_not_read(store: S3Store, answering: Answering):
    answering(b"0123456789", status=200, ETag='"tag"')
    assert b"".join(store.blocks(PINNED, 0)) == b"0123456789"
    for place in ((5,), (0, 5)):
        with pytest.raises(StoreUnavailableError, match="sends"):
            list(store.blocks(PINNED, *place))


def test_another_part_than_asked_is_not_read(store: S3Store, answering: Answering):
    answering(b"01234", ETag='"tag"', Content_Range="bytes 0-4/10")
    with pytest.raises(StoreUnavailableError, match="sends"):
        list(store.blocks(PINNED, 5))


def test_a_tag_that_was_not_compared_is_compared(store: S3Store, answering: Answering):
    answering(b"56789", ETag='"other"', Content_Range="bytes 5-9/10")
    with pytest.raises(ObjectChangedError):
        list(store.blocks(PINNED, 5))
