"""What happened is what Prometheus is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from soundscene.windows import Fate
from soundscene_worker.broker.protocol import TopicPartition
from soundscene_worker.coverage import Coverage
from soundscene_worker.messages.chunk import AudioChunk
from soundscene_worker.messages.prediction import ModelReference, ScenePrediction
from soundscene_worker.metric_list import METRICS
from soundscene_worker.metrics import OVERFLOW_DEVICE, WorkerMetrics
from soundscene_worker.streams.partition import Taken
from soundscene_worker.streams.session import Gap

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SCENES = ("park", "tram")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> WorkerMetrics:
    return WorkerMetrics(registry, SCENES, max_devices=2, now_seconds=lambda: 5.0)


def chunk(device: str) -> AudioChunk:
    return AudioChunk(
        device=device,
        session="s",
        sequence=0,
        first_sample=0,
        sample_count=8_000,
        sample_rate_hz=8_000,
        channels=1,
        encoding="pcm_s16le",
        capture_time=NOW,
        samples=np.zeros(8_000, np.float32),
    )


def prediction(device: str, scene: str = "park", level_dbspl: float | None = None) -> ScenePrediction:
    return ScenePrediction(
        id="0",
        device=device,
        session="s",
        first_sample=0,
        sample_count=220_096,
        sample_rate=44_100,
        start=NOW,
        end=NOW + timedelta(seconds=5),
        scene=scene,
        score=0.75,
        scores={"park": 0.75, "tram": 0.25},
        networks={"mel": scene},
        smoothed_scene=scene,
        smoothed_score=0.75,
        assessable=False,
        reasons=("silent",),
        level_dbfs=-31.5,
        level_dbspl=level_dbspl,
        model=ModelReference("m", "1", "00"),
        latency_seconds={"capture_to_worker": -2.0, "features": 0.004, "inference": 0.005, "total": 0.3},
    )


def device_series(registry: CollectorRegistry, device: str) -> set[str]:
    return {
        sample.name
        for family in registry.collect()
        for sample in family.samples
        if sample.labels.get("device") == device
    }


def test_a_window_shows_as_scene_score_level_and_count(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    """Exactly one scene of a device is 1, and it changes with the window."""
    metrics.window_published(prediction("a", "park"))
    metrics.window_published(prediction("a", "tram", level_dbspl=62.5))
    read = registry.get_sample_value
    assert read("soundscene_device_scene", {"device": "a", "scene": "park"}) == 0
    assert read("soundscene_device_scene", {"device": "a", "scene": "tram"}) == 1
    assert read("soundscene_device_windows_total", {"device": "a", "scene": "park"}) == 1
    assert read("soundscene_device_score_ratio", {"device": "a"}) == 0.75
    assert read("soundscene_device_level_dbfs", {"device": "a"}) == -31.5
    assert read("soundscene_device_level_dbspl", {"device": "a"}) == 62.5
    assert read("soundscene_device_assessable", {"device": "a"}) == 0
    assert read("soundscene_unassessable_windows_total", {"reason": "silent"}) == 2
    assert read("soundscene_latency_seconds_count", {"stage": "total"}) == 2
    assert read("soundscene_scores_bucket", {"scene": "park", "le": "0.8"}) == 1


def test_sound_that_came_and_sound_that_did_not_make_the_coverage(
    registry: CollectorRegistry, metrics: WorkerMetrics
) -> None:
    """Gaps are counted by cause and lower the ratio; the last sound has a time stamp."""
    metrics.chunk_taken(chunk("a"), Taken(Fate.ACCEPTED, 3.0))
    metrics.chunk_taken(chunk("a"), Taken(Fate.ACCEPTED, 3.0, gaps=(Gap("missing", 1.5), Gap("rejected", 0.5))))
    read = registry.get_sample_value
    assert read("soundscene_device_audio_seconds_total", {"device": "a"}) == 6.0
    assert read("soundscene_device_gap_seconds_total", {"device": "a", "cause": "missing"}) == 1.5
    assert read("soundscene_device_gap_seconds_total", {"device": "a", "cause": "rejected"}) == 0.5
    assert read("soundscene_device_coverage_ratio", {"device": "a"}) == 0.75
    assert read("soundscene_chunks_total", {"fate": "accepted"}) == 2
    assert read("soundscene_device_last_audio_timestamp_seconds", {"device": "a"}) == NOW.timestamp() + 1


def test_coverage_forgets_what_is_older_than_its_horizon() -> None:
    """A gap of yesterday does not lower today's ratio."""
    coverage = Coverage(horizon_seconds=10.0)
    assert coverage.ratio == 1.0
    coverage.add(5.0, 5.0)
    assert coverage.ratio == 0.5
    for _ in range(10):
        coverage.add(1.0, 0.0)
    assert coverage.ratio == 1.0


def test_a_departed_device_leaves_no_series(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    """Last values of sensors that are gone would look alive."""
    for device in ("a", "b"):
        metrics.chunk_taken(chunk(device), Taken(Fate.ACCEPTED, 1.0))
        metrics.window_published(prediction(device, level_dbspl=60.0))
    metrics.keep_devices({"b"})
    assert device_series(registry, "a") == set()
    assert len(device_series(registry, "b")) == 10
    assert registry.get_sample_value("soundscene_devices") == 1


def test_devices_beyond_the_cap_share_one_label(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    """A flood of device ids cannot flood Prometheus, and is counted."""
    for device in ("a", "b", "c", "d", "e"):
        metrics.chunk_taken(chunk(device), Taken(Fate.ACCEPTED, 1.0))
        metrics.window_published(prediction(device))
    assert registry.get_sample_value("soundscene_device_audio_seconds_total", {"device": OVERFLOW_DEVICE}) == 3
    assert device_series(registry, "c") == set()
    assert registry.get_sample_value("soundscene_devices_over_limit_total") == 6


def test_lag_of_lost_partitions_disappears(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    """Two workers never both report the lag of one partition."""
    metrics.lag({TopicPartition("t", 0): 5, TopicPartition("t", 1): 7})
    metrics.lag({TopicPartition("t", 1): 6})
    assert registry.get_sample_value("soundscene_consumer_lag_records", {"partition": "0"}) is None
    assert registry.get_sample_value("soundscene_consumer_lag_records", {"partition": "1"}) == 6


def test_known_series_exist_from_the_start(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    """The first rejected chunk is an increase from 0, not a new series."""
    read = registry.get_sample_value
    assert read("soundscene_rejected_chunks_total", {"reason": "truncated"}) == 0
    assert read("soundscene_commits_total", {"outcome": "refused"}) == 0
    assert read("soundscene_latency_seconds_count", {"stage": "inference"}) == 0
    metrics.chunk_rejected("truncated")
    assert read("soundscene_rejected_chunks_total", {"reason": "truncated"}) == 1


def test_the_list_is_what_is_registered(registry: CollectorRegistry, metrics: WorkerMetrics) -> None:
    """No metric exists that the list does not name, and none is listed that does not exist."""
    metrics.describe(ModelReference("m", "1", "00"), "0.1.0")
    assert {family.name for family in registry.collect()} == {metric.name for metric in METRICS}
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    text = generate_latest(registry).decode()
    assert 'soundscene_bundle_info{hash="00",name="m",version="1"} 1.0' in text
    assert "_created" not in text
