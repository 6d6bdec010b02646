"""`make demo`, as a user runs it."""

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARK = "SOUNDSCENE_TEST_MARK"

pytestmark = pytest.mark.integration


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment with made-up scenes and a mark; afterwards no process that inherited the mark may be left."""
    mark = uuid.uuid4().hex
    tmp_path.joinpath("silent").mkdir()
    changes = {MARK: mark, "SOUNDSCENE_DEMO_AUDIO": str(tmp_path / "silent"), "OMP_NUM_THREADS": "1"}
    yield {**os.environ, **changes}
    deadline = time.monotonic() + 10
    while (left := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def marked(mark: str) -> list[str]:
    """Return the command lines of all processes with this mark in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def demo(environment: dict[str, str], seconds: int) -> "subprocess.Popen[str]":
    """Start the demo from the repository's root."""
    command = [sys.executable, "-m", "scripts.demo", "--seconds", str(seconds)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_on_a_real_broker_nothing_is_lost(kafka_bootstrap: str, environment: dict[str, str]) -> None:
    """Seven sensors, one of them faulty, and two workers: every window that must exist is published, and all ends."""
    with demo({**environment, "KAFKA_BOOTSTRAP_SERVERS": kafka_bootstrap}, 12) as process:
        output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    assert output.count("Metrics of worker-") == 2
    assert "mic-7-faulty" in output
    assert "windows that must exist were published; nothing differs" in output


def test_without_java_everything_runs_in_one_process(environment: dict[str, str], tmp_path: Path) -> None:
    """Without Java the demo says so, runs on the broker in memory, and ends with the same verdict."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("env", "setpriv"):
        if path := shutil.which(name):
            (programs / name).symlink_to(path)
    bare = {key: value for key, value in environment.items() if key != "KAFKA_BOOTSTRAP_SERVERS"}
    with demo({**bare, "PATH": str(programs)}, 9) as process:
        output, _ = process.communicate(timeout=150)
    assert process.returncode == 0, output
    assert "in memory" in output
    assert "needs `java`" in output
    assert "windows that must exist were published; nothing differs" in output


@pytest.mark.usefixtures("kafka_bootstrap")  # only to know that a broker can be started here
def test_nothing_is_left_after_an_interrupt(environment: dict[str, str]) -> None:
    """Ctrl-C while the sensors send ends broker, workers and sensors within seconds."""
    bare = {key: value for key, value in environment.items() if key != "KAFKA_BOOTSTRAP_SERVERS"}
    with demo(bare, 600) as process:
        assert process.stdout is not None
        seen = ""
        while "predictions" not in seen:  # the first lines of the board
            line = process.stdout.readline()
            assert line, seen
            seen += line
        assert len(marked(environment[MARK])) > 8
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "everything is stopped" in rest
