"""Inference slower than arrival, on a real broker: the worker stays a member and loses nothing."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier
from soundscene_worker.broker.connection import ConsumerTuning, KafkaConnection
from soundscene_worker.broker.kafka import KafkaCluster
from soundscene_worker.broker.protocol import TopicPartition
from soundscene_worker.letter_post import DeadLetterPost
from soundscene_worker.logs import EventLog
from soundscene_worker.loop import Worker
from soundscene_worker.messages.chunk import ChunkHeader, encode_chunk
from soundscene_worker.messages.dead_letter import DeadLetterOffice, DeadLetterPolicy
from soundscene_worker.messages.prediction import ScenePrediction, decode_prediction
from soundscene_worker.metrics import WorkerMetrics
from soundscene_worker.scoring import SceneScorer
from soundscene_worker.service import loop_settings
from soundscene_worker.settings import WorkerSettings
from soundscene_worker.streams.session import ReadyWindow

if TYPE_CHECKING:
    from scripts.pytest_services import CreateTopics

POLL_INTERVAL_SECONDS = 4.0
WINDOW_SECONDS = 0.3
DEVICES, SECONDS, RATE_HZ = 8, 12, 44_100


class SlowScorer(SceneScorer):
    """Takes as long as a processor that is far too slow."""

    def score(self, partition: TopicPartition, ready: ReadyWindow, arrived: datetime) -> ScenePrediction | None:
        time.sleep(WINDOW_SECONDS)
        return super().score(partition, ready, arrived)


@pytest.mark.integration
def test_work_longer_than_the_poll_interval_costs_no_membership(
    kafka_bootstrap: str, create_topics: CreateTopics, tiny_bundle: Bundle
) -> None:
    """What takes longer than `max.poll.interval` is worked off in turns, and the group takes no partition away."""
    (chunks,), (predictions, letters) = create_topics("chunks", partitions=4), create_topics("predictions", "letters")
    registry = CollectorRegistry()
    consuming = ConsumerTuning(
        session_timeout_seconds=3, heartbeat_seconds=0.5, poll_interval_seconds=POLL_INTERVAL_SECONDS
    )
    with KafkaCluster(KafkaConnection((kafka_bootstrap,)), consuming) as cluster:
        fill(cluster, chunks)
        settings = loop_settings(WorkerSettings(predictions_topic=predictions, poll_records=500), tiny_bundle)
        metrics = WorkerMetrics(registry, tiny_bundle)
        worker = Worker(
            settings=settings,
            consumer=cluster.consumer(f"group-{chunks}", [chunks]),
            producer=cluster.producer(),
            scorer=SlowScorer(SceneClassifier(tiny_bundle)),
            dead_letters=DeadLetterOffice(DeadLetterPolicy()),
            letter_post=DeadLetterPost(cluster.producer(), letters, metrics, EventLog(), settings.delivery_seconds),
            metrics=metrics,
            log=EventLog(),
        )
        paused, began = 0.0, time.monotonic()
        expected = DEVICES * settings.policy.grid(RATE_HZ).count(SECONDS * RATE_HZ)
        while len(found := published(cluster, predictions)) < expected:
            assert time.monotonic() - began < 120
            for _ in range(5):
                worker.turn()
                paused = max(paused, registry.get_sample_value("soundscene_partitions_paused") or 0.0)
        assert time.monotonic() - began > 2 * POLL_INTERVAL_SECONDS, "otherwise nothing was shown"
        assert paused == 4
        assert registry.get_sample_value("soundscene_partition_changes_total", {"change": "lost"}) == 0
        assert registry.get_sample_value("soundscene_partition_changes_total", {"change": "revoked"}) == 0
        assert len({p.id for p in found}) == len(found) == expected


def fill(cluster: KafkaCluster, topic: str) -> None:
    """Put the sound of all devices into the log at once."""
    producer, sound = cluster.producer(), np.zeros(RATE_HZ, np.float32)
    for second in range(SECONDS):
        for device in range(DEVICES):
            header = ChunkHeader(
                device=f"mic-{device}",
                session="s",
                sequence=second,
                first_sample=second * RATE_HZ,
                sample_count=RATE_HZ,
                sample_rate_hz=RATE_HZ,
                channels=1,
                encoding="pcm_s16le",
                capture_time=datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=second),
            )
            producer.send(topic, *encode_chunk(header, sound))
    producer.flush(30)


def published(cluster: KafkaCluster, topic: str) -> list[ScenePrediction]:
    return [decode_prediction(record.value or b"") for record in cluster.read_to_end(topic)]
