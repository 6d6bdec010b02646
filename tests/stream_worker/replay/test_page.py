"""The commands of `docs/replay.md`, as they stand there, on a real broker."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scripts.pipeline import Topics, WorkerProcess
from scripts.pytest_services import CreateTopics
from soundscene.bundle import Bundle, write_bundle
from soundscene_worker.broker.connection import KafkaConnection
from soundscene_worker.broker.kafka import KafkaCluster
from soundscene_worker.messages.prediction import ScenePrediction, decode_prediction
from soundscene_worker.messages.times import format_time
from tests.conftest import make_tiny_manifest, read_tiny_networks

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "replay.md").read_text(encoding="utf-8")
RANGE, EXPERIMENT, LETTERS = re.findall(r"^ {4}soundscene-worker (replay .*)$", PAGE, flags=re.MULTILINE)


@dataclass
class City:
    """Topics on a real broker, and a folder in which commands are typed."""

    bootstrap: str
    topics: Topics
    folder: Path
    bundle: Bundle

    def run(self, module: str, *words: str) -> str:
        names = {"CHUNKS": self.topics.chunks, "PREDICTIONS": self.topics.predictions}
        names["DEAD_LETTERS"] = self.topics.dead_letters
        outcome = subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=self.folder,
            env={
                **os.environ,
                **{f"SOUNDSCENE_WORKER_{name}_TOPIC": topic for name, topic in names.items()},
                "SOUNDSCENE_WORKER_BOOTSTRAP_SERVERS": self.bootstrap,
                "SOUNDSCENE_WORKER_BUNDLE": str(self.bundle.directory),
                "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        return outcome.stdout

    def type(self, command: str, **words: str) -> str:
        """Run a command of the page, some of its words replaced."""
        return self.run("soundscene_worker", *(words.get(word, word) for word in shlex.split(command)))

    def sense(self, device: str, chunk_seconds: str) -> None:
        sound = ("--devices", "1", "--device", device, "--seconds", "45", "--speed", "0")
        self.run("soundscene_worker.sensor", "--topic", self.topics.chunks, *sound, "--chunk-seconds", chunk_seconds)

    def published(self, topic: str = "") -> list[ScenePrediction]:
        with KafkaCluster(KafkaConnection((self.bootstrap,))) as cluster:
            records = cluster.read_to_end(topic or self.topics.predictions)
            return [decode_prediction(record.value or b"") for record in records]


@pytest.fixture
def city(kafka_bootstrap: str, create_topics: CreateTopics, tmp_path: Path, tiny_bundle: Bundle) -> City:
    chunks, predictions, letters = create_topics("chunks", "predictions", "dead-letters", partitions=3)
    return City(kafka_bootstrap, Topics(chunks, predictions, letters), tmp_path, tiny_bundle)


def test_the_commands_of_the_page_do_what_it_says(
    city: City, create_topics: CreateTopics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new model stands beside the first, an experiment apart; refused chunks are used once the limit is raised."""
    monkeypatch.setenv("SOUNDSCENE_WORKER_BUNDLE", str(city.bundle.directory))
    monkeypatch.setenv("SOUNDSCENE_WORKER_MAX_CHUNK_SECONDS", "5")  # what `slow` sends is longer
    began = datetime.now(UTC) - timedelta(minutes=1)
    city.sense("usual", "1")
    city.sense("slow", "9")
    worker = WorkerProcess(city.bootstrap, "replay", city.topics, city.folder / "worker.log")
    both = ("--chunks-topic", city.topics.chunks, "--predictions-topic", city.topics.predictions)
    rules = ("--bundle", str(city.bundle.directory), "--max-chunk-seconds", "5")
    city.run("soundscene_worker.audit", *both, *rules, "--wait-seconds", "60")
    assert worker.stop() == 0
    first = city.published()
    assert {p.device for p in first} == {"usual"}

    new = write_bundle(city.folder / "bundles" / "new", {**make_tiny_manifest(), "version": "2"}, read_tiny_networks())
    times = {
        "2026-05-01T12:00:00Z": format_time(began),
        "2026-05-01T13:00:00Z": format_time(began + timedelta(hours=1)),
    }
    assert f"windows published   {len(first)}\n" in city.type(RANGE, **times)
    models = Counter(p.model.hash for p in city.published())
    assert models == {city.bundle.hash: len(first), new.hash: len(first)}

    (experiment,) = create_topics("experiment")
    city.type(EXPERIMENT, **times, **{"scene.experiment": experiment})
    assert {p.id for p in city.published(experiment)} == {p.id for p in city.published() if p.model.hash == new.hash}
    assert sum(models.values()) == len(city.published())

    told = city.type(LETTERS)
    assert "chunks repaired     5\n" in told
    added = [p for p in city.published() if p.device == "slow"]
    assert len({p.id for p in added}) == len(added) == len(first)
    assert f"windows published   {len(added)}\n" in told
