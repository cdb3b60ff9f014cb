"""The files that deploy the product are valid, complete, and closed to strangers."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
WORKFLOW = ROOT / ".github/workflows/ci.yml"
PRODUCT_IMAGE = "distributed-task-queue"
#: Flower reads its own variables; settings.py never sees them.
READ_BY_FLOWER = "FLOWER_"


def compose_services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())[
        "services"
    ]
    return services


def settings_names() -> set[str]:
    text = (ROOT / "taskqueue_site/settings.py").read_text()
    return set(re.findall(r'env(?:\.\w+)?\(\s*"([A-Z_0-9]+)"', text)) | set(
        re.findall(r'USER_ENV(?:\.get\(|\[)"([A-Z_0-9]+)"', text)
    )


def example_names() -> set[str]:
    text = (ROOT / ".env.example").read_text()
    return set(re.findall(r"^(?:# )?([A-Z_0-9]+)=", text, re.MULTILINE))


def interpolated_names() -> set[str]:
    # `$$NAME` belongs to a shell inside a container.
    return set(re.findall(r"(?<!\$)\$\{([A-Z_0-9]+)", COMPOSE.read_text()))


def product_names() -> set[str]:
    """The variables that compose hands to the product's own processes."""
    return {
        name
        for service in compose_services().values()
        if service["image"] == PRODUCT_IMAGE
        for name in service["environment"]
        if not name.startswith(READ_BY_FLOWER)
    }


@pytest.mark.parametrize(
    ("schema", "file"),
    [("vendor.compose-spec", COMPOSE), ("vendor.github-workflows", WORKFLOW)],
    ids=["compose", "workflow"],
)
def test_it_follows_its_schema(schema: str, file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run([*command, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_compose_hands_out_only_variables_that_settings_read() -> None:
    assert product_names() - settings_names() == set()


def test_the_example_names_every_variable_and_no_other() -> None:
    assert example_names() == settings_names() | interpolated_names()


def test_every_secret_must_be_set() -> None:
    secrets = r"\$\{\w*(?:PASSWORD|SECRET|ACCESS|AUTH)\w*(?!\w)(?!:\?)"
    assert re.findall(secrets, COMPOSE.read_text()) == []
    given = re.findall(
        r"^\w*(?:PASSWORD|SECRET|ACCESS|AUTH)\w*=.+$",
        (ROOT / ".env.example").read_text(),
        re.MULTILINE,
    )
    assert given == []


def test_ports_are_bound_to_this_machine() -> None:
    ports = [
        port
        for service in compose_services().values()
        for port in service.get("ports", [])
    ]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@pytest.mark.parametrize("name", compose_services())
def test_a_container_drops_what_it_does_not_need(name: str) -> None:
    service = compose_services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    if service["image"] == PRODUCT_IMAGE:
        assert service["read_only"] is True


def test_the_image_runs_hashed_packages_as_an_ordinary_user() -> None:
    dockerfile = (ROOT / "deploy/docker/Dockerfile").read_text()
    final_stage = dockerfile.rpartition("\nFROM ")[2]
    assert "--require-hashes" in dockerfile
    assert re.search(r"^USER [1-9]\d*$", final_stage, re.MULTILINE)


def test_actions_are_pinned_to_a_commit() -> None:
    uses = re.findall(r"uses: (\S+)", WORKFLOW.read_text())
    assert uses
    assert [use for use in uses if not re.search(r"@[0-9a-f]{40}$", use)] == []
