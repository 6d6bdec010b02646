"""What `docs/security.md` says is what the programs need and take."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from soundscene_worker.broker.rights import Right, of_auditor, of_replay, of_sensor, of_worker
from soundscene_worker.settings import WorkerSettings

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
SETTINGS = WorkerSettings()
TOPICS = (SETTINGS.chunks_topic, SETTINGS.predictions_topic, SETTINGS.dead_letters_topic)
RIGHTS = {
    "sensor": of_sensor(SETTINGS.chunks_topic),
    "worker": of_worker(*TOPICS, SETTINGS.group_id),
    "auditor": of_auditor(*TOPICS),
}


def test_the_table_lists_the_rights_that_are_asked_for() -> None:
    """Each program's rows are its rights, in their order."""
    rows = re.findall(r"^\| (?:`(.*)`)? ?\| ((?:READ|WRITE) on \w+ [\w.-]+)", PAGE, flags=re.MULTILINE)
    table: dict[str, list[str]] = {}
    for program, right in rows:
        if program:
            table[program] = []
        table[list(table)[-1]].append(right)
    assert table == {
        "soundscene-sensor": [*map(str, RIGHTS["sensor"])],
        "soundscene-worker": [*map(str, RIGHTS["worker"])],
        "soundscene-audit": [*map(str, RIGHTS["auditor"])],
        "soundscene-worker replay": [*map(str, of_replay(*TOPICS))],
    }


def test_the_commands_grant_the_rights_that_are_asked_for() -> None:
    """Who types them has the least rights, and no others."""
    pattern = r"^kafka-acls.sh --add --allow-principal User:(\w+) --operation (\w+) --(\w+) (\S+)$"
    granted: dict[str, list[Right]] = {}
    for user, operation, resource, name in re.findall(pattern, PAGE, flags=re.MULTILINE):
        granted.setdefault(user, []).append(Right(operation, resource.upper(), name))
    assert granted == RIGHTS


def test_the_settings_of_the_page_exist() -> None:
    """Every name in its settings files is a setting of the worker."""
    names = {name for block in re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL) for name in tomllib.loads(block)}
    assert len(names) > 8
    assert names <= set(WorkerSettings.model_fields)


@pytest.mark.integration
def test_prometheus_takes_the_page_s_settings(promtool: str, tmp_path: Path) -> None:
    """The lines for Prometheus are well formed."""
    file = tmp_path / "prometheus.yml"
    file.write_text(re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)[0])
    words = [promtool, "check", "config", "--syntax-only", str(file)]
    outcome = subprocess.run(words, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
