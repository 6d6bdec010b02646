"""The protocols of `protocol.py` on a real Kafka cluster. With `batches.py` the only file that knows kafka-python."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from soundscene.errors import MissingExtraError
from soundscene_worker.broker import access, reading
from soundscene_worker.broker.connection import ATTEMPT_SETTINGS, ConsumerTuning, KafkaConnection, ProducerTuning
from soundscene_worker.broker.errors import BrokerError, BrokerUnreachable, CommitRefused, TopicMissing
from soundscene_worker.broker.overhearing import Ear, overheard, refusal
from soundscene_worker.broker.producing import KafkaProducer
from soundscene_worker.broker.protocol import Admin, Cluster, Commit, Consumer, Polled, Record, TopicPartition
from soundscene_worker.broker.reading import record_of
from soundscene_worker.broker.rebalance import Change, Membership
from soundscene_worker.broker.rights import Right
from soundscene_worker.broker.translation import WAYS_OUT, translated

try:
    import crc32c  # noqa: F401 - kafka-python takes it when it is there; without it a record costs 20 times the CPU
    import kafka
    from kafka import errors as kafka_errors
    from kafka.admin import NewTopic
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
    from kafka.coordinator.assignors.range import RangePartitionAssignor
    from kafka.net.compat import KafkaNetClient
    from kafka.net.selector import NetworkSelector
    from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
    from kafka.structs import MemberState
    from typing_extensions import override

    from soundscene_worker.broker.batches import guard_the_library
except ImportError as error:
    raise MissingExtraError(f"{error.name} is not installed: pip install 'soundscene[worker]'") from error

__all__ = ["KafkaAdmin", "KafkaCluster", "KafkaConsumer", "KafkaProducer"]

guard_the_library()

_ASSIGNORS: Final = {"cooperative-sticky": CooperativeStickyAssignor, "range": RangePartitionAssignor}
_CLOSE_SECONDS: Final = 5.0  # leaving a group is a courtesy: the session timeout does it otherwise


class KafkaConsumer(Consumer):
    """A group member; see `protocol.Consumer`.

    The library calls its rebalance listener on its own thread, where nothing may block. So the listener only writes
    down what happened and holds new partitions back; the next poll reports them, and the one after opens them.

    A partition that is taken away and comes back keeps its old position in the library, although its commit lies
    further back: it is sent back to the commit here.
    """

    def __init__(self, client: Any, topics: Iterable[str], request_timeout_seconds: float) -> None:
        self._client = client
        self._timeout_ms = round(1000 * request_timeout_seconds)
        self._membership = Membership()
        self._held_back: frozenset[TopicPartition] = frozenset()
        self._paused: set[TopicPartition] = set()
        self._next_offsets: dict[TopicPartition, int] = {}
        self._ever_owned: set[TopicPartition] = set()
        self._returning: set[TopicPartition] = set()
        self._closed = False
        metrics = client.metrics(raw=True)
        self._connection_count = next(metrics[name] for name in metrics if name.name == "connection-count")
        client.subscribe(list(topics), listener=_Listener(client, self._membership))

    @override
    def poll(self, timeout_seconds: float, max_records: int | None = None) -> Polled:
        self._open_held_back()
        batches = reading.poll(self._client, timeout_seconds, max_records)
        change = self._take_over_changes()
        # Records of a partition that has just changed hands were read before the change.
        current = self.assignment() - change.assigned
        records = tuple(record_of(r) for p, batch in batches.items() if _ours(p) in current for r in batch)
        self._next_offsets.update({record.topic_partition: record.offset + 1 for record in records})
        return Polled(records, *change)

    @override
    def assignment(self) -> frozenset[TopicPartition]:
        return self._membership.owned

    @override
    def committed(self, partition: TopicPartition) -> Commit | None:
        with translated(f"asking for the commit of {partition}"):
            found = self._client.committed(_theirs(partition), metadata=True, timeout_ms=self._timeout_ms)
        return None if found is None else Commit(found.offset, found.metadata or "")

    @override
    def position(self, partition: TopicPartition) -> int:
        if partition in self._returning:
            self._begin_at_commit(partition)
        if partition not in self._next_offsets:
            self._next_offsets[partition] = self._ask_position(partition, self._timeout_ms)
        return self._next_offsets[partition]

    @override
    def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        gone = self._membership.disputed(commits)
        if gone:
            names = ", ".join(map(str, gone))
            raise CommitRefused(f"{names} no longer belongs to this member; {WAYS_OUT[CommitRefused]}")
        offsets = {_theirs(p): kafka.OffsetAndMetadata(c.offset, c.metadata, -1) for p, c in commits.items()}
        with translated(f"committing {', '.join(map(str, commits))}"):
            self._client.commit(offsets, timeout_ms=self._timeout_ms)

    @override
    def seek(self, partition: TopicPartition, offset: int) -> None:
        if not self._membership.disputed([partition]):
            self._client.seek(_theirs(partition), offset)
            self._next_offsets[partition] = offset
            self._returning.discard(partition)

    @override
    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        chosen = self.assignment().intersection(partitions)
        self._paused |= chosen
        self._client.pause(*map(_theirs, chosen))

    @override
    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        chosen = self.assignment().intersection(partitions)
        self._paused -= chosen
        self._client.resume(*map(_theirs, chosen - self._held_back))

    @override
    def lag(self) -> dict[TopicPartition, int]:
        lags = {}
        for partition in self.assignment() - self._returning:
            with contextlib.suppress(kafka_errors.KafkaError, BrokerError):  # not known yet, or no longer ours
                end = self._client.highwater(_theirs(partition))
                if end is not None:
                    at = self._next_offsets.get(partition)
                    lags[partition] = max(0, end - (self._ask_position(partition, 0) if at is None else at))
        return lags

    @override
    def reachable(self) -> bool:
        return bool(self._connection_count.value() > 0)

    @override
    def joined(self) -> bool:
        return bool(self._client.group_metadata().state == MemberState.STABLE)

    @override
    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with contextlib.suppress(kafka_errors.KafkaError):
                self._client.close(autocommit=False, timeout_ms=round(1000 * _CLOSE_SECONDS))

    def _ask_position(self, partition: TopicPartition, timeout_ms: int) -> int:
        with translated(f"asking where to go on in {partition}"):
            at = self._client.position(_theirs(partition), timeout_ms=timeout_ms)
        if at is None:
            raise BrokerUnreachable(f"the broker did not say where to go on in {partition}")
        return int(at)

    def _begin_at_commit(self, partition: TopicPartition) -> None:
        commit = self.committed(partition)
        if commit is None:
            self._client.seek_to_beginning(_theirs(partition))
        else:
            self._client.seek(_theirs(partition), commit.offset)
        self._returning.discard(partition)

    def _open_held_back(self) -> None:
        for partition in self._held_back.difference(self._membership.disputed(self._held_back)):
            with contextlib.suppress(BrokerUnreachable):  # then it stays closed until the next poll
                if partition in self._returning:
                    self._begin_at_commit(partition)
                self._held_back -= {partition}
                if partition not in self._paused:
                    self._client.resume(_theirs(partition))

    def _take_over_changes(self) -> Change:
        change = self._membership.tell()
        changed = change.assigned | change.revoked | change.lost
        self._returning = (self._returning | (change.assigned & self._ever_owned)) & self.assignment()
        self._ever_owned |= change.assigned
        self._held_back = (self._held_back | change.assigned) & self.assignment()
        self._paused -= changed
        self._next_offsets = {p: at for p, at in self._next_offsets.items() if p not in changed}
        return change


class _Listener(kafka.ConsumerRebalanceListener):  # type: ignore[misc]  # the library ships no types
    """Writes down what the group decided. Runs on the library's own thread: must not block."""

    def __init__(self, client: Any, membership: Membership) -> None:
        self._client = client
        self._membership = membership

    @override
    def on_partitions_assigned(self, assigned: Any) -> None:
        self._client.pause(*assigned)  # opened again once the caller knows of them
        self._membership.note("assigned", map(_ours, assigned))

    @override
    def on_partitions_revoked(self, revoked: Any) -> None:
        self._membership.note("revoked", map(_ours, revoked))

    @override
    def on_partitions_lost(self, lost: Any) -> None:
        self._membership.note("lost", map(_ours, lost))


def _hear_last_words(transport: Any) -> None:
    """Let the library read what the broker said just before it hung up, as it does when it refuses a password.

    It drops what it received when it meets the end of the connection in the same go.
    """
    receive = transport._sock_recv

    def receive_before_the_end(self: Any) -> tuple[bytes, Exception | None]:
        data, error = receive(self)
        return data, None if data else error  # the next go meets the end again

    transport._sock_recv = receive_before_the_end


_hear_last_words(KafkaTCPTransport)
if KafkaSSLTransport._sock_recv is not KafkaTCPTransport._sock_recv:  # inherited, it would be wrapped twice
    _hear_last_words(KafkaSSLTransport)


class _AudibleSelector(NetworkSelector):  # type: ignore[misc]  # the library ships no types
    """Tells an ear on which thread a client talks to the brokers."""

    def __init__(self, ear: Ear, **settings: Any) -> None:
        super().__init__(**settings)
        self._ear = ear

    @override
    def run_forever(self) -> None:
        self._ear.listen_to_this_thread()
        super().run_forever()


class KafkaAdmin(Admin):
    """See `protocol.Admin`."""

    def __init__(self, client: Any, request_timeout_seconds: float) -> None:
        self._client = client
        self._timeout_seconds = request_timeout_seconds

    @override
    def topics(self) -> dict[str, int]:
        with translated("asking for the topics"):
            return {topic["name"]: len(topic["partitions"]) for topic in self._client.describe_topics()}

    @override
    def missing_rights(self, rights: Iterable[Right]) -> list[Right]:
        return access.missing_rights(self._client, rights, self._timeout_seconds)

    @override
    def ensure_topics(self, partitions: Mapping[str, int]) -> None:
        missing = {name: count for name, count in partitions.items() if name not in self.topics()}
        if not missing:
            return
        with translated(f"creating topics {', '.join(missing)}"):
            wanted = [NewTopic(name, count, replication_factor=-1) for name, count in missing.items()]
            with contextlib.suppress(kafka_errors.TopicAlreadyExistsError):  # somebody else was quicker
                self._client.create_topics(wanted)
            self._client.wait_for_topics(list(missing))

    @override
    def close(self) -> None:
        with contextlib.suppress(kafka_errors.KafkaError):
            self._client.close()


@dataclass(slots=True)
class KafkaCluster(Cluster):
    """See `protocol.Cluster`. Closes on exit what it has made.

    Parameters
    ----------
    connection : KafkaConnection
        Where the brokers are.
    consuming, producing
        How members and producers behave.
    """

    connection: KafkaConnection
    consuming: ConsumerTuning = field(default_factory=ConsumerTuning)
    producing: ProducerTuning = field(default_factory=ProducerTuning)
    _made: list[Callable[[], None]] = field(default_factory=list)

    @override
    def consumer(self, group_id: str, topics: Iterable[str]) -> KafkaConsumer:
        topics = list(topics)
        client = self._connect(
            kafka.KafkaConsumer,
            **self.consuming.client_settings(),
            group_id=group_id,
            partition_assignment_strategy=[_ASSIGNORS[self.consuming.assignor]],
        )
        consumer = KafkaConsumer(client, topics, self.connection.request_timeout_seconds)
        self._made.append(consumer.close)
        for topic in topics:  # also fetches what the first join would miss, which then would be made twice
            self._partitions(client, topic)
        return consumer

    @override
    def producer(self) -> KafkaProducer:
        settings = self.producing.client_settings()
        producer = KafkaProducer(lambda: self._connect(kafka.KafkaProducer, **settings), self.connection.servers_text)
        self._made.append(producer.close)
        return producer

    @override
    def admin(self) -> KafkaAdmin:
        admin = KafkaAdmin(self._connect(kafka.KafkaAdminClient), self.connection.request_timeout_seconds)
        self._made.append(admin.close)
        return admin

    @override
    def spans(
        self, topic: str, since_ms: int | None = None, until_ms: int | None = None
    ) -> dict[TopicPartition, range]:
        with self._reader() as client:
            partitions = [kafka.TopicPartition(topic, p) for p in self._partitions(client, topic)]
            timeout_ms = round(1000 * self.connection.request_timeout_seconds)
            return reading.spans(client, partitions, since_ms, until_ms, timeout_ms)

    @override
    def read(self, spans: Mapping[TopicPartition, range]) -> Iterator[Record]:
        with self._reader() as client:
            theirs = {_theirs(partition): span for partition, span in spans.items()}
            yield from reading.read(client, theirs, self.connection.request_timeout_seconds)

    @override
    def __enter__(self) -> Self:
        return self

    @override
    def __exit__(self, *_: object) -> None:
        while self._made:
            self._made.pop()()

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Any]:
        client = self._connect(kafka.KafkaConsumer, **self.consuming.client_settings(member=False))
        try:
            yield client
        finally:
            client.close(autocommit=False)

    def _partitions(self, client: Any, topic: str) -> list[int]:
        with translated(f"looking for topic {topic!r} at {self.connection.servers_text}"):
            found = client.partitions_for_topic(topic)
        if not found:
            where = self.connection.servers_text
            raise TopicMissing(f"there is no topic {topic!r} at {where}; {WAYS_OUT[TopicMissing]}")
        return sorted(found)

    def _connect(self, client: Callable[..., Any], **settings: Any) -> Any:
        where = self.connection
        begun: list[Any] = []

        def remember(**named: Any) -> Any:
            begun.append(KafkaNetClient(_AudibleSelector(ear, **named), **named | ATTEMPT_SETTINGS))
            return begun[-1]

        with overheard() as ear:
            try:
                return client(**where.client_settings(), **settings, kafka_client=remember)
            except (kafka_errors.KafkaError, OSError) as error:
                for unusable in begun:  # its thread would go on trying
                    unusable.close()
                doing = f"no connection to Kafka at {where.servers_text} within {where.connect_timeout_seconds:g} s"
                raise refusal(error, ear.causes, doing) from error


def _ours(partition: Any) -> TopicPartition:
    return TopicPartition(partition.topic, partition.partition)


def _theirs(partition: TopicPartition) -> Any:
    return kafka.TopicPartition(*partition)
