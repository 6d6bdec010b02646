"""Sensors, a log in memory and workers on it, for tests of the loop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from soundscene.classifier import SceneClassifier
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.letter_post import DeadLetterPost
from soundscene_worker.logs import EventLog
from soundscene_worker.loop import Worker
from soundscene_worker.messages.chunk import ChunkHeader
from soundscene_worker.messages.dead_letter import DeadLetterOffice, DeadLetterPolicy
from soundscene_worker.messages.prediction import ScenePrediction, decode_prediction
from soundscene_worker.metrics import WorkerMetrics
from soundscene_worker.scoring import SceneScorer
from soundscene_worker.service import loop_settings
from soundscene_worker.settings import WorkerSettings

EPOCH = datetime(2026, 5, 1, tzinfo=UTC)
CHUNKS, PREDICTIONS, DEAD_LETTERS = "audio.chunks", "scene.predictions", "audio.dead-letters"
SECONDS = 14


@dataclass(frozen=True)
class Sensor:
    device: str
    rate_hz: int
    samples: NDArray[np.float32]

    def header(self, first: int, count: int) -> ChunkHeader:
        return ChunkHeader(
            device=self.device,
            session="s1",
            sequence=first,
            first_sample=first,
            sample_count=count,
            sample_rate_hz=self.rate_hz,
            channels=1,
            encoding="pcm_f32le",
            capture_time=EPOCH + timedelta(seconds=first / self.rate_hz),
        )


@dataclass
class Start:
    """Starts another worker of the group each time it is called."""

    cluster: MemoryCluster
    classifier: SceneClassifier
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    next_bundles: list[SceneClassifier] = field(default_factory=list)

    def __call__(self) -> Worker:
        bundle = self.classifier.bundle
        told = WorkerSettings(predictions_topic=PREDICTIONS, poll_records=5, commit_interval_seconds=0.0)
        settings = replace(loop_settings(told, bundle), poll_seconds=0.0)
        self.registry = CollectorRegistry()
        metrics = WorkerMetrics(self.registry, bundle)
        return Worker(
            settings=settings,
            consumer=self.cluster.consumer("g", [CHUNKS]),
            producer=self.cluster.producer(),
            scorer=SceneScorer(self.classifier),
            dead_letters=DeadLetterOffice(DeadLetterPolicy()),
            letter_post=DeadLetterPost(
                self.cluster.producer(), DEAD_LETTERS, metrics, EventLog(), settings.delivery_seconds
            ),
            metrics=metrics,
            log=EventLog(),
            new_bundle=lambda: self.next_bundles.pop() if self.next_bundles else None,
        )

    def value(self, metric: str, **labels: str) -> float:
        """Return a metric of the worker started last."""
        found = self.registry.get_sample_value(metric, labels)
        assert found is not None
        return found


def published(cluster: MemoryCluster) -> list[ScenePrediction]:
    return [decode_prediction(record.value or b"") for record in cluster.read_to_end(PREDICTIONS)]


def without_latency(prediction: ScenePrediction) -> ScenePrediction:
    rounded = {label: round(score, 5) for label, score in prediction.scores.items()}
    return replace(
        prediction,
        latency_seconds={},
        scores=rounded,
        score=round(prediction.score, 5),
        smoothed_score=round(prediction.smoothed_score, 5),
        level_dbfs=round(prediction.level_dbfs, 4),
    )


def run_to_the_end(worker: Worker, turns: int = 40) -> None:
    for _ in range(turns):
        worker.turn()
