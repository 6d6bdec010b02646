"""Workers that are killed, on a real broker: the auditor finds nothing missing and nothing different."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.pipeline import Topics, WorkerProcess, scrape
from scripts.pytest_services import CreateTopics

pytestmark = pytest.mark.integration

FAULTS = ("drop:0.03", "duplicate:0.05", "reorder:0.05", "restart@20", "corrupt:0.02")


def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def topics(create_topics: CreateTopics) -> Topics:
    chunks, predictions, dead_letters = create_topics("chunks", "predictions", "dead-letters", partitions=3)
    return Topics(chunks, predictions, dead_letters)


def published(worker: WorkerProcess) -> float:
    return sum(s.value for s in scrape(worker.address) if s.name == "soundscene_device_windows_total")


def wait_until_published(worker: WorkerProcess, windows: int) -> None:
    deadline = time.monotonic() + 60
    while published(worker) < windows:
        assert time.monotonic() < deadline, worker.log.read_text()[-3000:]
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few records a turn, so that death comes between two of them, and an heir that takes over soon."""
    monkeypatch.setenv("SOUNDSCENE_WORKER_POLL_RECORDS", "4")
    monkeypatch.setenv("SOUNDSCENE_WORKER_COMMIT_INTERVAL_SECONDS", "0.1")
    monkeypatch.setenv("SOUNDSCENE_WORKER_SESSION_TIMEOUT_SECONDS", "6")
    monkeypatch.setenv("SOUNDSCENE_WORKER_HEARTBEAT_SECONDS", "1")


def test_killed_workers_lose_nothing_and_change_nothing(kafka_bootstrap: str, topics: Topics, tmp_path: Path) -> None:
    """Three workers are killed in the middle of their work; the fourth leaves the topic as if it had been alone."""
    broker = ("--bootstrap-servers", kafka_bootstrap)
    faults = [option for fault in FAULTS for option in ("--fault", fault)]
    sound = ("--devices", "5", "--seconds", "50", "--speed", "0", "--seed", "3")
    sent = run("soundscene_worker.sensor", *broker, "--topic", topics.chunks, *sound, *faults)
    assert sent.returncode == 0, sent.stderr
    for life in range(4):
        worker = WorkerProcess(kafka_bootstrap, "recovery", topics, tmp_path / f"worker-{life}.log")
        if life < 3:
            wait_until_published(worker, 8)
            worker.child.kill()
            worker.child.wait()
    both = ("--chunks-topic", topics.chunks, "--predictions-topic", topics.predictions)
    audit = run("soundscene_worker.audit", *broker, *both, "--wait-seconds", "60")
    status = worker.stop()
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert status == 0
