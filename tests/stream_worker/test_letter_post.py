"""Dead letters on their way: nobody waits for them, and none is lost while their topic takes them."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from soundscene_worker.broker.connection import KafkaConnection, ProducerTuning
from soundscene_worker.broker.errors import BrokerError, DeliveryFailed, RecordTooLarge, TopicMissing
from soundscene_worker.broker.kafka import KafkaCluster
from soundscene_worker.broker.memory import MemoryCluster, MemoryProducer
from soundscene_worker.letter_post import DeadLetterPost
from soundscene_worker.logs import EventLog
from soundscene_worker.messages.dead_letter import DeadLetter

TOPIC = "audio.dead-letters"
DELIVERY_SECONDS = 60.0
LETTER = DeadLetter(b"mic-1", b"", [("reason", b"empty")])


@dataclass
class Outcomes:
    """Counts as the metrics do."""

    counts: Counter[str] = field(default_factory=Counter)

    def dead_letter(self, outcome: str) -> None:
        self.counts[outcome] += 1


class HangingProducer(MemoryProducer):
    """Its broker does not answer until it is let go."""

    def __init__(self, cluster: MemoryCluster) -> None:
        super().__init__(cluster)
        self.go = threading.Event()

    def flush(self, timeout_seconds: float) -> None:
        self.go.wait(60)
        super().flush(timeout_seconds)


class RefusingProducer(MemoryProducer):
    """Refuses some letters with an error, when they are sent or when they are flushed."""

    def __init__(self, cluster: MemoryCluster, error: BrokerError, at_flush: bool = False) -> None:
        super().__init__(cluster)
        self.error, self.at_flush, self.refuses = error, at_flush, True
        self._pending = False

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Iterable[tuple[str, bytes]] = (),
        *,
        timestamp_ms: int | None = None,
        partition: int | None = None,
    ) -> None:
        if self.refuses and (value or isinstance(self.error, TopicMissing)):
            if not self.at_flush:
                raise self.error
            self._pending = True
            return
        super().send(topic, key, value, headers, timestamp_ms=timestamp_ms, partition=partition)

    def flush(self, timeout_seconds: float) -> None:
        pending, self._pending = self._pending, False
        if pending:
            raise self.error
        super().flush(timeout_seconds)


@pytest.fixture
def cluster() -> Iterator[MemoryCluster]:
    with MemoryCluster() as cluster:
        cluster.admin().ensure_topics({TOPIC: 1})
        yield cluster


def written(cluster: MemoryCluster) -> list[tuple[bytes | None, bytes | None]]:
    return [(record.key, record.value) for record in cluster.read_to_end(TOPIC)]


def test_settled_letters_are_stored(cluster: MemoryCluster) -> None:
    """After `settle` the topic has every letter, in order."""
    outcomes = Outcomes()
    post = DeadLetterPost(cluster.producer(), TOPIC, outcomes, EventLog(), DELIVERY_SECONDS)
    for number in range(50):
        post.send(DeadLetter(str(number).encode(), b"", []))
    post.settle(60)
    assert written(cluster) == [(str(number).encode(), b"") for number in range(50)]
    post.close()
    assert outcomes.counts == {"written": 50}


def test_a_broker_that_hangs_holds_up_once(cluster: MemoryCluster) -> None:
    """Letters beyond what may wait are counted; after one wait that was in vain, `settle` returns at once."""
    outcomes, producer = Outcomes(), HangingProducer(cluster)
    post = DeadLetterPost(producer, TOPIC, outcomes, EventLog(), DELIVERY_SECONDS)
    for _ in range(205):
        post.send(LETTER)
    assert outcomes.counts == {"failed": 5}
    post.settle(0.01)
    post.settle(3600)  # would be noticed
    producer.go.set()
    post.close()
    assert post._thread is not None
    post._thread.join(60)
    assert outcomes.counts == {"failed": 5, "written": 200}


@pytest.mark.parametrize(
    ("error", "at_flush"), [(RecordTooLarge("too large"), False), (DeliveryFailed("too large for the topic"), True)]
)
def test_a_payload_that_is_too_large_is_left_out(cluster: MemoryCluster, error: BrokerError, at_flush: bool) -> None:
    """Whether the producer or the broker refuses it, the letter arrives without its payload."""
    outcomes = Outcomes()
    post = DeadLetterPost(RefusingProducer(cluster, error, at_flush), TOPIC, outcomes, EventLog(), DELIVERY_SECONDS)
    post.send(DeadLetter(b"mic-1", b"sound", [("reason", b"oversized")]))
    post.settle(60)
    post.close()
    assert written(cluster) == [(b"mic-1", b"")]
    assert outcomes.counts == {"written": 1}


def test_a_failure_is_told_once_until_a_letter_gets_through(cluster: MemoryCluster) -> None:
    """The log names topic and cause of the first failure, and of the next one after a success."""
    outcomes, lines = Outcomes(), io.StringIO()
    producer = RefusingProducer(cluster, TopicMissing("there is no topic"))
    post = DeadLetterPost(producer, TOPIC, outcomes, EventLog(lines, format="logfmt", clock=None), DELIVERY_SECONDS)
    for refuses in (True, True, False, True):
        producer.refuses = refuses
        post.send(LETTER)
        with post._changed:
            assert post._changed.wait_for(lambda: not post._waiting, 60)
    post.close()
    assert post._thread is not None
    post._thread.join(60)
    assert outcomes.counts == {"failed": 3, "written": 1}
    assert lines.getvalue().count("event=dead_letter_failed") == 2
    assert "there is no topic" in lines.getvalue()


@pytest.mark.integration
def test_a_topic_missing_on_a_real_broker_costs_its_letters_only(kafka_bootstrap: str) -> None:
    """The client looks for the topic until it gives up; meanwhile nobody waits, and then the letter is counted."""
    outcomes, lines = Outcomes(), io.StringIO()
    with KafkaCluster(KafkaConnection((kafka_bootstrap,)), producing=ProducerTuning(block_seconds=2)) as cluster:
        log = EventLog(lines, format="logfmt", clock=None)
        post = DeadLetterPost(cluster.producer(), "nowhere", outcomes, log, delivery_seconds=5)
        post.send(LETTER)
        post.settle(0.01)
        assert outcomes.counts == {}, "it is still looked for"
        post.close()
        assert post._thread is not None
        post._thread.join(60)
    assert outcomes.counts == {"failed": 1}
    assert "nowhere" in lines.getvalue()
