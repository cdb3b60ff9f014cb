"""The commands with which people make tenants, keys and files."""

import json
import subprocess
import sys
from argparse import ArgumentParser, _SubParsersAction
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import (
    CommandError,
    call_command,
    get_commands,
    load_command_class,
)

from quotas.models import Quota
from quotas.services import tenant_create
from tenants import keys
from tenants.models import ApiKey, Tenant, Tier
from tenants.scoping import all_tenants
from tests.integration.api import assert_problem, bearer
from tests.integration.web import database_url

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def tiers() -> None:
    """The tiers that the migration makes; the end of some tests empties the table."""
    for name, weight in (("standard", 1), ("gold", 2)):
        Tier.objects.get_or_create(name=name, defaults={"weight": weight})


def run(*words: str) -> str:
    out = StringIO()
    call_command(*words, stdout=out)
    return out.getvalue()


def report(*words: str) -> Any:
    return json.loads(run(*words, "--json"))


def quota_of(slug: str) -> Quota:
    with all_tenants(reason="test"):
        found: Quota = Quota.objects.select_related("tenant__tier").get(tenant=slug)
    return found


def tenant_count() -> int:
    with all_tenants(reason="test"):
        return Tenant.objects.count()


# --- tenant ---------------------------------------------------------------------------


def test_a_new_tenant_has_the_defaults():
    created = report("tenant", "create", "t1")
    assert created.pop("created_at")
    assert created == {
        "tenant_id": "t1",
        "name": "",
        "tier": "standard",
        "pool": "shared",
        "weight": 1,
        "max_in_flight": None,
        "elastic_cap": None,
        "rate_per_second": None,
        "burst": None,
        "retention_days": None,
        "is_paused": False,
        "paused_reason": "",
    }
    quota = quota_of("t1")
    assert quota.weight == 1
    assert quota.max_in_flight is None
    assert (quota.rate_per_second, quota.burst) == (None, None)


def test_a_new_tenant_has_what_is_asked():
    options = ["--weight", "2.125", "--tier", "gold", "--name", "One", "--pool", "p1"]
    options += ["--max-in-flight", "3", "--elastic-cap", "2"]
    options += ["--rate", "0.5", "--burst", "7"]
    created = report("tenant", "create", "t1", *options)
    assert created["weight"] == 2.125
    assert created["tier"] == "gold"
    assert created["name"] == "One"
    assert created["pool"] == "p1"
    assert (created["max_in_flight"], created["elastic_cap"]) == (3, 2)
    assert (created["rate_per_second"], created["burst"]) == (0.5, 7)
    assert str(quota_of("t1").weight) == "2.125"


def test_a_tenant_is_created_once():
    run("tenant", "create", "t1", "--weight", "2")
    with pytest.raises(CommandError, match="'t1' exists already"):
        run("tenant", "create", "t1", "--weight", "3")
    again = report("tenant", "create", "t1", "--weight", "3", "--exist-ok")
    assert again["weight"] == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["T1"], "lower-case"),
        (["../t"], "lower-case"),
        (["t" * 64], "63"),
        (["t1", "--weight", "0"], "weight"),
        (["t1", "--weight", "0.0001"], "weight"),
        (["t1", "--weight", "10000.001"], "weight"),
        (["t1", "--weight", "-1"], "weight"),
        (["t1", "--weight", "NaN"], "not a number"),
        (["t1", "--weight", "many"], "not a number"),
        (["t1", "--tier", "tin"], "use one of: .*gold, .*standard"),
        (["t1", "--pool", "a b"], "pool"),
        (["t1", "--max-in-flight", "0"], "max_in_flight"),
        (["t1", "--max-in-flight", "-1"], "max_in_flight"),
        (["t1", "--max-in-flight", "2147483648"], "max_in_flight"),
        (["t1", "--elastic-cap", "0"], "elastic_cap"),
        (["t1", "--rate", "0"], "rate_per_second"),
        (["t1", "--rate", "-1"], "rate_per_second"),
        (["t1", "--rate", "0.0001"], "rate_per_second"),
        (["t1", "--rate", "inf"], "not a number"),
        (["t1", "--burst", "0"], "burst"),
        (["t1", "--name", "x" * 201], "name: Use one line"),
        (["t1", "--name", "a\nb"], "name: Use one line"),
        (["t1", "--name", "\udcff"], "name: Use one line"),
    ],
)
def test_a_bad_tenant_leaves_nothing_behind(words: list[str], told: str):
    with pytest.raises(CommandError, match=told):
        run("tenant", "create", *words)
    assert tenant_count() == 0


def test_a_tenant_without_its_quota_is_not_kept_even_by_who_catches_the_error():
    with all_tenants(reason="test"):
        with pytest.raises(ValidationError):
            tenant_create(slug="t1", weight=Decimal(0))
        assert tenant_count() == 0


@pytest.mark.parametrize("weight", ["0.001", "10000"])
def test_the_limits_of_a_weight_are_allowed(weight: str):
    assert report("tenant", "create", "t1", "--weight", weight)["weight"] == float(
        weight
    )


def test_tenants_are_listed():
    assert report("tenant", "list") == []
    for slug in ("t2", "t1"):
        run("tenant", "create", slug)
    assert [found["tenant_id"] for found in report("tenant", "list")] == ["t1", "t2"]
    assert "t1  tier standard  weight 1  pool shared" in run("tenant", "list")


def test_the_list_shows_the_limits_that_a_tenant_has():
    limits = ["--max-in-flight", "4", "--elastic-cap", "3", "--rate", "2.5"]
    run("tenant", "create", "t1", *limits, "--burst", "2147483647")
    limited = "pool shared  cap 4  elastic cap 3  rate/s 2.5  burst 2147483647"
    assert run("tenant", "list").strip().endswith(limited)


def test_a_tenant_is_paused_and_resumed():
    run("tenant", "create", "t1")
    paused = report("tenant", "pause", "t1", "--reason", "unpaid")
    assert (paused["is_paused"], paused["paused_reason"]) == (True, "unpaid")
    assert "paused: unpaid" in run("tenant", "list")
    resumed = report("tenant", "resume", "t1")
    assert (resumed["is_paused"], resumed["paused_reason"]) == (False, "")


def test_a_rate_is_set_and_lifted():
    run("tenant", "create", "t1", "--weight", "3")
    changed = report("tenant", "set", "t1", "--rate", "2", "--burst", "5")
    assert (changed["rate_per_second"], changed["burst"]) == (2, 5)
    changed = report("tenant", "set", "t1", "--rate", "0")
    assert (changed["rate_per_second"], changed["burst"]) == (None, None)
    assert changed["weight"] == 3


@pytest.mark.parametrize("reason", ["x" * 201, "a\nb", "\x1b[31m", "\udcff"])
def test_a_reason_is_one_printable_line(reason: str):
    run("tenant", "create", "t1")
    with pytest.raises(CommandError, match="reason: Use one line"):
        run("tenant", "pause", "t1", "--reason", reason)
    run("tenant", "pause", "t1")
    assert run("tenant", "list").strip().endswith("  paused")


def test_only_what_is_given_changes():
    caps = ["--max-in-flight", "3", "--elastic-cap", "2"]
    run("tenant", "create", "t1", "--name", "One", *caps)
    changed = report("tenant", "set", "t1", "--weight", "5")
    assert (changed["weight"], changed["max_in_flight"]) == (5, 3)
    changed = report("tenant", "set", "t1", "--max-in-flight", "0", "--tier", "gold")
    assert (changed["max_in_flight"], changed["tier"]) == (None, "gold")
    assert changed["elastic_cap"] == 2
    changed = report("tenant", "set", "t1", "--elastic-cap", "0")
    assert changed["elastic_cap"] is None
    assert (changed["weight"], changed["name"]) == (5, "One")
    with pytest.raises(CommandError, match="weight"):
        run("tenant", "set", "t1", "--name", "Two", "--weight", "0")
    assert quota_of("t1").tenant.name == "One"


@pytest.mark.parametrize(
    "words",
    [
        ("tenant", "pause", "t9"),
        ("tenant", "resume", "t9"),
        ("tenant", "set", "t9", "--weight", "2"),
        ("apikey", "create", "t9"),
        ("apikey", "list", "t9"),
        ("upload", "t9", "samples/upi_small.csv"),
    ],
)
def test_an_unknown_tenant_is_named(words: tuple[str, ...]):
    with pytest.raises(CommandError, match="There is no tenant 't9'"):
        run(*words)


# --- apikey ---------------------------------------------------------------------------


def test_a_new_key_opens_its_tenant_until_it_is_revoked():
    run("tenant", "create", "t1")
    created = report("apikey", "create", "t1", "--name", "nightly")
    assert set(created) == {"key", "id", "tenant_id"}
    assert created["tenant_id"] == "t1"
    assert keys.parse(created["key"]).id == created["id"]
    client = bearer(created["key"])
    assert client.get("/jobs").status_code == 200
    (listed,) = report("apikey", "list", "t1")
    assert (listed["name"], listed["standing"]) == ("nightly", "active")
    first = report("apikey", "revoke", created["id"])["revoked_at"]
    assert_problem(client.get("/jobs"), 401)
    assert report("apikey", "revoke", created["id"])["revoked_at"] == first
    assert f"{created['id']}  revoked" in run("apikey", "list", "t1")


def test_a_key_is_printed_bare_and_never_again():
    run("tenant", "create", "t1")
    text = run("apikey", "create", "t1").strip()
    keys.parse(text)
    assert text not in run("apikey", "list", "t1", "--json")
    with all_tenants(reason="test"):
        assert ApiKey.objects.get().digest == keys.digest(text)


def test_an_unknown_key_is_named():
    with pytest.raises(CommandError, match="no API key 'zzzzzzzz'"):
        run("apikey", "revoke", "zzzzzzzz")


# --- upload ---------------------------------------------------------------------------


@pytest.fixture
def objects(tmp_path: Path, settings: Any) -> Path:
    """The folder in which objects are kept."""
    backend = "django.core.files.storage.FileSystemStorage"
    store = {"BACKEND": backend, "OPTIONS": {"location": str(tmp_path / "objects")}}
    settings.STORAGES = {**settings.STORAGES, "default": store}
    return tmp_path / "objects"


@pytest.mark.parametrize(
    ("options", "s3_path"),
    [([], "a file.csv"), (["--as", "in/2026/a.csv"], "in/2026/a.csv")],
)
def test_a_file_is_copied_into_the_tenants_part(
    objects: Path, tmp_path: Path, options: list[str], s3_path: str
):
    run("tenant", "create", "t1")
    file = tmp_path / "a file.csv"
    file.write_bytes(b"txn_id\n1\n")
    assert report("upload", "t1", str(file), *options) == {
        "s3_path": s3_path,
        "size": 9,
        "key": f"tenants/t1/{s3_path}",
    }
    assert (objects / "tenants/t1" / s3_path).read_bytes() == file.read_bytes()
    again = [*options, "--replace"]
    assert run("upload", "t1", str(file), *again) == f"{s3_path}\n"


@pytest.mark.parametrize(
    ("file", "path", "told"),
    [
        ("here.csv", "../x.csv", "'..'"),
        ("here.csv", "/x.csv", "relative"),
        ("here.csv", "tenants/t2/x.csv", "another tenant"),
        ("missing.csv", "x.csv", "No such file"),
        (".", "x.csv", "directory"),
    ],
)
def test_a_bad_upload_writes_nothing(
    objects: Path, tmp_path: Path, file: str, path: str, told: str
):
    run("tenant", "create", "t1")
    (tmp_path / "here.csv").write_bytes(b"x")
    with pytest.raises(CommandError, match=told):
        run("upload", "t1", str(tmp_path / file), "--as", path)
    assert not objects.exists()


# --- Options --------------------------------------------------------------------------

OURS = ("ingestion", "jobs", "quotas", "taskqueue_site", "tenants")
COMMANDS = sorted(name for name, app in get_commands().items() if app in OURS)


def parsers_of(parser: ArgumentParser) -> list[ArgumentParser]:
    """Return the parsers of the subcommands, or the parser itself without any."""
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            return list(action.choices.values())
    return [parser]


def test_the_commands_are_those_that_the_documents_name():
    named = {"apikey", "demo", "dispatch", "stack", "tenant", "up", "upload", "worker"}
    assert named <= set(COMMANDS)


#: It works on servers of its own, in a folder of its own.
ELSEWHERE = {"chaos"}


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - ELSEWHERE))
def test_every_command_takes_data(name: str):
    command = load_command_class(get_commands()[name], name)
    for parser in parsers_of(command.create_parser("manage.py", name)):
        assert "--data" in parser.format_help(), parser.prog


# --- As typed -------------------------------------------------------------------------


def typed(*words: str, url: str, data: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *words, "--data", str(data)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.django_db(transaction=True)
def test_the_exit_code_is_honest(tmp_path: Path):
    url = database_url()
    done = typed("tenant", "create", "t1", "--json", url=url, data=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["tenant_id"] == "t1"
    again = typed("tenant", "create", "t1", url=url, data=tmp_path)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "CommandError: The tenant 't1' exists already.\n"


def test_without_a_database_one_line_says_so(tmp_path: Path):
    words = (["tenant", "list"], ["apikey", "list", "t1"], ["upload", "t1", "x.csv"])
    for command in words:
        done = typed(*command, url=database_url(1), data=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("CommandError: The database does not answer")
        assert done.stderr.count("\n") == 1
