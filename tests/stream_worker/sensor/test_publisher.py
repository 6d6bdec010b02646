"""What the journal says was sent, the broker has: also after outages."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from soundscene_worker.broker.errors import RecordTooLarge, TopicMissing
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.messages.chunk import ChunkHeader
from soundscene_worker.sensor.chunks import Outgoing
from soundscene_worker.sensor.publisher import Publisher


def chunk(number: int, count: int = 10) -> Outgoing:
    header = ChunkHeader(
        device="mic", session="s", sequence=number, first_sample=10 * number, sample_count=count,
        sample_rate_hz=8_000, channels=1, encoding="pcm_s16le", capture_time=datetime(2026, 5, 1, tzinfo=UTC),
    )  # fmt: skip
    return Outgoing(header, np.zeros((count, 1), np.float32), 0.0, 0.0)


class Impatient(threading.Event):
    """Does not wait; does something instead."""

    def __init__(self, instead: Callable[[], object]) -> None:
        super().__init__()
        self.instead = instead

    def wait(self, timeout: float | None = None) -> bool:
        self.instead()
        return self.is_set()


def make(instead: Callable[[], object] = lambda: None) -> tuple[MemoryCluster, Publisher, io.StringIO]:
    cluster = MemoryCluster()
    cluster.admin().ensure_topics({"chunks": 1})
    journal = io.StringIO()
    publisher = Publisher(
        cluster.producer(), "chunks", Impatient(instead), journal, warn=lambda _: None, monotonic=lambda: 0.0
    )
    return cluster, publisher, journal


def stored(cluster: MemoryCluster) -> list[int]:
    records = cluster.read_to_end("chunks")
    return [int(dict(record.headers)["ce_sequence"]) for record in records]


def written(journal: io.StringIO) -> list[int]:
    return [json.loads(line)["sequence"] for line in journal.getvalue().splitlines()]


def test_chunks_arrive_in_order() -> None:
    """Each once, and each in the journal."""
    cluster, publisher, journal = make()
    for number in range(3):
        publisher.send(chunk(number))
    assert publisher.flush()
    assert stored(cluster) == written(journal) == [0, 1, 2]
    assert publisher.counts == {"chunks": 3}


def test_a_chunk_leaves_at_once_and_is_acknowledged_within_a_second() -> None:
    """Windows are not held up by the batch; the journal follows after a second, or after 256 chunks."""
    cluster, publisher, journal = make()
    now_seconds = 0.0
    publisher.monotonic = lambda: now_seconds
    for number, (at_seconds, noted) in enumerate([(0.0, [0]), (0.9, [0]), (1.0, [0, 1, 2])]):
        now_seconds = at_seconds
        publisher.send(chunk(number))
        assert stored(cluster) == list(range(number + 1))
        assert written(journal) == noted
    for number in range(3, 259):
        assert written(journal) == [0, 1, 2]
        publisher.send(chunk(number))
    assert written(journal) == list(range(259))


def test_a_dropped_chunk_is_only_written_down() -> None:
    """The journal tells that it was not sent, and why."""
    cluster, publisher, journal = make()
    publisher.send(chunk(0).with_fault("drop", is_sent=False))
    publisher.flush()
    assert stored(cluster) == []
    line = json.loads(journal.getvalue())
    assert (line["sent"], line["faults"]) == (False, ["drop"])
    assert publisher.counts == {"chunks": 0, "drop": 1}


def test_an_unacknowledged_chunk_is_sent_again() -> None:
    """At least once: never lost, and written down once."""
    cluster, publisher, journal = make()
    publisher.send(chunk(0))
    cluster.fail_next_delivery()
    publisher.send(chunk(1))
    publisher.send(chunk(2))
    assert publisher.flush()
    assert set(stored(cluster)) == {0, 1, 2}
    assert written(journal) == [0, 1, 2]


def test_an_outage_is_waited_for() -> None:
    """The sensor goes on when the broker is back."""
    waits, told = iter([False, False, True]), list[str]()
    cluster, publisher, _ = make(lambda: cluster.outage(not next(waits)))
    publisher.warn = told.append
    publisher.send(chunk(0))
    cluster.outage()
    publisher.send(chunk(1))
    assert publisher.flush()
    assert set(stored(cluster)) == {0, 1}
    assert len(told) == 3
    assert all(line.endswith("; sending 1 chunks again") for line in told)


def test_a_stop_ends_the_waiting() -> None:
    """What was not acknowledged is not written down."""
    cluster, publisher, journal = make()
    publisher.stopping.set()
    cluster.outage()
    publisher.send(chunk(0))
    assert not publisher.flush()
    assert not publisher.flush()
    assert journal.getvalue() == ""


def test_what_waiting_cannot_cure_is_raised() -> None:
    """A missing topic, and a chunk that no broker takes."""
    _, publisher, _ = make()
    publisher.topic = "nowhere"
    with pytest.raises(TopicMissing):
        publisher.send(chunk(0))
    _, publisher, _ = make()
    with pytest.raises(RecordTooLarge):
        publisher.send(chunk(0, count=600_000))
