"""Who may import whom: the contracts of pyproject.toml hold, and each one notices a violation."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("plugin/soundscene", "stream_worker/soundscene_worker", "train/soundscene_train")


def lint_imports(tree: Path) -> str:
    """Run import-linter on the packages below `tree` with the project's contracts; return what it prints."""
    folders = os.pathsep.join(str(tree / package.split("/")[0]) for package in PACKAGES)
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    outcome = subprocess.run(
        [*command, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": folders, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return outcome.stdout + outcome.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the three packages in which a test may plant what it likes."""
    ignore = shutil.ignore_patterns("__pycache__", "bundles")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    return tmp_path


def test_all_contracts_hold() -> None:
    """The sources keep every import contract."""
    output = lint_imports(ROOT)
    assert "0 broken" in output, output


@pytest.mark.parametrize(
    ("module", "statement", "contract"),
    [
        ("plugin/soundscene/planted.py", "import soundscene_worker", "never meet"),
        ("stream_worker/soundscene_worker/planted.py", "import soundscene_train", "never meet"),
        ("plugin/soundscene/planted.py", "import kafka", "the plugin knows no Kafka"),
        ("plugin/soundscene/planted.py", "def late(): import tensorflow", "the plugin knows no Kafka"),
        ("stream_worker/soundscene_worker/planted.py", "import keras", "the worker knows no TensorFlow"),
        ("stream_worker/soundscene_worker/planted.py", "from kafka import KafkaConsumer", "two modules know Kafka"),
        ("stream_worker/soundscene_worker/planted.py", "import prometheus_client", "alone know Prometheus"),
        ("stream_worker/soundscene_worker/audit/planted.py", "import soundscene.windows", "the auditor"),
        ("stream_worker/soundscene_worker/audit/planted.py", "import soundscene_worker.streams", "the auditor"),
    ],
)
def test_a_planted_violation_is_found(tree: Path, module: str, statement: str, contract: str) -> None:
    """A forbidden import, even inside a function, breaks the contract that forbids it, and no other."""
    (tree / module).write_text(statement + "\n")
    broken = [line for line in lint_imports(tree).splitlines() if " BROKEN" in line]
    assert len(broken) == 1
    assert contract in broken[0]
