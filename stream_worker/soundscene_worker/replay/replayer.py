"""Reads passages of the log as the worker reads it, and publishes their predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, Final

from soundscene_worker.broker.protocol import Cluster, Producer, Record, TopicPartition
from soundscene_worker.messages.chunk import ChunkLimits, RejectedChunk, decode_chunk
from soundscene_worker.messages.prediction import encode_prediction
from soundscene_worker.replay.passages import Passage
from soundscene_worker.scoring import SceneScorer
from soundscene_worker.streams.partition import Closed, CommitPoint, PartitionState, limit_memory
from soundscene_worker.streams.policy import StreamPolicy
from soundscene_worker.streams.session import ReadyWindow, SessionKey

__all__ = ["Replayer", "Summary"]

_UNACKNOWLEDGED_WINDOWS: Final = 256


@dataclass(slots=True)
class Summary:
    """What a replay did.

    Parameters
    ----------
    records : int
        Records read, those before and after what was asked for included.
    published : int
        Predictions that the broker has acknowledged.
    refused : Counter of str
        Records among those asked for that could not be used, by reason.
    repaired : int
        Records that were refused before and were understood now.
    gone : int
        Refused records that the log no longer holds.
    """

    records: int = 0
    published: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    repaired: int = 0
    gone: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {
            "records": self.records,
            "published": self.published,
            "refused": dict(self.refused),
            "repaired": self.repaired,
            "gone": self.gone,
        }


@dataclass(slots=True)
class _Reading:
    """A passage half read."""

    passage: Passage
    state: PartitionState
    repaired: list[tuple[SessionKey, int, int]] = field(default_factory=list)  # samples that were refused before

    def is_wanted(self, ready: ReadyWindow) -> bool:
        if not self.passage.repaired:
            return ready.publish
        first = ready.window.source_first_sample
        end = first + len(ready.window.samples)
        return any(key == ready.key and first < e and f < end for key, f, e in self.repaired)


@dataclass(slots=True)
class Replayer:
    """Scores passages with one bundle. It is a member of no group and commits nothing: repeating it is harmless.

    Parameters
    ----------
    cluster : Cluster
        The brokers.
    predictions_topic : str
        Where the predictions go.
    limits : ChunkLimits
        What a chunk may be.
    policy : StreamPolicy
        Windows, hold-back and idleness; those of the worker, or the windows may be others.
    make_scorer : callable
        Returns a scorer that knows no session.
    buffered_bytes : int > 0
        Most memory all devices together may hold for open windows.
    delivery_seconds : float > 0
        How long the broker may take to acknowledge.
    progress : callable
        Called with each record.
    now : callable
        The time, for the latency in predictions.
    summary : Summary
        What was done so far.
    """

    cluster: Cluster
    predictions_topic: str
    limits: ChunkLimits
    policy: StreamPolicy
    make_scorer: Callable[[], SceneScorer]
    buffered_bytes: int
    delivery_seconds: float
    progress: Callable[[Record], None] = lambda record: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    summary: Summary = field(default_factory=Summary)
    _unacknowledged: int = 0

    def run(self, passages: Mapping[TopicPartition, Collection[Passage]]) -> None:
        """Read and publish; `summary` is true at any moment, also after an interruption.

        Raises
        ------
        DeliveryFailed
            Predictions since the last acknowledged ones are not known to be stored; replay again.
        BrokerError
            A topic is missing, or the broker is.
        """
        producer = self.cluster.producer()
        try:
            for together in zip_longest(*passages.values()):
                self._read({p: one for p, one in zip(passages, together, strict=True) if one is not None}, producer)
        finally:
            producer.close()

    def _read(self, passages: Mapping[TopicPartition, Passage], producer: Producer) -> None:
        """Read one passage of each partition."""
        scorer = self.make_scorer()
        readings = {partition: _Reading(passage, self._begin(passage)) for partition, passage in passages.items()}
        seen: set[tuple[TopicPartition, int]] = set()
        for record in self.cluster.read({partition: passage.offsets for partition, passage in passages.items()}):
            reading = readings[record.topic_partition]
            if record.offset in reading.passage.repaired:
                seen.add((record.topic_partition, record.offset))
            self._take(record, reading, scorer, producer)
            self._limit_memory(readings, scorer)
            if self._unacknowledged >= _UNACKNOWLEDGED_WINDOWS:
                self._acknowledge(producer)
            self.summary.records += 1
            self.progress(record)
        self._acknowledge(producer)
        self.summary.gone += sum(len(passage.repaired) for passage in passages.values()) - len(seen)

    def _begin(self, passage: Passage) -> PartitionState:
        return PartitionState(self.policy, CommitPoint(passage.offsets.start, passage.publish_from, None))

    def _take(self, record: Record, reading: _Reading, scorer: SceneScorer, producer: Producer) -> None:
        passage = reading.passage
        is_asked_for = record.offset in passage.repaired if passage.repaired else record.offset >= passage.publish_from
        arrived = self.now()
        try:
            chunk = decode_chunk(record.key, record.value, record.headers, self.limits, record.fault)
        except RejectedChunk as refusal:
            reading.state.reject(record.offset, refusal.header)
            self.summary.refused.update([str(refusal.reason)] * is_asked_for)
            return
        if record.offset in passage.repaired:
            self.summary.repaired += 1
            reading.repaired.append((SessionKey.of(chunk), chunk.first_sample, chunk.end_sample))
        taken = reading.state.take(record.offset, record.timestamp_ms, chunk)
        _forget(record.topic_partition, taken.closed, scorer)
        for ready in taken.windows:
            wanted = replace(ready, publish=reading.is_wanted(ready))
            prediction = scorer.score(record.topic_partition, wanted, arrived)
            if prediction is not None:
                producer.send(self.predictions_topic, *encode_prediction(prediction))
                self._unacknowledged += 1

    def _acknowledge(self, producer: Producer) -> None:
        producer.flush(self.delivery_seconds)
        self.summary.published += self._unacknowledged
        self._unacknowledged = 0

    def _limit_memory(self, readings: Mapping[TopicPartition, _Reading], scorer: SceneScorer) -> None:
        states = {partition: reading.state for partition, reading in readings.items()}
        for partition, closed in limit_memory(states, self.buffered_bytes):
            _forget(partition, closed, scorer)


def _forget(partition: TopicPartition, closed: Collection[Closed], scorer: SceneScorer) -> None:
    for key, _ in closed:
        scorer.close(partition, key)
