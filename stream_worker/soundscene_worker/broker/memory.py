"""The protocols of `protocol.py` inside this process: for tests, and for a demo without a broker.

Several consumers, each in its own thread or all in one, share partitions as group members do.
The faults of a real cluster can be ordered: see `MemoryCluster.outage` and the methods after it.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Self

from typing_extensions import override

from soundscene_worker.broker.connection import LARGEST_RECORD_BYTES, ConsumerTuning
from soundscene_worker.broker.errors import (
    BrokerError,
    BrokerUnreachable,
    CommitRefused,
    DeliveryFailed,
    RecordTooLarge,
    TopicMissing,
)
from soundscene_worker.broker.protocol import Admin, Cluster, Commit, Consumer, Polled, Producer, Record, TopicPartition
from soundscene_worker.broker.rebalance import Membership, shares
from soundscene_worker.broker.rights import Right
from soundscene_worker.broker.translation import WAYS_OUT

__all__ = ["MemoryAdmin", "MemoryCluster", "MemoryConsumer", "MemoryProducer"]

_POLL_RECORDS = ConsumerTuning().poll_records


@dataclass(slots=True)
class _Log:
    """One partition: records from `start` on; older ones have been deleted."""

    records: list[Record] = field(default_factory=list)
    start: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.records)

    def read(self, offset: int, most: int) -> list[Record]:
        first = offset - self.start
        return self.records[first : first + most]

    def span(self, since_ms: int | None, until_ms: int | None) -> range:
        first = self.start if since_ms is None else self._offset_at(since_ms)
        return range(first, max(first, self.end if until_ms is None else self._offset_at(until_ms)))

    def _offset_at(self, time_ms: int) -> int:
        return next((record.offset for record in self.records if record.timestamp_ms >= time_ms), self.end)


@dataclass(slots=True)
class _Group:
    commits: dict[TopicPartition, Commit] = field(default_factory=dict)
    members: list[MemoryConsumer] = field(default_factory=list)
    owners: dict[TopicPartition, MemoryConsumer] = field(default_factory=dict)


class MemoryCluster(Cluster):
    """See `protocol.Cluster`.

    Parameters
    ----------
    now_ms : callable
        Returns the time stamp of a record that is sent without one.
    """

    def __init__(self, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.now_ms = now_ms
        self.changed = threading.Condition()  # guards everything below
        self.topics: dict[str, list[_Log]] = {}
        self.groups: dict[str, _Group] = {}
        self.is_down = False
        self.denied: set[Right] = set()  # what the user may not
        self._commits_to_refuse = 0
        self._deliveries_to_fail = 0

    @override
    def consumer(self, group_id: str, topics: Iterable[str]) -> MemoryConsumer:
        with self.changed:
            self.require_up()
            partitions = [partition for topic in topics for partition in self.partitions(topic)]
            consumer = MemoryConsumer(self, group_id, frozenset(partitions))
            self.groups.setdefault(group_id, _Group()).members.append(consumer)
            self._rebalance(group_id)
        return consumer

    @override
    def producer(self) -> MemoryProducer:
        self.require_up()
        return MemoryProducer(self)

    @override
    def admin(self) -> MemoryAdmin:
        self.require_up()
        return MemoryAdmin(self)

    @override
    def spans(
        self, topic: str, since_ms: int | None = None, until_ms: int | None = None
    ) -> dict[TopicPartition, range]:
        with self.changed:
            self.require_up()
            return {p: self.log(p).span(since_ms, until_ms) for p in self.partitions(topic)}

    @override
    def read(self, spans: Mapping[TopicPartition, range]) -> Iterator[Record]:
        with self.changed:
            self.require_up()
            records = [record for p, span in spans.items() for record in self.log(p).records if record.offset in span]
        yield from records

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(self, *_: object) -> None:
        for group in tuple(self.groups.values()):
            for consumer in tuple(group.members):
                consumer.close()

    def outage(self, is_down: bool = True) -> None:
        """Take the broker away, or bring it back with all its data."""
        with self.changed:
            self.is_down = is_down
            self.changed.notify_all()

    def refuse_next_commit(self) -> None:
        """Let the next commit meet a rebalance that leaves the assignment as it is."""
        self._commits_to_refuse += 1

    def fail_next_delivery(self) -> None:
        """Lose the next record sent; its flush says so."""
        self._deliveries_to_fail += 1

    def expire(self, consumer: MemoryConsumer) -> None:
        """Let the group go on without a silent member, which finds out later and joins again."""
        with self.changed:
            group = self.groups[consumer.group_id]
            mine = [partition for partition, owner in group.owners.items() if owner is consumer]
            consumer.membership.note("lost", mine)
            for partition in mine:
                del group.owners[partition]
            self._rebalance(consumer.group_id)

    def crash(self, consumer: MemoryConsumer) -> None:
        """End a member as a power cut would: no commit, no farewell."""
        consumer.close()

    def delete_records(self, partition: TopicPartition, before_offset: int) -> None:
        """Delete the oldest records, as retention does."""
        with self.changed:
            log = self.log(partition)
            log.records = log.read(before_offset, len(log.records))
            log.start = before_offset

    def require_up(self) -> None:
        """Raise BrokerUnreachable during an outage."""
        if self.is_down:
            raise BrokerUnreachable("the broker in memory is down; end the outage")

    def partitions(self, topic: str) -> list[TopicPartition]:
        """Return a topic's partitions, or raise TopicMissing."""
        if topic not in self.topics:
            raise TopicMissing(f"there is no topic {topic!r} in memory; create the topic, or correct its name")
        return [TopicPartition(topic, index) for index in range(len(self.topics[topic]))]

    def log(self, partition: TopicPartition) -> _Log:
        """Return a partition's records."""
        return self.topics[partition.topic][partition.partition]

    def append(self, record: Record) -> bool:
        """Store a record at the end of its partition; return whether it was stored."""
        with self.changed:
            if self.is_down or self._deliveries_to_fail:
                self._deliveries_to_fail -= not self.is_down
                return False
            log = self.log(record.topic_partition)
            log.records.append(replace(record, offset=log.end))
            self.changed.notify_all()
            return True

    def store_commits(self, group_id: str, commits: Mapping[TopicPartition, Commit]) -> None:
        """Store commits, or raise what was ordered."""
        self.require_up()
        if self._commits_to_refuse:
            self._commits_to_refuse -= 1
            raise CommitRefused("a rebalance was ordered; poll on and commit again")
        self.groups[group_id].commits.update(commits)

    def leave(self, consumer: MemoryConsumer) -> None:
        """Remove a member."""
        with self.changed:
            group = self.groups[consumer.group_id]
            group.members = [member for member in group.members if member is not consumer]
            group.owners = {p: owner for p, owner in group.owners.items() if owner is not consumer}
            self._rebalance(consumer.group_id)

    def _rebalance(self, group_id: str) -> None:
        """Share the partitions evenly, moving only what must move."""
        group = self.groups[group_id]
        wanted = shares({member: member.wanted for member in group.members}, group.owners)
        for partition, member in wanted.items():
            owner = group.owners.get(partition)
            if owner is not None and owner is not member:
                owner.membership.note("revoked", [partition])
        for partition, member in wanted.items():
            if group.owners.get(partition) is not member:
                member.membership.note("assigned", [partition])
        group.owners = wanted
        self.changed.notify_all()


class MemoryConsumer(Consumer):
    """See `protocol.Consumer`."""

    def __init__(self, cluster: MemoryCluster, group_id: str, wanted: frozenset[TopicPartition]) -> None:
        self.group_id = group_id
        self.wanted = wanted
        self.membership = Membership()
        self._cluster = cluster
        self._next_offsets: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._has_polled = False
        self._closed = False

    @override
    def poll(self, timeout_seconds: float, max_records: int | None = None) -> Polled:
        if self._closed:
            raise BrokerError("this consumer is closed; make another")
        deadline = time.monotonic() + timeout_seconds
        with self._cluster.changed:
            while True:
                polled = Polled() if self._cluster.is_down else self._poll_now(max_records or _POLL_RECORDS)
                remaining = deadline - time.monotonic()
                if polled != Polled() or remaining <= 0:
                    return polled
                self._cluster.changed.wait(remaining)

    @override
    def assignment(self) -> frozenset[TopicPartition]:
        return self.membership.owned

    @override
    def committed(self, partition: TopicPartition) -> Commit | None:
        self._cluster.require_up()
        return self._cluster.groups[self.group_id].commits.get(partition)

    @override
    def position(self, partition: TopicPartition) -> int:
        self._cluster.require_up()
        return self._next_offsets[partition]

    @override
    def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        with self._cluster.changed:
            gone = self.membership.disputed(commits)
            if gone:
                raise CommitRefused(f"{', '.join(map(str, gone))} no longer belongs to this member; poll on")
            if commits:
                self._cluster.store_commits(self.group_id, commits)

    @override
    def seek(self, partition: TopicPartition, offset: int) -> None:
        if not self.membership.disputed([partition]):
            self._next_offsets[partition] = offset

    @override
    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused |= self.assignment().intersection(partitions)

    @override
    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused -= set(partitions)

    @override
    def lag(self) -> dict[TopicPartition, int]:
        return {p: max(0, self._cluster.log(p).end - at) for p, at in self._next_offsets.items()}

    @override
    def reachable(self) -> bool:
        return not self._cluster.is_down

    @override
    def joined(self) -> bool:
        return self._has_polled and not self._closed

    @override
    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._cluster.leave(self)

    def _poll_now(self, max_records: int) -> Polled:
        self._has_polled = True
        change = self.membership.tell()
        if any(change):
            gone = change.revoked | change.lost
            self._paused -= change.assigned | gone
            self._next_offsets = {p: at for p, at in self._next_offsets.items() if p not in gone}
            self._next_offsets.update({partition: self._start(partition) for partition in change.assigned})
            return Polled((), *change)
        records: list[Record] = []
        for partition in sorted(self.assignment() - self._paused):
            batch = self._read(partition, max_records - len(records))
            records += batch
            self._next_offsets[partition] += len(batch)
        return Polled(tuple(records))

    def _start(self, partition: TopicPartition) -> int:
        commit = self._cluster.groups[self.group_id].commits.get(partition)
        log = self._cluster.log(partition)
        return commit.offset if commit and log.start <= commit.offset <= log.end else log.start

    def _read(self, partition: TopicPartition, most: int) -> list[Record]:
        log, at = self._cluster.log(partition), self._next_offsets[partition]
        if not log.start <= at <= log.end:  # out of range: the oldest, as a Kafka consumer with our settings
            self._next_offsets[partition] = at = log.start
        return log.read(at, most)


class MemoryProducer(Producer):
    """See `protocol.Producer`. A record is stored when it is sent."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster
        self._failed = 0
        self._without_key = count()

    @override
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
        if len(value or b"") > LARGEST_RECORD_BYTES:
            raise RecordTooLarge(f"got a record of {len(value or b'')} bytes; {WAYS_OUT[RecordTooLarge]}")
        partitions = len(self._cluster.partitions(topic))
        if partition is None:
            partition = (next(self._without_key) if key is None else zlib.crc32(key)) % partitions
        at_ms = self._cluster.now_ms() if timestamp_ms is None else timestamp_ms
        record = Record(topic, partition, -1, at_ms, key, value, tuple(headers))
        self._failed += not self._cluster.append(record)

    @override
    def flush(self, timeout_seconds: float) -> None:
        failed, self._failed = self._failed, 0
        if failed:
            raise DeliveryFailed(f"{failed} records were not acknowledged; send them again")

    @override
    def close(self) -> None: ...


class MemoryAdmin(Admin):
    """See `protocol.Admin`."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster

    @override
    def topics(self) -> dict[str, int]:
        self._cluster.require_up()
        return {name: len(logs) for name, logs in self._cluster.topics.items()}

    @override
    def missing_rights(self, rights: Iterable[Right]) -> list[Right]:
        self._cluster.require_up()
        return [right for right in rights if right in self._cluster.denied]

    @override
    def ensure_topics(self, partitions: Mapping[str, int]) -> None:
        self._cluster.require_up()
        with self._cluster.changed:
            for name, number in partitions.items():
                self._cluster.topics.setdefault(name, [_Log() for _ in range(number)])

    @override
    def close(self) -> None: ...
