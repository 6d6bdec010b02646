"""The worker's loop: poll, decode, window, score, publish, acknowledge, commit. The only place that knows the order."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from soundscene.classifier import SceneClassifier
from soundscene_worker.broker.errors import BrokerUnreachable, CommitRefused, DeliveryFailed
from soundscene_worker.broker.protocol import Commit, Consumer, Polled, Producer, Record, TopicPartition
from soundscene_worker.letter_post import DeadLetterPost
from soundscene_worker.logs import EventLog
from soundscene_worker.messages.chunk import AudioChunk, ChunkLimits, RejectedChunk, decode_chunk
from soundscene_worker.messages.dead_letter import DeadLetterOffice
from soundscene_worker.messages.prediction import ScenePrediction, encode_prediction
from soundscene_worker.metrics import WorkerMetrics
from soundscene_worker.scoring import SceneScorer
from soundscene_worker.streams.partition import Closed, CommitPoint, PartitionState, Taken, limit_memory
from soundscene_worker.streams.policy import StreamPolicy

__all__ = ["LoopSettings", "Worker"]

_LETTER_SECONDS: Final = 1.0
"""Longest wait for dead letters in a turn."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """What the loop needs to know.

    Parameters
    ----------
    predictions_topic : str
        Where predictions go.
    limits : ChunkLimits
        What a chunk may be.
    policy : StreamPolicy
        Windows, hold-back and idleness.
    poll_seconds : float > 0
        Longest wait for records: also how soon a stop is noticed.
    poll_records : int > 0
        Most records taken at once: their predictions are acknowledged together.
    turn_seconds : float > 0
        After how long at work the group is polled again, with partitions paused, before the next record is taken.
    buffered_bytes : int > 0
        Most memory all devices together may hold for open windows; the one that holds most is closed beyond it.
    commit_interval_seconds : float >= 0
        Least time between two commits.
    delivery_seconds : float > 0
        How long the broker may take to acknowledge.
    """

    predictions_topic: str
    limits: ChunkLimits
    policy: StreamPolicy
    poll_seconds: float
    poll_records: int
    turn_seconds: float
    buffered_bytes: int
    commit_interval_seconds: float
    delivery_seconds: float


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
    letter_post: DeadLetterPost
    metrics: WorkerMetrics
    log: EventLog
    new_bundle: Callable[[], SceneClassifier | None] = lambda: None
    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _partitions: dict[TopicPartition, PartitionState] = field(default_factory=dict)
    _to_begin: dict[TopicPartition, int | None] = field(default_factory=dict)  # where, if nothing is committed
    _next: SceneClassifier | None = None  # will score from the next stored commit on
    _waiting: deque[Record] = field(default_factory=deque)  # polled, not yet processed
    _stopping: threading.Event = field(default_factory=threading.Event)
    _last_commit: float = float("-inf")

    def stop(self) -> None:
        """Ask the loop to end after its current turn.

        Any thread may call it, but no signal handler: it may interrupt whoever holds the lock that this needs.
        """
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
        """Poll once and do a turn's work."""
        self.metrics.loop_turned()
        self.metrics.broker_reachable(self.consumer.reachable())
        self._change_bundle()
        polled = self._poll()
        self._let_go(polled.revoked | polled.lost)
        self._to_begin.update(dict.fromkeys(sorted(polled.assigned)))
        self._waiting.extend(polled.records)
        self.metrics.assignment(polled, self._partitions.keys() | self._to_begin.keys())
        if not self._begin():
            return
        try:
            self._work()
            self.producer.flush(self.settings.delivery_seconds)
        except (DeliveryFailed, BrokerUnreachable) as error:
            self._start_again(error)
            return
        self.letter_post.settle(_LETTER_SECONDS)
        self._limit_memory()
        if self.monotonic() - self._last_commit >= self.settings.commit_interval_seconds:
            self._commit()

    def _poll(self) -> Polled:
        """Ask for records only when none are waiting; the group hears from us either way."""
        busy = bool(self._waiting or self._to_begin)
        owned = self._partitions.keys() | self._to_begin.keys()
        (self.consumer.pause if busy else self.consumer.resume)(owned)
        self.metrics.paused(len(owned) if busy else 0)
        return self.consumer.poll(0.0 if busy else self.settings.poll_seconds, self.settings.poll_records)

    def _work(self) -> None:
        """Process waiting records until none is left or the turn is over."""
        ends_at = self.monotonic() + self.settings.turn_seconds
        while self._waiting:
            self._process(self._waiting.popleft())
            if self.monotonic() >= ends_at:
                return

    def _begin(self) -> bool:
        """Begin the waiting partitions where their commits say; an outage leaves them for the next turn."""
        for partition, offset in list(self._to_begin.items()):
            try:
                start = self._start_of(partition, offset)
                if offset is not None:
                    self.consumer.seek(partition, start.offset)
            except BrokerUnreachable as error:
                self.log.event("broker_unreachable", error=str(error))
                self._stopping.wait(self.settings.poll_seconds)
                return False
            del self._to_begin[partition]
            self._partitions[partition] = PartitionState(self.settings.policy, start)
            self.log.event("partition_assigned", partition=partition.partition, offset=start.offset)
        return True

    def _start_of(self, partition: TopicPartition, offset: int | None) -> CommitPoint:
        commit = self.consumer.committed(partition)
        if commit is not None:
            return CommitPoint.parse(commit.offset, commit.metadata)
        offset = self.consumer.position(partition) if offset is None else offset
        return CommitPoint(offset, offset, None)

    def _let_go(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            self._to_begin.pop(partition, None)
            self._waiting = deque(record for record in self._waiting if record.topic_partition != partition)
            state = self._partitions.pop(partition, None)
            if state is not None:
                self._close(partition, state.close_all())
                self.log.event("partition_revoked", partition=partition.partition)

    def _process(self, record: Record) -> None:
        """Take one record; whatever is wrong with it stays its own matter."""
        state = self._partitions.get(record.topic_partition)
        if state is None:
            return
        if record.offset < state.position:  # a log only goes on: the topic was made anew, the commit is of another
            start = CommitPoint(record.offset, record.offset, None)
            self._close(record.topic_partition, state.close_all())
            state = self._partitions[record.topic_partition] = PartitionState(self.settings.policy, start)
        arrived = self.now()
        is_new = record.offset >= state.start.done_below
        try:
            chunk = decode_chunk(record.key, record.value, record.headers, self.settings.limits, record.fault)
        except RejectedChunk as refusal:
            state.reject(record.offset, refusal.header)
            if is_new:
                self._refuse(record, refusal)
            return
        taken = state.take(record.offset, record.timestamp_ms, chunk)
        self._close(record.topic_partition, taken.closed)
        if is_new:
            self._observe(chunk, taken)
        for ready in taken.windows:
            prediction = self.scorer.score(record.topic_partition, ready, arrived)
            if prediction is not None:
                self._publish(prediction)

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
        if letter is None:
            self.metrics.dead_letter("withheld")
        else:
            self.letter_post.send(letter)

    def _observe(self, chunk: AudioChunk, taken: Taken) -> None:
        self.metrics.chunk_taken(chunk, taken)
        for gap in taken.gaps:
            self.log.event("gap", device=chunk.device, session=chunk.session, cause=gap.cause, seconds=gap.seconds)
        if taken.new_session:
            self.log.event(
                "session_opened", device=chunk.device, session=chunk.session, sample_rate_hz=chunk.sample_rate_hz
            )

    def _close(self, partition: TopicPartition, closed: Collection[Closed]) -> None:
        if not closed:
            return
        for key, end in closed:
            self.scorer.close(partition, key)
            self.metrics.session_closed(end)
            self.log.event("session_closed", device=key.device, session=key.session, cause=end)
        live = {device for state in self._partitions.values() for device in state.devices()}
        self.metrics.keep_devices(live)

    def _limit_memory(self) -> None:
        for partition, closed in limit_memory(self._partitions, self.settings.buffered_bytes):
            self._close(partition, closed)
        self.metrics.buffered(sum(state.held_bytes for state in self._partitions.values()))

    def _change_bundle(self) -> None:
        """Let a new bundle go on from the commit, as a new process with it would: a window is scored by one of them."""
        self._next = self.new_bundle() or self._next
        if self._next is None or not self._commit():
            return
        classifier, self._next = self._next, None
        self._read_again()
        bundle = classifier.bundle
        self.scorer = self.scorer.with_classifier(classifier)
        policy = replace(
            self.settings.policy, front_end=bundle.front_end, smoothing_windows=bundle.fusion.smoothing_windows
        )
        self.settings = replace(self.settings, policy=policy)
        self.metrics.bundle_changed(bundle)
        self.log.event("bundle_changed", **bundle.model)

    def _start_again(self, error: Exception) -> None:
        """Forget everything since the last commit and read it again."""
        self.metrics.delivery_failed()
        self.log.event("delivery_failed", error=str(error))
        self._read_again()

    def _read_again(self) -> None:
        starts = {partition: state.start.offset for partition, state in self._partitions.items()}
        self._let_go(starts)
        self._to_begin.update(starts)
        self._stopping.wait(self.settings.poll_seconds)  # what was refused at once would be again

    def _commit(self) -> bool:
        """Commit what was acknowledged; return whether the group has it."""
        commits = {}
        for partition, state in self._partitions.items():
            point = state.commit_point()
            commits[partition] = Commit(point.offset, point.metadata)
        is_stored = False
        try:
            self.consumer.commit(commits)
        except (CommitRefused, BrokerUnreachable) as error:
            self.metrics.commit_refused()
            self.log.event("commit_refused", error=str(error))
        else:
            is_stored = True
            if commits:
                self.metrics.committed()
        self._last_commit = self.monotonic()
        self._measure_lag()
        return is_stored

    def _measure_lag(self) -> None:
        """What was polled but still waits lies ahead as much as what was not polled."""
        lags = Counter(record.topic_partition for record in self._waiting)
        lags.update(self.consumer.lag())
        now_seconds = self.now().timestamp()
        ages = {p: now_seconds - state.written_ms / 1000 for p, state in self._partitions.items() if state.written_ms}
        self.metrics.lag(lags, ages)
        behind = {partition: state.clock_lag_seconds for partition, state in self._partitions.items()}
        self.metrics.clock_lag({partition: lag for partition, lag in behind.items() if lag is not None})
