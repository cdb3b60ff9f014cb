"""The object store: a folder, and a bucket over HTTP, behind one interface."""

import io
import os
from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage
from storages.backends.s3 import S3Storage

from ingestion.storage import (
    BLOCK_BYTES,
    FolderStore,
    ObjectChangedError,
    ObjectMissingError,
    S3Store,
    Store,
    StoreUnavailableError,
    UnsafePathError,
    object_key,
)
from taskqueue_site.settings import _object_store

KEY = "tenants/t1/a.csv"
CONTENT = bytes(range(256)) * (BLOCK_BYTES // 256 * 2) + b"tail"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each kind of store in turn, empty."""
    if request.param == "folder":
        return FolderStore(FileSystemStorage(location=tmp_path))
    url = request.getfixturevalue("s3_storage_url")
    return S3Store(S3Storage(**_object_store(url)["OPTIONS"]))


def test_what_is_written_is_read_back_from_any_offset(store: Store):
    store.write(KEY, io.BytesIO(CONTENT))
    item = store.stat(KEY)
    assert item.size == len(CONTENT)
    for offset in (0, 1, BLOCK_BYTES, len(CONTENT) - 1, len(CONTENT)):
        blocks = list(store.blocks(item, offset))
        assert b"".join(blocks) == CONTENT[offset:]
        assert all(len(block) <= BLOCK_BYTES for block in blocks)


def test_an_empty_object_has_no_blocks(store: Store):
    store.write(KEY, io.BytesIO(b""))
    assert list(store.blocks(store.stat(KEY), 0)) == []


def test_a_missing_object_is_named(store: Store):
    with pytest.raises(ObjectMissingError, match=r"tenants/t1/a\.csv"):
        store.stat(KEY)


def test_a_replaced_object_is_not_read_on(store: Store):
    store.write(KEY, io.BytesIO(b"one"))
    item = store.stat(KEY)
    store.write(KEY, io.BytesIO(b"other"))
    with pytest.raises(ObjectChangedError):
        list(store.blocks(item, 1))


def test_a_write_replaces_the_whole_object(store: Store):
    store.write(KEY, io.BytesIO(b"a long first version"))
    store.write(KEY, io.BytesIO(b"short"))
    assert b"".join(store.blocks(store.stat(KEY), 0)) == b"short"


def test_a_store_that_does_not_answer_is_unavailable():
    options = _object_store("s3://k:s@bucket?endpoint=http://127.0.0.1:1")["OPTIONS"]
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1"):
        S3Store(S3Storage(**options)).stat(KEY)


# --- A folder's own traps -------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    """A folder with an object of tenant t2, and a file beside the store."""
    (tmp_path / "outside.csv").write_text("secret")
    found = FolderStore(FileSystemStorage(location=tmp_path / "objects"))
    found.write("tenants/t2/a.csv", io.BytesIO(b"of t2"))
    found.write("tenants/t10/a.csv", io.BytesIO(b"of t10"))
    found.write(KEY, io.BytesIO(CONTENT))
    return found


@pytest.mark.parametrize(
    "target", ["../t2/a.csv", "../t10/a.csv", "../../../outside.csv"]
)
def test_a_link_out_of_the_tenants_folder_leads_nowhere(
    folder: FolderStore, target: str
):
    link = Path(folder.storage.path("tenants/t1/link.csv"))
    link.symlink_to(target)
    assert link.is_file()
    with pytest.raises(ObjectMissingError):
        folder.stat("tenants/t1/link.csv")


def test_a_linked_folder_is_not_written_through(folder: FolderStore, tmp_path: Path):
    Path(folder.storage.path("tenants/t1/rejects")).symlink_to("../t2")
    with pytest.raises(ObjectMissingError):
        folder.write("tenants/t1/rejects/a.csv", io.BytesIO(b"x"))
    assert (tmp_path / "objects/tenants/t2/a.csv").read_bytes() == b"of t2"


@pytest.mark.parametrize("name", ["x" * 300, "a.csv/below", "pipe", "folder"])
def test_what_is_no_file_is_missing(folder: FolderStore, name: str):
    os.mkfifo(folder.storage.path("tenants/t1/pipe"))
    Path(folder.storage.path("tenants/t1/folder")).mkdir()
    with pytest.raises(ObjectMissingError):
        folder.stat(f"tenants/t1/{name}")


def test_a_file_replaced_while_it_is_read_is_not_read_on(folder: FolderStore):
    blocks = folder.blocks(folder.stat(KEY), 0)
    assert next(blocks) == CONTENT[:BLOCK_BYTES]
    folder.write(KEY, io.BytesIO(CONTENT))
    with pytest.raises(ObjectChangedError):
        next(blocks)


@pytest.mark.parametrize("size", [len(CONTENT), BLOCK_BYTES + 1], ids=["same", "cut"])
def test_a_file_changed_in_place_is_not_read_on(folder: FolderStore, size: int):
    item = folder.stat(KEY)
    blocks = folder.blocks(item, 0)
    assert next(blocks) == CONTENT[:BLOCK_BYTES]
    path = Path(folder.storage.path(KEY))
    with path.open("r+b") as file:
        file.truncate(size)
        file.seek(BLOCK_BYTES)
        file.write(b"!")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    with pytest.raises(ObjectChangedError):
        list(blocks)


# --- Paths ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("a.csv", "tenants/t1/a.csv"),
        ("2026/01/a b.csv", "tenants/t1/2026/01/a b.csv"),
        ("tenants/t1/a.csv", "tenants/t1/a.csv"),
        ("..a.csv", "tenants/t1/..a.csv"),
    ],
)
def test_a_path_stays_below_its_tenant(path: str, key: str):
    assert object_key("t1", path) == key


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../t2/a.csv",
        "x/../../t2/a.csv",
        "./a.csv",
        "a//b.csv",
        "a/",
        "tenants/t2/a.csv",
        "tenants/t11/a.csv",
        "tenants/t1/../t2/a.csv",
        "s3://bucket/a.csv",
        "file:///etc/passwd",
        "a\\..\\b",
        "a\0b",
        "a\nb",
        "%2e%2e/t2/a.csv",
        " a.csv",
        "x" * 1000,
    ],
)
def test_an_unsafe_path_is_refused(path: str):
    with pytest.raises(UnsafePathError):
        object_key("t1", path)


def test_of_those_who_want_a_free_key_one_gets_it(store: Store):
    assert store.reserve(KEY)
    assert not store.reserve(KEY)
    store.write(KEY, io.BytesIO(b"one"))
    assert not store.reserve(KEY)
    assert b"".join(store.blocks(store.stat(KEY), 0)) == b"one"


def test_a_key_taken_between_the_look_and_the_claim_is_not_given_again(
    s3_storage_url: str, monkeypatch: pytest.MonkeyPatch
):
    store = S3Store(S3Storage(**_object_store(s3_storage_url)["OPTIONS"]))
    store.write(KEY, io.BytesIO(b"one"))

    def too_early(key: str) -> None:
        raise ObjectMissingError(key)

    with monkeypatch.context() as patch:
        patch.setattr(store, "stat", too_early)
        assert not store.reserve(KEY)
    assert b"".join(store.blocks(store.stat(KEY), 0)) == b"one"


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_else(store: Store):
    names = ("reports/a/1.csv", "reports/a/b/2.csv", "reports/ab.csv", "reports/c/1")
    for name in names:
        store.write(f"tenants/t1/{name}", io.BytesIO(b"x"))
    store.write("tenants/t2/reports/a/1.csv", io.BytesIO(b"x"))
    store.remove_folder("tenants/t1/reports/a")
    for name in names[:2]:
        with pytest.raises(ObjectMissingError):
            store.stat(f"tenants/t1/{name}")
    for name in names[2:]:
        store.stat(f"tenants/t1/{name}")
    store.stat("tenants/t2/reports/a/1.csv")
    store.remove_folder("tenants/t1/reports/a")


def test_no_folder_is_removed_from_a_store_that_is_away():
    away = _object_store("s3://bucket?endpoint=http://127.0.0.1:1")["OPTIONS"]
    with pytest.raises(StoreUnavailableError):
        S3Store(S3Storage(**away)).remove_folder("tenants/t1/reports/a")


def test_a_link_that_leads_out_of_the_tenants_folder_is_not_followed(tmp_path: Path):
    store = FolderStore(FileSystemStorage(location=tmp_path))
    store.write("tenants/t2/reports/1.csv", io.BytesIO(b"x"))
    (tmp_path / "tenants/t1").mkdir()
    (tmp_path / "tenants/t1/reports").symlink_to(tmp_path / "tenants/t2/reports")
    store.remove_folder("tenants/t1/reports")
    store.stat("tenants/t2/reports/1.csv")
