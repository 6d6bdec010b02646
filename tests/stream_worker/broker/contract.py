"""A consumer that is watched, and records for it: what the tests of the brokers' contract are made of."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from soundscene_worker.broker.errors import CommitRefused
from soundscene_worker.broker.protocol import Cluster, Commit, Consumer, Polled, Record, TopicPartition

PATIENCE_SECONDS = 30.0


@dataclass
class Seen:
    """Everything a consumer was told, and what it may believe now."""

    consumer: Consumer
    records: list[Record] = field(default_factory=list)
    owned: set[TopicPartition] = field(default_factory=set)
    changes: list[Polled] = field(default_factory=list)
    begins: dict[TopicPartition, int] = field(default_factory=dict)

    def poll(self, seconds: float = 0.2) -> Polled:
        polled = self.consumer.poll(seconds)
        assert polled.revoked | polled.lost <= self.owned, "only what was had can be taken"
        self.owned -= polled.revoked | polled.lost
        assert not polled.assigned & self.owned, "only what is not had can be given"
        self.owned |= polled.assigned
        assert self.owned == self.consumer.assignment()
        self.begins.update({p: commit.offset for p in polled.assigned if (commit := self.consumer.committed(p))})
        for record in polled.records:
            assert record.topic_partition in self.owned
            begin = self.begins.pop(record.topic_partition, record.offset)
            assert record.offset == begin, "what is assigned begins at its commit, also when it was just taken away"
        if polled.assigned or polled.revoked or polled.lost:
            self.changes.append(polled)
        self.records += polled.records
        return polled

    def until(self, condition: Callable[[], bool], *others: Seen) -> None:
        """Poll until the condition holds; several members poll side by side, for they join a group together."""
        ended = threading.Event()
        deadline = time.monotonic() + PATIENCE_SECONDS
        with ThreadPoolExecutor() as pool:
            polling = [pool.submit(seen.poll_until, ended) for seen in others]
            try:
                while not condition():
                    assert time.monotonic() < deadline, f"owned {self.owned}, {len(self.records)} records"
                    self.poll(0.1)
            finally:
                ended.set()
        for task in polling:
            task.result()

    def poll_until(self, ended: threading.Event) -> None:
        while not ended.is_set():
            self.poll(0.1)

    def commit(self, commits: dict[TopicPartition, Commit], *others: Seen) -> None:
        """Commit as a worker does: poll on while it is refused."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.consumer.commit(commits)
            except CommitRefused:
                assert time.monotonic() < deadline
                soon = time.monotonic() + 1
                self.until(lambda soon=soon: time.monotonic() > soon, *others)  # type: ignore[misc]

    def values(self) -> list[bytes]:
        return sorted(record.value or b"" for record in self.records)


def fill(cluster: Cluster, topic: str, count: int = 40, prefix: str = "v") -> list[bytes]:
    producer = cluster.producer()
    values = [f"{prefix}{index:03d}".encode() for index in range(count)]
    for index, value in enumerate(values):
        producer.send(topic, f"device-{index % 9}".encode(), value)
    producer.flush(PATIENCE_SECONDS)
    return values


def send_and_flush(cluster: Cluster, topic: str) -> None:
    producer = cluster.producer()
    producer.send(topic, b"device", b"value")
    producer.flush(PATIENCE_SECONDS)


def partitions(topic: str) -> list[TopicPartition]:
    return [TopicPartition(topic, index) for index in range(4)]
