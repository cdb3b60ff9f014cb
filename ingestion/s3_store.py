"""Objects of an S3 bucket; a read goes on where its connection broke."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from typing import Any, BinaryIO, Final

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.utils.http import content_disposition_header
from storages.backends.s3 import S3Storage
from urllib3.exceptions import HTTPError

from ingestion.objects import (
    Form,
    ObjectChangedError,
    ObjectMissingError,
    StoredObject,
    StoreUnavailableError,
)

logger = logging.getLogger(__name__)

#: What is lost when a connection breaks is read again, so it is a small piece.
_PIECE_BYTES: Final = 64 * 1024
#: How often a read is opened anew without a byte in between, and the waits before.
_REOPENINGS: Final = 5
_FIRST_WAIT_SECONDS: Final = 0.1


class S3Store:
    """Objects of one S3 bucket."""

    def __init__(self, storage: S3Storage) -> None:
        self.storage = storage
        self.client = _client(storage, os.getpid())
        self.bucket = storage.bucket_name

    def stat(self, key: str) -> StoredObject:
        """Ask for the head of the object; see Store."""
        with _translated(key):
            head = self.client.head_object(Bucket=self.bucket, Key=key)
        return StoredObject(key, head["ContentLength"], head["ETag"])

    def size_hint(self, key: str) -> int | None:
        """Ask nothing: who enqueues must not wait for a bucket that hangs."""
        return None

    def blocks(
        self, item: StoredObject, offset: int, end: int | None = None
    ) -> Iterator[bytes]:
        """Get the range, only if the tag still matches; see Store.

        A body that breaks off is asked for anew from the byte where it broke.
        """
        end = item.size if end is None else min(end, item.size)
        if offset >= end:
            return
        body, failures = self._opened(item, offset, end), 0
        while True:
            try:
                for piece in body:
                    offset, failures = offset + len(piece), 0
                    yield piece
                if offset == end:
                    return
                raise StoreUnavailableError(f"{item.key}: it ends at byte {offset}")
            except StoreUnavailableError as error:
                failures += 1
                if failures > _REOPENINGS:
                    raise
                logger.warning("Reading on at byte %s: %s", offset, error)
            time.sleep(_FIRST_WAIT_SECONDS * (2 ** (failures - 1) - 1))
            body = self._reopened(item, offset, end)

    def _reopened(self, item: StoredObject, offset: int, end: int) -> Iterator[bytes]:
        """Open the range anew; a failure to do so shows when it is iterated."""
        yield from self._opened(item, offset, end)

    def _opened(self, item: StoredObject, offset: int, end: int) -> Iterator[bytes]:
        """Return the pieces of a range, which the store has begun to send."""
        with _translated(item.key):
            response = self.client.get_object(
                Bucket=self.bucket,
                Key=item.key,
                IfMatch=item.etag,
                Range=f"bytes={offset}-{end - 1}",
            )
        _check(response, item, offset, end)
        return _pieces(response["Body"], item.key)

    def write(self, key: str, content: BinaryIO) -> None:
        """Upload in parts where the object is large; see Store."""
        # What cannot be read again is kept in memory, part by part: one at a time then.
        one_by_one = TransferConfig(use_threads=content.seekable())
        with _translated(key):
            self.client.upload_fileobj(content, self.bucket, key, Config=one_by_one)

    def reserve(self, key: str) -> bool:
        """Put nothing, on the condition that there is nothing; see Store.

        A store that does not know the condition only has the look before it.
        """
        with suppress(ObjectMissingError):
            self.stat(key)
            return False
        try:
            with _translated(key):
                self.client.put_object(Bucket=self.bucket, Key=key, IfNoneMatch="*")
        except ObjectChangedError:
            return False
        return True

    def remove_folder(self, key: str) -> None:
        """List page by page and delete one by one; see Store.

        Some stores want a checksum of a request that deletes many, others refuse it.
        """
        pages = self.client.get_paginator("list_objects_v2")
        with _translated(key):
            for page in pages.paginate(Bucket=self.bucket, Prefix=f"{key}/"):
                for found in page.get("Contents", []):
                    self.client.delete_object(Bucket=self.bucket, Key=found["Key"])

    def upload_form(
        self, key: str, *, size: int, content_type: str, seconds: int
    ) -> Form:
        """Sign a form without asking the server; see Store."""
        fields = {"Content-Type": content_type} if content_type else {}
        conditions: list[Any] = [["content-length-range", size, size]]
        signed = self._outside().generate_presigned_post(
            self.bucket,
            key,
            Fields=fields,
            Conditions=[*conditions, *({name: fields[name]} for name in fields)],
            ExpiresIn=seconds,
        )
        return Form(signed["url"], signed["fields"])

    def download_url(self, key: str, *, name: str, seconds: int) -> str:
        """Sign an address without asking the server; see Store."""
        disposition = content_disposition_header(True, name) or "attachment"
        asked = {
            "Bucket": self.bucket,
            "Key": key,
            "ResponseContentDisposition": disposition,
        }
        url: str = self._outside().generate_presigned_url(
            "get_object", Params=asked, ExpiresIn=seconds
        )
        return url

    def _outside(self) -> Any:
        """Return a client that signs for how others reach the server."""
        outside = settings.STORAGE_PUBLIC_ENDPOINT
        if not outside or outside == self.storage.endpoint_url:
            return self.client
        return _client_for(self.storage, outside)


@lru_cache(maxsize=1)
def _client(storage: S3Storage, _pid: int) -> Any:
    """Return the process's client: threads may share it, and one has 14 MB to it."""
    return storage.connection.meta.client


@lru_cache(maxsize=1)
def _client_for(storage: S3Storage, endpoint_url: str) -> Any:
    """Return a client for another address of the same server; it is never called."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=storage.access_key,
        aws_secret_access_key=storage.secret_key,
        region_name=storage.region_name,
        config=storage.client_config,
    )


def _check(response: Any, item: StoredObject, offset: int, end: int) -> None:
    """Refuse what is not the asked range of the pinned object: not all stores obey."""
    if response["ETag"] != item.etag:
        raise ObjectChangedError(item.key)
    whole = f"bytes 0-{item.size - 1}"
    told = response.get("ContentRange", whole).partition("/")[0]
    if told != f"bytes {offset}-{end - 1}":
        raise StoreUnavailableError(f"{item.key}: the store sends {told!r} instead")


def _pieces(body: Any, key: str) -> Iterator[bytes]:
    with closing(body), _translated(key):
        yield from body.iter_chunks(_PIECE_BYTES)


@contextmanager
def _translated(key: str) -> Iterator[None]:
    """Turn the client's errors into the store's."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in {"404", "NoSuchKey", "NotFound"}:
            raise ObjectMissingError(key) from error
        if code in {"412", "PreconditionFailed"}:
            raise ObjectChangedError(key) from error
        raise StoreUnavailableError(f"{key}: {error}") from error
    except (BotoCoreError, HTTPError, OSError) as error:
        raise StoreUnavailableError(f"{key}: {error}") from error
