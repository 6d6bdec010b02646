"""The faults that the broker in memory can be told to have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from soundscene_worker.broker.errors import BrokerError, BrokerUnreachable, CommitRefused, DeliveryFailed
from soundscene_worker.broker.memory import MemoryCluster, MemoryConsumer
from soundscene_worker.broker.protocol import Commit, TopicPartition

P0, P1 = TopicPartition("chunks", 0), TopicPartition("chunks", 1)


@pytest.fixture
def cluster() -> Iterator[MemoryCluster]:
    with MemoryCluster(now_ms=lambda: 1_000) as cluster:
        cluster.admin().ensure_topics({"chunks": 2})
        yield cluster


def send(cluster: MemoryCluster, count: int, partition: int = 0) -> None:
    producer = cluster.producer()
    for index in range(count):
        producer.send("chunks", None, b"%d" % index, partition=partition)
    producer.flush(1)


def member(cluster: MemoryCluster) -> MemoryConsumer:
    consumer = cluster.consumer("group", ["chunks"])
    consumer.poll(0)
    return consumer


def test_an_outage_keeps_everything(cluster: MemoryCluster) -> None:
    """While it lasts, polls are empty and everything else says so; afterwards the records are there."""
    send(cluster, 3)
    consumer, producer = member(cluster), cluster.producer()
    cluster.outage()
    assert not consumer.poll(0).records
    assert not consumer.reachable()
    for refused in (
        lambda: consumer.commit({P0: Commit(1)}),
        lambda: consumer.committed(P0),
        lambda: cluster.spans("chunks"),
        cluster.producer,
        cluster.admin,
        lambda: list(cluster.read_to_end("chunks")),
    ):
        with pytest.raises(BrokerUnreachable):
            refused()
    producer.send("chunks", b"k", b"lost")
    with pytest.raises(DeliveryFailed, match="1 records"):
        producer.flush(1)
    cluster.outage(is_down=False)
    producer.flush(1)
    assert [record.offset for record in consumer.poll(0).records] == [0, 1, 2]


def test_a_refused_commit_stores_nothing_once(cluster: MemoryCluster) -> None:
    """The next commit is refused as in a rebalance; the one after is stored."""
    consumer = member(cluster)
    cluster.refuse_next_commit()
    with pytest.raises(CommitRefused):
        consumer.commit({P0: Commit(1)})
    assert consumer.committed(P0) is None
    consumer.commit({P0: Commit(1)})
    assert consumer.committed(P0) == Commit(1)


def test_a_failed_delivery_is_lost_once(cluster: MemoryCluster) -> None:
    """The next record is not stored and its flush says so; later ones are."""
    producer = cluster.producer()
    cluster.fail_next_delivery()
    producer.send("chunks", b"k", b"lost")
    producer.send("chunks", b"k", b"kept")
    with pytest.raises(DeliveryFailed):
        producer.flush(1)
    producer.flush(1)
    assert [record.value for record in cluster.read_to_end("chunks")] == [b"kept"]


def test_a_member_put_out_loses_and_begins_again(cluster: MemoryCluster) -> None:
    """It may not commit before it has learnt of it; it is told `lost`, and reads from the commit again."""
    send(cluster, 3)
    consumer = member(cluster)
    assert len(consumer.poll(0).records) == 3
    consumer.commit({P0: Commit(1)})
    cluster.expire(consumer)
    with pytest.raises(CommitRefused):
        consumer.commit({P0: Commit(3)})
    polled = consumer.poll(0)
    assert polled.lost == polled.assigned == {P0, P1}
    assert [record.offset for record in consumer.poll(0).records] == [1, 2]


def test_a_crashed_member_is_replaced(cluster: MemoryCluster) -> None:
    """Its partitions go to the others, from its commits; itself can do nothing any more."""
    send(cluster, 3)
    first, second = member(cluster), member(cluster)
    first.poll(0)
    cluster.crash(first)
    with pytest.raises(BrokerError, match="closed"):
        first.poll(0)
    second.poll(0)
    assert second.assignment() == {P0, P1}
    assert len(second.poll(0).records) == 3


def test_deleted_records_are_skipped(cluster: MemoryCluster) -> None:
    """A commit that points to records retention has deleted begins at the oldest that is left."""
    send(cluster, 5)
    consumer = member(cluster)
    consumer.commit({P0: Commit(1)})
    cluster.delete_records(P0, 3)
    cluster.crash(consumer)
    heir = member(cluster)
    assert heir.position(P0) == 3
    assert [record.offset for record in heir.poll(0).records] == [3, 4]
    assert [record.offset for record in cluster.read_to_end("chunks")] == [3, 4]


def test_a_poll_wakes_up_for_a_record(cluster: MemoryCluster) -> None:
    """A waiting poll returns when something arrives, not when its time is over."""
    import threading

    consumer = member(cluster)
    sender = threading.Timer(0.05, send, (cluster, 1))
    sender.start()
    assert len(consumer.poll(60).records) == 1
    sender.join()


@pytest.mark.parametrize("members", [1, 2, 3, 5, 7])
def test_members_share_fairly(members: int) -> None:
    """Nobody has two partitions more than another, every partition has one owner, and a leaver's go to the others."""
    with MemoryCluster() as cluster:
        cluster.admin().ensure_topics({"chunks": 5})
        consumers = [member(cluster) for _ in range(members)]
        for leaver in (None, *consumers[:-1]):
            if leaver is not None:
                leaver.close()
                consumers.remove(leaver)
            for consumer in consumers:
                consumer.poll(0)
            owned = [partition for consumer in consumers for partition in consumer.assignment()]
            assert sorted(owned) == [TopicPartition("chunks", index) for index in range(5)]
            counts = [len(consumer.assignment()) for consumer in consumers]
            assert max(counts) - min(counts) <= 1
