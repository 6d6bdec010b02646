"""The worker's loop: poll, decode, window, score, publish, acknowledge, commit. The only place that knows the order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from soundscene_worker.broker.errors import BrokerUnreachable, CommitRefused, DeliveryFailed, RecordTooLarge
from soundscene_worker.broker.protocol import Commit, Consumer, Producer, Record, TopicPartition
from soundscene_worker.logs import EventLog
from soundscene_worker.messages.chunk import AudioChunk, ChunkLimits, RejectedChunk, decode_chunk
from soundscene_worker.messages.dead_letter import DeadLetterOffice
from soundscene_worker.messages.prediction import ScenePrediction, encode_prediction
from soundscene_worker.metrics import WorkerMetrics
from soundscene_worker.scoring import SceneScorer
from soundscene_worker.streams.partition import CommitPoint, PartitionState, Taken
from soundscene_worker.streams.policy import StreamPolicy
from soundscene_worker.streams.session import SessionKey

__all__ = ["LoopSettings", "Worker"]


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What the loop needs to know.

    Parameters
    ----------
    predictions_topic, dead_letters_topic : str
        Where predictions go, and word of what could not be used.
    limits : ChunkLimits
        What a chunk may be.
    policy : StreamPolicy
        Windows, hold-back and idleness.
    poll_seconds : float > 0
        Longest wait for records: also how soon a stop is noticed.
    poll_records : int > 0
        Most records taken at once: their predictions are acknowledged together.
    commit_interval_seconds : float >= 0
        Least time between two commits.
    delivery_seconds : float > 0
        How long the broker may take to acknowledge.
    """

    predictions_topic: str
    dead_letters_topic: str
    limits: ChunkLimits
    policy: StreamPolicy
    poll_seconds: float = 0.5
    poll_records: int = 64
    commit_interval_seconds: float = 1.0
    delivery_seconds: float = 60.0


@dataclass(slots=True)
class Worker:
    """Consumes chunks, publishes predictions, commits.

    One turn: poll; let go of partitions and take over new ones; window and score each record; wait until every
    prediction is acknowledged; only then commit. A prediction that cannot be delivered makes the worker throw its state
    away and read again from the last commit, exactly as a new process would.
    """

    settings: LoopSettings
    consumer: Consumer
    producer: Producer
    scorer: SceneScorer
    dead_letters: DeadLetterOffice
    metrics: WorkerMetrics
    log: EventLog
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _partitions: dict[TopicPartition, PartitionState] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _last_commit: float = float("-inf")

    def stop(self) -> None:
        """Ask the loop to end after its current turn; may be called from a signal handler or another thread."""
        self._stopping.set()

    def run(self) -> None:
        """Turn until stopped, then commit.

        Raises
        ------
        BrokerError
            What waiting cannot cure.
        """
        while not self._stopping.is_set():
            self.turn()
        self._commit()

    def turn(self) -> None:
        """Poll once and bring everything it yields to its end."""
        self.metrics.loop_turned()
        self.metrics.broker_reachable(self.consumer.reachable())
        polled = self.consumer.poll(self.settings.poll_seconds, self.settings.poll_records)
        self._let_go(polled.revoked | polled.lost)
        for partition in sorted(polled.assigned):
            self._take_over(partition)
        self.metrics.assignment(polled, self._partitions.keys())
        try:
            for record in polled.records:
                self._process(record)
            self.producer.flush(self.settings.delivery_seconds)
        except (DeliveryFailed, BrokerUnreachable) as error:
            self._start_again(error)
            return
        if self.monotonic() - self._last_commit >= self.settings.commit_interval_seconds:
            self._commit()

    def _take_over(self, partition: TopicPartition, uncommitted_offset: int | None = None) -> None:
        """Begin a partition where its commit says, or without one at an offset; an outage is waited for."""
        while not self._stopping.is_set():
            try:
                commit = self.consumer.committed(partition)
                if commit is not None:
                    start = CommitPoint.parse(commit.offset, commit.metadata)
                else:
                    offset = self.consumer.position(partition) if uncommitted_offset is None else uncommitted_offset
                    start = CommitPoint(offset, offset, None)
            except BrokerUnreachable as error:
                self.log.event("broker_unreachable", error=str(error))
                self.metrics.loop_turned()
                self._stopping.wait(self.settings.poll_seconds)
            else:
                self._partitions[partition] = PartitionState(self.settings.policy, start)
                self.log.event("partition_assigned", partition=partition.partition, offset=start.offset)
                return

    def _let_go(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            state = self._partitions.pop(partition, None)
            if state is not None:
                self._close(state.session_keys())
                self.log.event("partition_revoked", partition=partition.partition)

    def _process(self, record: Record) -> None:
        """Take one record; whatever is wrong with it stays its own matter."""
        state = self._partitions.get(record.topic_partition)
        if state is None:
            return
        if record.offset < state.start.offset:  # the topic was made anew: the commit is of another log
            start = CommitPoint(record.offset, record.offset, None)
            self._close(state.session_keys())
            state = self._partitions[record.topic_partition] = PartitionState(self.settings.policy, start)
        arrived = self.now()
        is_new = record.offset >= state.start.done_below
        try:
            chunk = decode_chunk(record.key, record.value, record.headers, self.settings.limits)
        except RejectedChunk as refusal:
            state.reject(record.offset, refusal.header)
            if is_new:
                self._refuse(record, refusal)
            return
        taken = state.take(record.offset, record.timestamp_ms, chunk)
        if is_new:
            self._observe(chunk, taken)
        for ready in taken.windows:
            prediction = self.scorer.score(ready, arrived)
            if prediction is not None:
                self._publish(prediction)
        self._close(taken.closed)

    def _publish(self, prediction: ScenePrediction) -> None:
        key, value, headers = encode_prediction(prediction)
        self.producer.send(self.settings.predictions_topic, key, value, headers)
        self.metrics.window_published(prediction)

    def _refuse(self, record: Record, refusal: RejectedChunk) -> None:
        self.metrics.chunk_rejected(refusal.reason)
        self.log.event(
            "chunk_rejected",
            partition=record.partition,
            offset=record.offset,
            reason=refusal.reason,
            message=str(refusal),
        )
        letter = self.dead_letters.write(record, refusal.reason, str(refusal), self.monotonic())
        if letter is not None:
            try:
                self.producer.send(self.settings.dead_letters_topic, letter.key, letter.value, letter.headers)
            except RecordTooLarge:  # the payload that an operator asked for: the reason matters more
                self.producer.send(self.settings.dead_letters_topic, letter.key, b"", letter.headers)
        self.metrics.dead_letter(written=letter is not None)

    def _observe(self, chunk: AudioChunk, taken: Taken) -> None:
        self.metrics.chunk_taken(chunk, taken)
        for gap in taken.gaps:
            self.log.event("gap", device=chunk.device, session=chunk.session, cause=gap.cause, seconds=gap.seconds)
        if taken.new_session:
            self.log.event(
                "session_opened", device=chunk.device, session=chunk.session, sample_rate_hz=chunk.sample_rate_hz
            )

    def _close(self, keys: Collection[SessionKey]) -> None:
        if not keys:
            return
        for key in keys:
            self.scorer.close(key)
            self.log.event("session_closed", device=key.device, session=key.session)
        live = {device for state in self._partitions.values() for device in state.devices()}
        self.metrics.keep_devices(live)

    def _start_again(self, error: Exception) -> None:
        """Forget everything since the last commit and read it again."""
        self.metrics.delivery_failed()
        self.log.event("delivery_failed", error=str(error))
        for partition, state in list(self._partitions.items()):
            self._let_go([partition])
            self._take_over(partition, state.start.offset)
            self.consumer.seek(partition, self._partitions[partition].position)

    def _commit(self) -> None:
        commits = {}
        for partition, state in self._partitions.items():
            point = state.commit_point()
            commits[partition] = Commit(point.offset, point.metadata)
        try:
            self.consumer.commit(commits)
        except (CommitRefused, BrokerUnreachable) as error:
            self.metrics.commit_refused()
            self.log.event("commit_refused", error=str(error))
        else:
            self.metrics.committed(len(commits))
        self._last_commit = self.monotonic()
        self.metrics.lag(self.consumer.lag())
