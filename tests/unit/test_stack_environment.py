"""Which variables the stack supplies, and how other commands find them."""

from pathlib import Path

import pytest

from taskqueue_site.embedded import EmbeddedPostgres, EmbeddedValkey, ServiceError
from taskqueue_site.stack_environment import (
    complete_environment,
    missing_servers,
    published,
    redacted,
)

URLS = {
    "DATABASE_URL": "postgresql://dtq@/dtq?host=/s",
    "REDIS_URL": "redis://:k@127.0.0.1:7/0",
}


def test_every_server_is_missing_when_nothing_is_set(tmp_path: Path) -> None:
    servers = missing_servers({}, tmp_path)
    assert {name: type(server) for name, server in servers.items()} == {
        "DATABASE_URL": EmbeddedPostgres,
        "REDIS_URL": EmbeddedValkey,
    }


def test_a_given_url_needs_no_server_and_an_empty_one_does(tmp_path: Path) -> None:
    given = {"DATABASE_URL": "postgresql://db/x", "REDIS_URL": ""}
    assert list(missing_servers(given, tmp_path)) == ["REDIS_URL"]


def test_nothing_given_yields_embedded_values(tmp_path: Path) -> None:
    values = complete_environment({}, URLS, tmp_path)
    assert values["DATABASE_URL"] == URLS["DATABASE_URL"]
    assert values["BROKER_URL"] == "redis://:k@127.0.0.1:7/1"
    assert values["STORAGE_URL"] == (tmp_path / "objects").as_uri()
    assert values == complete_environment({}, URLS, tmp_path), "the secret must last"


def test_given_values_win(tmp_path: Path) -> None:
    given = {
        "DATABASE_URL": "postgresql://db/x",
        "REDIS_URL": "rediss://cache:6380/5?ssl_cert_reqs=required",
        "STORAGE_URL": "s3://bucket",
        "SECRET_KEY": "given",
    }
    values = complete_environment(given, {}, tmp_path)
    assert values["BROKER_URL"] == "rediss://cache:6380/1?ssl_cert_reqs=required"
    assert {name: values[name] for name in given} == given


def test_a_broker_on_an_unknown_scheme_is_asked_for(tmp_path: Path) -> None:
    given = {**URLS, "REDIS_URL": "unix:///run/redis.sock"}
    with pytest.raises(ServiceError, match="set BROKER_URL"):
        complete_environment(given, {}, tmp_path)


def test_the_published_file_is_private_and_ends_with_the_stack(tmp_path: Path) -> None:
    file = tmp_path / "stack.env"
    with published({"A": "1", "B": "x=y"}, tmp_path):
        assert file.read_text() == "A=1\nB=x=y\n"
        assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == []


def test_a_value_of_two_lines_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ServiceError, match="SECRET_KEY"),
        published({"SECRET_KEY": "a\nb"}, tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://guest:secret@host:5672//", "amqp://***@host:5672//"),
        ("s3://key:secret@bucket?endpoint=http://h", "s3://***@bucket"),
        ("postgresql://u@/d?host=/s&password=secret", "postgresql://***@/d"),
        ("redis://:a/b@c@host/0", "redis://***@host/0"),
        ("file:///home/a@b/objects", "file:///home/a@b/objects"),
    ],
)
def test_secrets_do_not_reach_the_screen(url: str, shown: str) -> None:
    assert redacted(url) == shown
