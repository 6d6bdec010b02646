"""A log in memory that holds the sound of three sensors, and workers on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from soundscene.bundle import Bundle
from soundscene.classifier import SceneClassifier
from soundscene.synthesis import SCENE_NAMES, synthesise
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.messages.chunk import encode_chunk
from tests.stream_worker.loop_stage import (
    CHUNKS,
    DEAD_LETTERS,
    PREDICTIONS,
    SECONDS,
    Sensor,
    Start,
    published,
    run_to_the_end,
    without_latency,
)


@pytest.fixture(scope="session")
def sensors() -> list[Sensor]:
    rates = {"a": 44_100, "b": 44_100, "c": 48_000}
    return [
        Sensor(device, rate, synthesise(SCENE_NAMES[i], SECONDS, rate, np.random.default_rng(i)))
        for i, (device, rate) in enumerate(rates.items())
    ]


@pytest.fixture(scope="session")
def classifier(tiny_bundle: Bundle) -> SceneClassifier:
    return SceneClassifier(tiny_bundle)


@pytest.fixture
def cluster(sensors: list[Sensor]) -> Iterator[MemoryCluster]:
    """A log that holds the sound of all sensors, in chunks of a second, interleaved."""
    with MemoryCluster() as cluster:
        cluster.admin().ensure_topics({CHUNKS: 2, PREDICTIONS: 1, DEAD_LETTERS: 1})
        producer = cluster.producer()
        for second in range(SECONDS):
            for sensor in sensors:
                first = second * sensor.rate_hz
                header = sensor.header(first, sensor.rate_hz)
                record = encode_chunk(header, sensor.samples[first : first + sensor.rate_hz])
                producer.send(CHUNKS, *record, timestamp_ms=1000 * second)
        yield cluster


@pytest.fixture
def start(cluster: MemoryCluster, classifier: SceneClassifier) -> Start:
    return Start(cluster, classifier)


@pytest.fixture
def undisturbed(cluster: MemoryCluster, start: Start) -> set[str]:
    """The predictions of a run without faults, as text; their topic is empty again."""
    run_to_the_end(start())
    results = {str(without_latency(p)) for p in published(cluster)}
    fresh = cluster.topics[PREDICTIONS][0]
    fresh.records.clear()
    cluster.groups.clear()
    return results
