"""deploy/compose.yaml: valid, complete, closed to the outside, and in step with the programs it starts."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.pytest_services import unavailable

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
PROGRAMS = {
    "soundscene-worker": "soundscene_worker",
    "soundscene-audit": "soundscene_worker.audit",
    "soundscene-sensor": "soundscene_worker.sensor",
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


@pytest.fixture(scope="module")
def compose_command() -> list[str]:
    """Docker's compose in any form that checks a file; none of them needs a running Docker for it."""
    for command in (["docker", "compose"], ["docker-compose"]):
        installed = shutil.which(command[0]) is not None
        if installed and subprocess.run([*command, "version"], capture_output=True, check=False).returncode == 0:
            return command
    return unavailable("`docker compose` is not installed (Debian: apt-get install docker-compose)")


def test_compose_accepts_the_file(compose_command: list[str], tmp_path: Path) -> None:
    """Docker's own tool reads the file and resolves every anchor, mount and dependency."""
    version = subprocess.run([*compose_command, "version"], capture_output=True, text=True, check=True).stdout
    text = COMPOSE.read_text()
    if re.search(r"version 1\.", version):  # Debian 12 has the last release that does not know this key
        text = re.sub(r"^name: .*$", "", text, flags=re.MULTILINE)
    copy = tmp_path / "compose.yaml"
    copy.write_text(text)
    command = [*compose_command, "--project-directory", str(DEPLOY), "-f", str(copy), "config", "--quiet"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


def test_every_service_is_there(services: dict[str, Any]) -> None:
    """The file runs the whole path: broker, topics, workers, sensors, auditor, Prometheus, Grafana."""
    assert set(services) == {"kafka", "topics", "worker", "auditor", "sensors", "prometheus", "grafana"}
    images = {name: service["image"] for name, service in services.items()}
    assert images["kafka"].startswith("apache/kafka:")
    assert all(":" in image for name, image in images.items() if name not in ("worker", "auditor", "sensors"))
    assert not [image for image in images.values() if image.endswith(":latest")]


def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    """Nothing is reachable from another machine unless somebody decides so."""
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_lasting_service_has_a_health_check(services: dict[str, Any]) -> None:
    """Whatever others wait for, or serves a port, says whether it is well."""
    without = {name for name, service in services.items() if "healthcheck" not in service}
    assert without == {"topics", "sensors"}


def test_mounted_files_exist(services: dict[str, Any]) -> None:
    """Every mount from the repository points at something that is there."""
    mounts = [mount for service in services.values() for mount in service.get("volumes", [])]
    local = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert local
    assert all((DEPLOY / path).exists() for path in local)


@pytest.mark.parametrize(
    ("service", "program"),
    [("worker", "soundscene-worker"), ("auditor", "soundscene-audit"), ("sensors", "soundscene-sensor")],
)
def test_programs_know_the_options_they_are_given(services: dict[str, Any], service: str, program: str) -> None:
    """Every option in the file is one that the program's --help lists."""
    name, *options = services[service]["command"]
    assert name == program
    command = [sys.executable, "-m", PROGRAMS[program], "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    given = {option.split("=")[0] for option in options if option.startswith("--")}
    assert given
    assert given <= set(re.findall(r"--[a-z][a-z-]*", text))


def test_the_worker_topics_are_those_that_are_made(services: dict[str, Any]) -> None:
    """Worker, auditor and sensors name exactly the topics which the file creates."""
    made = set(re.findall(r"--topic (\S+)", services["topics"]["command"][0]))
    command = [option for name in ("worker", "auditor", "sensors") for option in services[name]["command"]]
    named = {option.split("=")[1] for option in command if option.startswith("--") and "topic=" in option}
    assert named == made


def test_the_image_copies_what_the_build_needs() -> None:
    """What the Dockerfile copies is let through by its ignore file and exists."""
    copied = re.findall(r"^COPY (.+) \S+$", (DEPLOY / "worker.Dockerfile").read_text(), flags=re.MULTILINE)
    allowed = (DEPLOY / "worker.Dockerfile.dockerignore").read_text().splitlines()
    paths = [path for line in copied for path in line.split()]
    assert {"pyproject.toml", "plugin", "stream_worker", "train"} <= set(paths)
    assert all(f"!{path}" in allowed and (DEPLOY.parent / path).exists() for path in paths)
