"""Dialects as rows: whose they are, which one is meant, and loads that read by them."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import FileSystemStorage
from django.db import DatabaseError, IntegrityError, connection
from django.utils import timezone

from ingestion import loader, profiles, storage
from ingestion.models import DialectProfile, IngestedFile, Transaction
from ingestion.services import file_release
from ingestion.sources.registry import UnknownSourceError
from jobs import runner, sweeps
from jobs.ledger import AttemptSupersededError
from jobs.models import Job
from tenants.acting import acting
from tenants.scoping import UnscopedQueryError, all_tenants, tenant_scope
from tests.arrange import dispatch, make_job, make_tenant, reread, run
from tests.dialects import HEADER, STATEMENT
from tests.integration.api import INGEST, assert_problem, client_of, ingest_body, places

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).parents[2]
DEFINITION = profiles.definition_of(STATEMENT)


@pytest.fixture(autouse=True)
def objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the object store, and two tenants."""
    folder = FileSystemStorage(location=tmp_path)
    monkeypatch.setattr(storage, "storages", {"default": folder})
    make_tenant("owner")
    make_tenant("stranger")
    return tmp_path


def make_profile(tenant: str | None, name: str, **changes: Any) -> DialectProfile:
    with all_tenants(reason="test"):
        made: DialectProfile = DialectProfile.objects.create(
            tenant_id=tenant, name=name, definition={**DEFINITION, **changes}
        )
    return made


def platform_rows() -> dict[str, DialectProfile]:
    with all_tenants(reason="test"):
        return {p.name: p for p in DialectProfile.objects.filter(tenant=None)}


def account_of(tenant: str, name: str) -> str:
    """Which profile is meant, by the account that tells them apart."""
    dialect = profiles.dialect_for(tenant=tenant, name=name)
    assert dialect is not None
    return str(dialect["account"])


# --- What the product brings along ----------------------------------------------------


def test_the_dialects_of_the_product_are_rows_of_the_platform():
    rows = platform_rows()
    assert rows.keys() == profiles.built_in().keys()
    assert all(row.is_built_in and not row.is_edited for row in rows.values())
    profiles.bring_built_in()
    assert {row.pk for row in platform_rows().values()} == {
        row.pk for row in rows.values()
    }


def test_a_new_version_renews_what_nobody_has_edited(monkeypatch: pytest.MonkeyPatch):
    with all_tenants(reason="test"):
        edited = DialectProfile.objects.get(name="HDFC", tenant=None)
        edited.definition = {**edited.definition, "zone": "UTC"}
        edited.save()
        DialectProfile.objects.get(name="SBI", tenant=None).delete()
        DialectProfile.objects.create(name="SBI", definition=DEFINITION)
    newer = {
        name: ("newer", {**definition, "search_lines": 7})
        for name, (_, definition) in profiles.built_in().items()
    }
    monkeypatch.setattr(profiles, "built_in", lambda: newer)
    profiles.bring_built_in()
    rows = platform_rows()
    assert (rows["ICICI"].title, rows["ICICI"].definition["search_lines"]) == (
        "newer",
        7,
    )
    assert rows["HDFC"].definition["zone"] == "UTC"
    assert rows["HDFC"].title != "newer"
    assert rows["HDFC"].shipped == newer["HDFC"][1]
    assert rows["HDFC"].is_edited
    assert rows["SBI"].definition == DEFINITION


def test_before_its_table_there_is_nothing_to_bring():
    class Old:
        def get_model(self, *_: str) -> None:
            raise LookupError

    with all_tenants(reason="test"):
        DialectProfile.objects.all().delete()
    profiles.bring_built_in(apps=Old())
    assert platform_rows() == {}


# --- Which one is meant ---------------------------------------------------------------


def test_a_tenants_own_dialect_goes_before_the_platforms():
    make_profile(None, "COAST", account="1")
    assert account_of("owner", "COAST") == "1"
    make_profile("owner", "COAST", account="2")
    make_profile("stranger", "COAST", account="3")
    assert account_of("owner", "COAST") == "2"
    assert account_of("stranger", "COAST") == "3"


def test_a_format_of_the_product_goes_before_any_dialect():
    make_profile("owner", "UPI")
    assert profiles.dialect_for(tenant="owner", name="UPI") is None
    assert profiles.source_for(tenant="owner", name="UPI").name == "UPI"


def test_a_name_that_nobody_knows_is_refused_with_those_in_view():
    make_profile("owner", "COAST")
    make_profile("stranger", "SECRET")
    with pytest.raises(UnknownSourceError) as caught:
        profiles.source_for(tenant="owner", name="NOPE")
    assert "COAST" in str(caught.value)
    assert "HDFC" in str(caught.value)
    assert "MT940" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    with pytest.raises(UnknownSourceError):
        profiles.source_for(tenant="owner", name="SECRET")


def test_a_dialect_that_no_longer_makes_sense_is_refused_by_name():
    make_profile("owner", "COAST", dates=[])
    with pytest.raises(profiles.UnusableProfileError, match=r"COAST .* dates"):
        profiles.source_for(tenant="owner", name="COAST")


def test_a_name_is_given_once_to_each_owner():
    make_profile("owner", "COAST")
    make_profile(None, "COAST")
    for tenant in ("owner", None):
        with pytest.raises(IntegrityError):
            make_profile(tenant, "COAST")


# --- Two walls ------------------------------------------------------------------------


def seen(tenant: str) -> set[tuple[str | None, str]]:
    with tenant_scope(tenant), connection.cursor() as cursor:
        cursor.execute("SELECT tenant_id, name FROM ingestion_dialectprofile")
        by_sql = set(cursor.fetchall())
        by_orm = set(DialectProfile.objects.values_list("tenant_id", "name"))
    assert by_sql == by_orm
    return {row for row in by_sql if row[1] in {"OWN", "OTHER", "SHARED"}}


def test_a_tenant_sees_its_own_profiles_and_the_platforms():
    make_profile("owner", "OWN")
    make_profile("stranger", "OTHER")
    make_profile(None, "SHARED")
    assert seen("owner") == {("owner", "OWN"), (None, "SHARED")}
    assert seen("stranger") == {("stranger", "OTHER"), (None, "SHARED")}


def test_the_manager_filters_where_row_level_security_would_not():
    make_profile("stranger", "OTHER")
    with tenant_scope("owner"), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('role', 'dtq_platform', true)")
        tenants = set(DialectProfile.objects.values_list("tenant_id", flat=True))
    assert tenants == {None}


@pytest.mark.parametrize("tenant", [None, "stranger"])
def test_a_tenant_writes_no_profile_but_its_own(tenant: str | None):
    insert = (
        "INSERT INTO ingestion_dialectprofile (tenant_id, name, definition) "
        "VALUES (%s, 'PLANTED', '{}')"
    )
    refused = pytest.raises(DatabaseError, match="row-level security")
    with refused, tenant_scope("owner"), connection.cursor() as cursor:
        cursor.execute(insert, [tenant])
    with tenant_scope("owner"), connection.cursor() as cursor:
        cursor.execute(insert, ["owner"])


@pytest.mark.parametrize("tenant", [None, "stranger"])
def test_a_tenant_changes_and_removes_no_profile_but_its_own(tenant: str | None):
    make_profile(tenant, "TARGET")
    make_profile("owner", "OWN")
    for statement in (
        "UPDATE ingestion_dialectprofile SET title = 'mine'",
        "DELETE FROM ingestion_dialectprofile",
    ):
        with tenant_scope("owner"), connection.cursor() as cursor:
            cursor.execute(f"{statement} WHERE name = 'TARGET'")
            assert cursor.rowcount == 0
            cursor.execute(f"{statement} WHERE name = 'OWN'")
            assert cursor.rowcount == 1


def test_a_tenant_cannot_give_its_profile_to_the_platform():
    make_profile("owner", "OWN")
    refused = pytest.raises(DatabaseError, match="row-level security")
    with refused, tenant_scope("owner"), connection.cursor() as cursor:
        cursor.execute("UPDATE ingestion_dialectprofile SET tenant_id = NULL")


def test_an_unscoped_query_raises():
    with pytest.raises(UnscopedQueryError):
        DialectProfile.objects.count()


# --- Loads ----------------------------------------------------------------------------


def put(objects: Path, name: str, content: bytes, tenant: str = "owner") -> None:
    file = objects / "tenants" / tenant / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def load(
    objects: Path, content: bytes, source: str, tenant: str = "owner", **options: Any
) -> Job:
    put(objects, "a.csv", content, tenant)
    payload = {"s3_path": "a.csv", "source": source, **options}
    return run(make_job(tenant, kind="ingest", payload=payload))


def counts(job: Job) -> tuple[int, ...]:
    assert job.state == "succeeded", job.error
    names = ("rows", "inserted", "duplicate", "conflicting", "rejected")
    return tuple(job.result[name] for name in names)


def test_a_statement_becomes_transactions(objects: Path):
    content = (ROOT / "samples" / "hdfc_small.csv").read_bytes()
    assert counts(load(objects, content, "HDFC")) == (7, 7, 0, 0, 0)
    with tenant_scope("owner"):
        first = Transaction.objects.order_by("txn_timestamp", "id")[0]
        assert IngestedFile.objects.get().source == "HDFC"
    assert (first.source, first.account_id) == ("HDFC", "50100098765432")
    assert (first.amount, first.direction) == (Decimal("45.00"), "D")
    assert first.reference_id == "600212345601"
    assert first.raw_row["Narration"].startswith("UPI-CHAI POINT")
    again = load(objects, content, "HDFC", reload=True)
    assert counts(again) == (7, 0, 7, 0, 0)


def bad_sample(name: str) -> bytes:
    (sample,) = (ROOT / "samples").glob(f"{name.lower()}_bad.*")
    return sample.read_bytes()


@pytest.mark.parametrize("name", ["AXIS", "ICICI", "IMPS", "LEDGER", "NEFT", "UPI_PSP"])
def test_rejects_of_a_dialect_are_kept_out(objects: Path, name: str):
    job = load(objects, bad_sample(name), name)
    if job.result.get("quarantined"):
        with acting(why="a test"), tenant_scope("owner"):
            released = file_release(file_id=job.result["file_id"], now=timezone.now())
        job = run(released)
    rows, inserted, *_, rejected = counts(job)
    assert rejected
    assert rows == inserted + rejected


WITH_TOTALS = ["AXIS", "HDFC", "ICICI", "IMPS", "KOTAK", "LEDGER", "SBI", "UPI_PSP"]


@pytest.mark.parametrize("name", WITH_TOTALS)
def test_totals_that_do_not_hold_keep_a_file_out(objects: Path, name: str):
    job = load(objects, bad_sample(name), name)
    assert counts(job) == (0, 0, 0, 0, 0)
    assert job.result["quarantined"]
    assert job.result["fault_count"]
    with tenant_scope("owner"):
        assert not Transaction.objects.exists()


def test_a_release_holds_for_the_dialect_that_the_file_was_checked_by(objects: Path):
    """Whoever released it has seen what another dialect would no longer load."""
    profile = make_profile("owner", "COAST")
    content = f"{HEADER}\n01/04/2026,tea,,,1.00,,99.00\n01/04/2026,rent,,,1.00,,5.00"
    file = load(objects, content.encode(), "COAST").result["file_id"]
    with acting(why="a test"), tenant_scope("owner"):
        released = file_release(file_id=file, now=timezone.now())
    with all_tenants(reason="test"):
        profile.definition = {**profile.definition, "account": "42"}
        profile.save()
    job = run(released)
    assert (job.state, job.error["code"]) == ("dead", "source_changed")
    with tenant_scope("owner"):
        assert IngestedFile.objects.get().state == "failed"
        assert not Transaction.objects.exists()


def test_exports_that_overlap_bring_each_row_in_once(objects: Path):
    days = [f"0{n}/04/2026,row {n},,,1.00,,{100 - n}.00" for n in range(1, 8)]
    make_profile("owner", "COAST")

    def export(*rows: str) -> bytes:
        return "\n".join(["Account No 123456", HEADER, *rows]).encode()

    assert counts(load(objects, export(*days[:4]), "COAST")) == (4, 4, 0, 0, 0)
    assert counts(load(objects, export(*days[2:]), "COAST")) == (5, 3, 2, 0, 0)
    again = export(*reversed(days))
    assert counts(load(objects, again, "COAST")) == (7, 0, 7, 0, 0)


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[[Job, int], Job]:
    """A function that runs a job until a chunk, and loses its worker there."""

    def dies(job: Job, chunk: int) -> Job:
        real, calls = loader.load, []

        def load(*args: Any) -> Any:
            calls.append(args)
            if len(calls) == chunk:
                raise AttemptSupersededError(0)
            return real(*args)

        monkeypatch.setattr(loader, "load", load)
        attempt = dispatch(job)
        runner.run(attempt_ids=[attempt], worker="w1")
        with all_tenants(reason="test"):
            sweeps.lose_of_worker(worker="w1", attempt_ids=[attempt], max_losses=3)
        monkeypatch.setattr(loader, "load", real)
        return reread(job)

    return dies


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_a_load_goes_on_with_the_dialect_that_it_began_with(
    objects: Path, settings: Any, dies: Callable[[Job, int], Job], chunk: int
):
    """The narration becomes another column, and the dates another form, half-way."""
    settings.INGEST_CHUNK_ROWS = 2
    profile = make_profile("owner", "COAST")
    rows = [f"0{n}/04/2026,row {n},,,1.00,,{100 - n}.00" for n in range(1, 7)]
    put(objects, "a.csv", "\n".join([HEADER, *rows]).encode())
    payload = {"s3_path": "a.csv", "source": "COAST"}
    job = dies(make_job("owner", kind="ingest", payload=payload), chunk)
    assert job.state == "queued"

    with all_tenants(reason="test"):
        profile.definition = {**profile.definition, "dates": ["YYYY-MM-DD"]}
        profile.save()
    assert counts(run(job)) == (6, 6, 0, 0, 0)
    later = load(objects, "\n".join([HEADER, *rows]).encode(), "COAST")
    assert counts(later) == (6, 0, 0, 0, 6)


def test_a_load_whose_dialect_was_removed_goes_on(
    objects: Path, settings: Any, dies: Callable[[Job, int], Job]
):
    settings.INGEST_CHUNK_ROWS = 2
    profile = make_profile("owner", "COAST")
    rows = [f"0{n}/04/2026,row {n},,,1.00,,{100 - n}.00" for n in range(1, 7)]
    put(objects, "a.csv", "\n".join([HEADER, *rows]).encode())
    payload = {"s3_path": "a.csv", "source": "COAST"}
    job = dies(make_job("owner", kind="ingest", payload=payload), 2)
    with all_tenants(reason="test"):
        profile.delete()
    assert counts(run(job)) == (6, 6, 0, 0, 0)


def test_a_job_whose_dialect_is_gone_before_it_begins_is_dead(objects: Path):
    profile = make_profile("owner", "COAST")
    with all_tenants(reason="test"):
        profile.delete()
    job = load(objects, HEADER.encode(), "COAST")
    assert (job.state, job.error["code"]) == ("dead", "unknown_source")
    with tenant_scope("owner"):
        assert not IngestedFile.objects.exists()


# --- Over HTTP ------------------------------------------------------------------------


def test_the_api_takes_the_dialects_that_a_tenant_sees():
    make_profile("owner", "COAST")
    client = client_of("owner")
    for source in ("COAST", "HDFC", "LEDGER", "MT940", "UPI"):
        answer = client.post(INGEST, ingest_body("owner", source=source), format="json")
        assert answer.status_code == 202, answer.json()
    body = ingest_body("stranger", source="COAST")
    answer = client_of("stranger").post(INGEST, body, format="json")
    assert places(assert_problem(answer, 400)) == {"/source": "unknown_source"}


def test_a_file_is_loaded_anew_once_its_dialect_was_mended(objects: Path):
    profile = make_profile("owner", "MINE", zone="UTC")
    content = f"{HEADER}\n01/04/2026,rent,,,1.00,,5.00\n"
    file = objects / "tenants" / "owner" / "a.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)

    def load() -> Any:
        payload = {"s3_path": "a.csv", "source": "MINE"}
        return run(make_job("owner", kind="ingest", payload=payload)).result

    assert "same_as_file" not in load()
    assert "same_as_file" in load()
    with all_tenants(reason="test"):
        profile.definition = {**profile.definition, "zone": "Asia/Kolkata"}
        profile.save()
    assert "same_as_file" not in load()
