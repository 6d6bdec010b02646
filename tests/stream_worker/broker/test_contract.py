"""What every broker promises, held to the one in memory and to a real Kafka with both ways of sharing partitions."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

import pytest

from soundscene_worker.broker.connection import ConsumerTuning, KafkaConnection, ProducerTuning
from soundscene_worker.broker.errors import BrokerError, CommitRefused, RecordTooLarge, TopicMissing
from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.broker.protocol import Cluster, Commit, Record, TopicPartition
from soundscene_worker.broker.rights import of_worker
from tests.stream_worker.broker.contract import PATIENCE_SECONDS, Seen, fill, partitions, send_and_flush


@pytest.fixture(
    params=[
        "memory",
        pytest.param("cooperative-sticky", marks=pytest.mark.integration),
        pytest.param("range", marks=pytest.mark.integration),
    ]
)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if request.param == "memory":
        with MemoryCluster() as memory:
            yield memory
        return
    from soundscene_worker.broker.kafka import KafkaCluster

    connection = KafkaConnection((request.getfixturevalue("kafka_bootstrap"),))
    consuming = ConsumerTuning(session_timeout_seconds=6, heartbeat_seconds=0.3, assignor=request.param)
    with KafkaCluster(connection, consuming, ProducerTuning(block_seconds=2)) as kafka:
        yield kafka


@pytest.fixture
def topic(cluster: Cluster) -> str:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    cluster.admin().ensure_topics({name: 4})
    return name


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


class TestRecords:
    def test_a_record_comes_back_as_it_was_sent(self, cluster: Cluster, topic: str) -> None:
        """Key, value, headers in order, time stamp and partition survive; a record may lack a value."""
        producer = cluster.producer()
        headers = (("ce_id", b"1"), ("ce_id", b"2"), ("empty", b""), ("binary", bytes(range(256))))
        producer.send(topic, b"device", b"\x00\xff" * 50_000, headers, timestamp_ms=1_700_000_000_123, partition=3)
        producer.send(topic, b"device", None, partition=3)
        producer.flush(PATIENCE_SECONDS)
        first, second = cluster.read_to_end(topic)
        assert first == Record(topic, 3, 0, 1_700_000_000_123, b"device", b"\x00\xff" * 50_000, headers)
        assert first.header("ce_id") == b"2"
        assert first.header("absent") is None
        assert (second.value, second.offset, second.headers) == (None, 1, ())
        assert abs(second.timestamp_ms - time.time() * 1000) < 60_000

    def test_one_key_keeps_to_one_partition_and_its_order(self, cluster: Cluster, topic: str) -> None:
        """Records of one device come back in the order they were sent; several devices use several partitions."""
        fill(cluster, topic, 90)
        records = list(cluster.read_to_end(topic))
        assert len({record.partition for record in records}) > 1
        for device in {record.key for record in records}:
            own = [record for record in records if record.key == device]
            assert len({record.partition for record in own}) == 1
            assert [record.value for record in own] == sorted(record.value or b"" for record in own)

    def test_reading_to_the_end_ends_where_it_was(self, cluster: Cluster, topic: str) -> None:
        """What is sent while a topic is being read is left for the next time; an empty topic yields nothing."""
        assert list(cluster.read_to_end(topic)) == []
        values = fill(cluster, topic)
        reading = cluster.read_to_end(topic)
        read = [next(reading)]
        fill(cluster, topic, prefix="later")
        read += reading
        assert sorted(record.value or b"" for record in read) == values

    def test_a_record_that_is_too_large_is_refused_at_once(self, cluster: Cluster, topic: str) -> None:
        """Two megabytes never leave the producer, and the next record is not harmed."""
        producer = cluster.producer()
        with pytest.raises(RecordTooLarge, match="a producer takes 1048576 bytes"):
            producer.send(topic, b"device", bytes(2_000_000))
        producer.send(topic, b"device", b"small")
        producer.flush(PATIENCE_SECONDS)
        assert [record.value for record in cluster.read_to_end(topic)] == [b"small"]


class TestReading:
    def test_a_span_of_time_holds_the_records_of_that_time(self, cluster: Cluster, topic: str) -> None:
        """From the first record at a time, up to the first one at another; open ends are the log's own."""
        producer = cluster.producer()
        for number in range(10):
            producer.send(topic, None, b"%d" % number, timestamp_ms=1_000 * (number + 1), partition=number % 2)
        producer.flush(PATIENCE_SECONDS)

        def values(since_ms: int | None, until_ms: int | None) -> list[int]:
            return sorted(int(r.value or b"") for r in cluster.read(cluster.spans(topic, since_ms, until_ms)))

        assert values(None, None) == list(range(10))
        assert values(4_000, 7_000) == [3, 4, 5]
        assert values(4_001, None) == [4, 5, 6, 7, 8, 9]
        assert values(None, 1) == values(11_000, None) == values(7_000, 4_000) == []
        assert set(cluster.spans(topic)) == set(partitions(topic))

    def test_offsets_are_read_and_no_others(self, cluster: Cluster, topic: str) -> None:
        """Records outside the spans are left out, offsets that the log does not hold too."""
        producer, end = cluster.producer(), 10
        first, second = partitions(topic)[:2]
        for number in range(2 * end):
            producer.send(topic, None, b"%d" % number, partition=number % 2)
        producer.flush(PATIENCE_SECONDS)
        records = list(cluster.read({first: range(1, 3), second: range(end - 1, end)}))
        found = sorted((record.topic_partition, record.offset) for record in records)
        assert found == [(first, 1), (first, 2), (second, end - 1)]
        assert list(cluster.read({})) == []


class TestTopics:
    def test_topics_are_made_once(self, cluster: Cluster, topic: str) -> None:
        """Ensuring a topic that exists changes nothing."""
        admin = cluster.admin()
        admin.ensure_topics({topic: 9, f"{topic}-b": 2})
        topics = admin.topics()
        assert (topics[topic], topics[f"{topic}-b"]) == (4, 2)

    def test_a_missing_topic_is_named(self, cluster: Cluster, group: str) -> None:
        """Consuming, reading and sending to a topic that does not exist fails, naming it and the way out."""
        with pytest.raises(TopicMissing, match=r"nowhere.*create the topic"):
            cluster.consumer(group, ["nowhere"])
        with pytest.raises(TopicMissing, match="nowhere"):
            list(cluster.read_to_end("nowhere"))
        with pytest.raises(TopicMissing, match="nowhere"):
            cluster.spans("nowhere", since_ms=1)
        with pytest.raises(BrokerError):
            send_and_flush(cluster, "nowhere")


class TestGroup:
    def test_a_new_group_begins_at_the_oldest_record(self, cluster: Cluster, topic: str, group: str) -> None:
        """A first member gets all partitions, then every record that was there before, then what comes."""
        values = fill(cluster, topic)
        seen = Seen(cluster.consumer(group, [topic]))
        assert not seen.consumer.joined()
        seen.until(lambda: seen.owned == set(partitions(topic)))
        assert seen.consumer.joined()
        assert not seen.records, "partitions are announced one poll before their records"
        assert [seen.consumer.position(p) for p in partitions(topic)] == [0] * 4
        assert [seen.consumer.committed(p) for p in partitions(topic)] == [None] * 4
        seen.until(lambda: len(seen.records) == len(values))
        values += fill(cluster, topic, prefix="later")
        seen.until(lambda: len(seen.records) == len(values))
        assert seen.values() == sorted(values)
        assert len(seen.changes) == 1

    def test_a_poll_takes_no_more_than_asked(self, cluster: Cluster, topic: str, group: str) -> None:
        """A poll returns at most so many records, and the next one goes on."""
        values = fill(cluster, topic)
        seen = Seen(cluster.consumer(group, [topic]))
        seen.until(lambda: bool(seen.owned))
        while len(seen.records) < len(values):
            polled = seen.consumer.poll(1.0, max_records=3)
            assert len(polled.records) <= 3
            seen.records += polled.records
        assert seen.values() == values

    def test_a_commit_and_its_metadata_survive_the_member(self, cluster: Cluster, topic: str, group: str) -> None:
        """The next member of the group begins where the commit says and finds the note."""
        fill(cluster, topic)
        seen = Seen(cluster.consumer(group, [topic]))
        seen.until(lambda: len(seen.records) == 40)
        target = max(partitions(topic), key=lambda p: sum(r.topic_partition == p for r in seen.records))
        commit = Commit(2, '{"v":1,"done":7,"clock":null}')
        seen.consumer.commit({target: commit})
        seen.consumer.commit({})
        assert seen.consumer.committed(target) == commit
        seen.consumer.close()
        heir = Seen(cluster.consumer(group, [topic]))
        heir.until(lambda: len(heir.records) == 38)
        assert heir.consumer.committed(target) == commit
        assert min(record.offset for record in heir.records if record.topic_partition == target) == 2

    def test_two_members_share_and_one_inherits(self, cluster: Cluster, topic: str, group: str) -> None:
        """A second member takes half; when it leaves, the first gets everything back, from the commits."""
        first = Seen(cluster.consumer(group, [topic]))
        first.until(lambda: len(first.owned) == 4)
        second = Seen(cluster.consumer(group, [topic]))
        first.until(lambda: len(first.owned) == len(second.owned) == 2, second)
        assert first.owned | second.owned == set(partitions(topic))
        fill(cluster, topic)
        first.until(lambda: len(first.records) + len(second.records) == 40, second)
        moved = min(second.owned)
        second.commit({moved: Commit(1, "half")}, first)
        second.consumer.close()
        first.records.clear()
        first.until(lambda: len(first.owned) == 4)
        assert first.consumer.committed(moved) == Commit(1, "half")
        expected = [r for r in cluster.read_to_end(topic) if r.topic_partition == moved and r.offset >= 1]
        first.until(lambda: sum(r.topic_partition == moved for r in first.records) == len(expected))
        assert [r for r in first.records if r.topic_partition == moved] == expected

    def test_every_new_assignment_begins_at_the_commit(self, cluster: Cluster, topic: str, group: str) -> None:
        """A member that had read ahead of its commits reads again what a rebalance took away and gave back."""
        values = fill(cluster, topic)
        first = Seen(cluster.consumer(group, [topic]))
        first.until(lambda: len(first.records) == len(values))
        first.commit({p: Commit(3) for p in first.owned})
        second = Seen(cluster.consumer(group, [topic]))
        first.until(lambda: len(first.owned) == len(second.owned) == 2, second)
        given_again = frozenset[TopicPartition]().union(*(change.assigned for change in first.changes[1:]))
        expected = [r for r in cluster.read_to_end(topic) if r.topic_partition in given_again and r.offset >= 3]
        first.until(lambda: len(first.records) >= len(values) + len(expected), second)
        again = [r for r in first.records[len(values) :] if r.topic_partition in first.owned]
        assert sorted(r.value or b"" for r in again) == sorted(
            r.value or b"" for r in expected if r.topic_partition in first.owned
        )

    def test_a_member_cannot_commit_what_it_does_not_have(self, cluster: Cluster, topic: str, group: str) -> None:
        """A commit for a partition that went to somebody else is refused, not fatal, and stores nothing."""
        first = Seen(cluster.consumer(group, [topic]))
        with pytest.raises(CommitRefused, match="poll on"):
            first.consumer.commit({partitions(topic)[0]: Commit(0)})
        first.until(lambda: len(first.owned) == 4)
        second = Seen(cluster.consumer(group, [topic]))
        first.until(lambda: len(first.owned) == len(second.owned) == 2, second)
        gone, kept = min(second.owned), min(first.owned)
        with pytest.raises(CommitRefused, match="poll on"):
            first.consumer.commit({gone: Commit(0), kept: Commit(0)})
        assert first.consumer.committed(kept) is None
        first.commit({kept: Commit(0)}, second)

    def test_two_groups_do_not_see_each_other(self, cluster: Cluster, topic: str, group: str) -> None:
        """Another group reads everything, whatever the first has committed."""
        values = fill(cluster, topic)
        for name in (group, f"{group}-2"):
            seen = Seen(cluster.consumer(name, [topic]))
            seen.until(lambda seen=seen: len(seen.records) == len(values))  # type: ignore[misc]
            seen.consumer.commit({p: Commit(seen.consumer.position(p)) for p in seen.owned})
            assert seen.values() == values

    def test_more_members_than_partitions_are_idle_not_dead(self, cluster: Cluster, group: str) -> None:
        """A member without a partition polls on and takes over when the other leaves."""
        name = f"contract-{uuid.uuid4().hex[:8]}"
        cluster.admin().ensure_topics({name: 1})
        first, second = Seen(cluster.consumer(group, [name])), Seen(cluster.consumer(group, [name]))
        both = (first, second)
        first.until(
            lambda: all(seen.consumer.joined() for seen in both) and sum(len(seen.owned) for seen in both) == 1, second
        )
        busy, idle = (first, second) if first.owned else (second, first)
        assert not idle.owned
        busy.consumer.close()
        idle.until(lambda: len(idle.owned) == 1)


class TestPosition:
    def test_pause_holds_records_and_not_the_member(self, cluster: Cluster, topic: str, group: str) -> None:
        """A paused partition yields nothing while others go on; nothing is lost or repeated after resuming."""
        seen = Seen(cluster.consumer(group, [topic]))
        seen.until(lambda: len(seen.owned) == 4)
        held = partitions(topic)[:2]
        seen.consumer.pause(held)
        values = fill(cluster, topic)
        free = [r for r in cluster.read_to_end(topic) if r.topic_partition not in held]
        seen.until(lambda: len(seen.records) == len(free))
        for _ in range(3):
            assert not seen.poll().records
        seen.consumer.resume(held)
        seen.until(lambda: len(seen.records) == len(values))
        assert seen.values() == values

    def test_a_partition_paused_as_it_arrives_yields_nothing(self, cluster: Cluster, topic: str, group: str) -> None:
        """A caller that pauses in answer to `assigned` has not been handed a record before."""
        fill(cluster, topic)
        seen = Seen(cluster.consumer(group, [topic]))
        seen.until(lambda: len(seen.owned) == 4)
        seen.consumer.pause(seen.owned)
        for _ in range(3):
            assert not seen.poll().records
        seen.consumer.resume(seen.owned)
        seen.until(lambda: len(seen.records) == 40)

    def test_seek_goes_back_and_forth(self, cluster: Cluster, topic: str, group: str) -> None:
        """Reading goes on where it was told to, also for a partition that was just assigned."""
        producer = cluster.producer()
        target = TopicPartition(topic, 1)
        for index in range(10):
            producer.send(topic, None, b"%d" % index, partition=1)
        producer.flush(PATIENCE_SECONDS)
        seen = Seen(cluster.consumer(group, [topic]))
        seen.until(lambda: len(seen.owned) == 4)
        seen.consumer.seek(target, 6)
        seen.until(lambda: len(seen.records) == 4)
        seen.consumer.seek(target, 8)
        assert seen.consumer.position(target) == 8
        seen.until(lambda: len(seen.records) == 6)
        assert [record.offset for record in seen.records] == [6, 7, 8, 9, 8, 9]

    def test_lag_and_ends_count_what_lies_ahead(self, cluster: Cluster, topic: str, group: str) -> None:
        """Lag is known for every partition once records were fetched, and falls to 0 when all are read."""
        fill(cluster, topic)
        seen = Seen(cluster.consumer(group, [topic]))
        seen.until(lambda: len(seen.records) == 40)
        seen.until(lambda: seen.consumer.lag() == dict.fromkeys(partitions(topic), 0))
        ends = {partition: span.stop for partition, span in cluster.spans(topic).items()}
        assert sum(ends.values()) == 40
        assert all(seen.consumer.position(p) == ends[p] for p in partitions(topic))
        paused = max(ends, key=lambda p: ends[p])
        seen.consumer.seek(paused, 1)
        assert seen.consumer.lag()[paused] == ends[paused] - 1

    def test_a_commit_outside_the_log_falls_back_to_the_oldest(self, cluster: Cluster, topic: str, group: str) -> None:
        """A topic that was made anew under an old group is read from its beginning, not skipped."""
        seen = Seen(cluster.consumer(group, [topic]))
        seen.until(lambda: len(seen.owned) == 4)
        seen.consumer.commit({p: Commit(1_000) for p in seen.owned})
        seen.consumer.close()
        values = fill(cluster, topic)
        heir = Seen(cluster.consumer(group, [topic]))
        heir.until(lambda: len(heir.owned) == 4)
        heir.begins.clear()
        heir.until(lambda: len(heir.records) == 40)
        assert heir.values() == values


class TestEnd:
    def test_closing_twice_is_harmless_and_commits_nothing(self, cluster: Cluster, topic: str, group: str) -> None:
        """What was read but not committed is read again by the next member."""
        values = fill(cluster, topic)
        for _ in range(2):
            seen = Seen(cluster.consumer(group, [topic]))
            seen.until(lambda seen=seen: len(seen.records) == 40)  # type: ignore[misc]
            assert seen.values() == values
            assert seen.consumer.reachable()
            seen.consumer.close()
            assert not seen.consumer.joined()
            seen.consumer.close()
        producer = cluster.producer()
        producer.close()
        producer.close()


def test_a_cluster_without_access_control_denies_nothing(cluster: Cluster, topic: str, group: str) -> None:
    """No right is missing where nobody asks for one, also on what does not exist."""
    assert cluster.admin().missing_rights(of_worker(topic, "nowhere", topic, group)) == []
