"""Predictions first, then the commit: whatever is cut off, refused or handed over, the set of predictions is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from soundscene_worker.broker.errors import DeliveryFailed
from soundscene_worker.broker.memory import MemoryCluster, MemoryConsumer, MemoryProducer
from soundscene_worker.broker.protocol import Commit, Polled, TopicPartition
from soundscene_worker.loop import Worker
from soundscene_worker.streams.partition import CommitPoint, PartitionState
from tests.stream_worker.loop_stage import (
    CHUNKS,
    DEAD_LETTERS,
    PREDICTIONS,
    SECONDS,
    Start,
    published,
    run_to_the_end,
    without_latency,
)

TURNS = 3 * SECONDS


class PowerCut(BaseException):
    """The process is gone."""


@dataclass
class Power:
    """Lasts for a number of steps towards the broker."""

    steps: int

    def use(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise PowerCut


class BufferingProducer(MemoryProducer):
    """Stores nothing before it is flushed, as a real client may; some flushes lose all but their first record."""

    def __init__(self, cluster: MemoryCluster, power: Power, lossy_flushes: Iterable[int]) -> None:
        super().__init__(cluster)
        self._power, self._lossy, self._flushes = power, set(lossy_flushes), 0
        self._buffer: list[tuple[str, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]] = []

    def send(  # type: ignore[override]  # the loop names neither time nor partition
        self, topic: str, key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes]] = ()
    ) -> None:
        self._buffer.append((topic, key, value, tuple(headers)))

    def flush(self, timeout_seconds: float) -> None:
        self._flushes += bool(self._buffer)
        buffer, self._buffer = self._buffer, []
        lost = buffer[1:] if buffer and self._flushes in self._lossy else []
        for record in buffer[: len(buffer) - len(lost)]:
            self._power.use()
            super().send(*record)
        if lost:
            raise DeliveryFailed(f"{len(lost)} records were lost")


@dataclass(frozen=True)
class Life:
    """What happens to a worker from its start to its sudden end."""

    steps: int
    lossy_flushes: frozenset[int]
    refused_commits: int
    is_joined: bool


LIVES = st.lists(
    st.builds(
        Life,
        steps=st.integers(0, 60),
        lossy_flushes=st.frozensets(st.integers(1, 8), max_size=3),
        refused_commits=st.integers(0, 3),
        is_joined=st.booleans(),
    ),
    min_size=1,
    max_size=4,
)


def weaken(consumer: MemoryConsumer, power: Power) -> None:
    """Let the power fail before a poll, before a commit, and after it."""
    poll, commit = consumer.poll, consumer.commit

    def frail_poll(timeout_seconds: float, max_records: int | None = None) -> Polled:
        power.use()
        return poll(timeout_seconds, max_records)

    def frail_commit(commits: Mapping[TopicPartition, Commit]) -> None:
        power.use()
        commit(commits)
        power.use()

    consumer.poll, consumer.commit = frail_poll, frail_commit  # type: ignore[method-assign]


def live(start: Start, life: Life) -> None:
    """Run a worker until its power fails or nothing is left to do; a second one may join and leave meanwhile."""
    power = Power(life.steps)
    worker = start()
    assert isinstance(worker.consumer, MemoryConsumer)
    worker.producer = BufferingProducer(start.cluster, power, life.lossy_flushes)
    weaken(worker.consumer, power)
    for _ in range(life.refused_commits):
        start.cluster.refuse_next_commit()
    other = start() if life.is_joined else None
    try:
        for turn in range(TURNS):
            worker.turn()
            if other is not None and turn < TURNS // 3:
                other.turn()
            elif other is not None:
                other.consumer.close()
                other = None
    except PowerCut:
        pass
    finally:
        start.cluster.crash(worker.consumer)
        if other is not None:
            other.consumer.close()


@dataclass(frozen=True)
class Case:
    """A log that is whole, and what comes of it undisturbed."""

    cluster: MemoryCluster
    start: Start
    undisturbed: set[str]

    def check(self, lives: list[Life]) -> None:
        """Live these lives one after the other, then one without faults."""
        with MemoryCluster() as cluster:
            cluster.admin().ensure_topics({PREDICTIONS: 1, DEAD_LETTERS: 1})
            cluster.topics[CHUNKS] = self.cluster.topics[CHUNKS]
            start = replace(self.start, cluster=cluster)
            for life in lives:
                live(start, life)
            cluster._commits_to_refuse = 0
            run_to_the_end(start(), TURNS)
            assert {str(without_latency(p)) for p in published(cluster)} == self.undisturbed


@pytest.fixture
def case(cluster: MemoryCluster, start: Start, undisturbed: set[str]) -> Case:
    return Case(cluster, start, undisturbed)


FIXTURES = HealthCheck.function_scoped_fixture


@settings(max_examples=60, suppress_health_check=[FIXTURES, HealthCheck.too_slow], deadline=None)
@given(lives=LIVES)
def test_no_end_of_a_worker_leaves_a_trace(case: Case, lives: list[Life]) -> None:
    """Cut off between any two steps, with lost deliveries, refused commits and hand-overs, the results are the same."""
    case.check(lives)


WORK, LET_GO, COMMIT_POINT = Worker._work, Worker._let_go, PartitionState.commit_point


def commit_before_the_flush(worker: Worker) -> None:
    WORK(worker)
    worker._commit()


def pass_over_a_failure(worker: Worker, error: Exception) -> None:
    worker.metrics.delivery_failed()


def commit_what_is_let_go(worker: Worker, partitions: Iterable[TopicPartition]) -> None:
    worker._commit()
    LET_GO(worker, tuple(partitions))


def go_on_from_the_position(worker: Worker) -> None:
    starts = dict.fromkeys(worker._partitions)
    LET_GO(worker, starts)
    worker._to_begin.update(starts)


def one_record_ahead(state: PartitionState) -> CommitPoint:
    point = COMMIT_POINT(state)
    return replace(point, done_below=point.done_below + 1)


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        pytest.param(Worker, "_work", commit_before_the_flush, id="committed before it is acknowledged"),
        pytest.param(Worker, "_start_again", pass_over_a_failure, id="a lost delivery is passed over"),
        pytest.param(Worker, "_let_go", commit_what_is_let_go, id="committed when it is let go"),
        pytest.param(Worker, "_read_again", go_on_from_the_position, id="not read again after a failure"),
        pytest.param(PartitionState, "commit_point", one_record_ahead, id="one record more than was processed"),
    ],
)
def test_a_broken_order_is_found(
    case: Case, owner: type, name: str, broken: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison finds a counterexample to each way of breaking the order of a commit."""
    monkeypatch.setattr(owner, name, broken)
    search = settings(max_examples=300, phases=[Phase.generate], database=None, derandomize=True, deadline=None,
                      suppress_health_check=list(HealthCheck))  # fmt: skip
    with pytest.raises(AssertionError):
        search(given(lives=LIVES)(case.check))()
