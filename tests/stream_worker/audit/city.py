"""A small city in memory: chunks as sensors would send them, and predictions as a faultless worker would."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import numpy as np

from soundscene_worker.audit.auditor import Auditor
from soundscene_worker.audit.geometry import Geometry
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.messages.chunk import ChunkHeader, encode_chunk
from soundscene_worker.messages.prediction import ModelReference, ScenePrediction, encode_prediction, prediction_id

RATE_HZ = 8_000
GEOMETRY = Geometry(sample_rate_hz=RATE_HZ, length_samples=4_000, step_samples=2_000, smoothing_windows=2)
EPOCH = datetime(2026, 5, 1, tzinfo=UTC)
EPOCH_MS = 1_777_593_600_000
MODEL = ModelReference("demo", "1", "ab" * 32)


def make_header(number: int, device: str = "mic-1", session: str = "a", rate_hz: int = RATE_HZ) -> ChunkHeader:
    """The header of the chunk of one second with this number."""
    return ChunkHeader(
        device=device,
        session=session,
        sequence=number,
        first_sample=number * rate_hz,
        sample_count=rate_hz,
        sample_rate_hz=rate_hz,
        channels=1,
        encoding="pcm_s16le",
        capture_time=EPOCH + timedelta(seconds=number),
    )


def make_prediction(index: int, device: str = "mic-1", session: str = "a", rate_hz: int = RATE_HZ) -> ScenePrediction:
    """The prediction of a window."""
    first = index * GEOMETRY.step_samples
    start = EPOCH + timedelta(seconds=first / RATE_HZ)
    return ScenePrediction(
        id=prediction_id(device, session, rate_hz, first, MODEL.hash),
        device=device,
        session=session,
        first_sample=first,
        sample_count=GEOMETRY.length_samples,
        sample_rate=RATE_HZ,
        start=start,
        end=start + timedelta(seconds=0.5),
        scene="park",
        score=0.75,
        scores={"park": 0.75, "tram": 0.25},
        networks={"mel": "park", "gammatone": "park", "cqt": "tram"},
        smoothed_scene="park",
        smoothed_score=0.75,
        assessable=True,
        reasons=(),
        level_dbfs=-30.0,
        level_dbspl=None,
        model=MODEL,
        latency_seconds={"total": 0.1},
    )


@dataclasses.dataclass
class City:
    """Two topics and an auditor of them."""

    cluster: MemoryCluster

    def __post_init__(self) -> None:
        self.cluster.admin().ensure_topics({"chunks": 2, "predictions": 2})
        self.producer = self.cluster.producer()
        self.auditor = Auditor(self.cluster, "chunks", "predictions", GEOMETRY)

    def hear(self, header: ChunkHeader, timestamp_ms: int | None = None) -> None:
        """Send a silent chunk, stamped with its capture time unless told otherwise."""
        at_ms = EPOCH_MS + 1000 * header.first_sample // header.sample_rate_hz if timestamp_ms is None else timestamp_ms
        record = encode_chunk(header, np.zeros(header.sample_count, np.float32))
        self.producer.send("chunks", *record, timestamp_ms=at_ms, partition=0)

    def hear_seconds(self, *numbers: int, device: str = "mic-1", session: str = "a", rate_hz: int = RATE_HZ) -> None:
        """Send chunks by their numbers."""
        for number in numbers:
            self.hear(make_header(number, device, session, rate_hz))

    def publish(self, *predictions: ScenePrediction) -> None:
        """Send predictions."""
        for prediction in predictions:
            self.producer.send("predictions", *encode_prediction(prediction))
