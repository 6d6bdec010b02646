"""What the worker asks of a log of records, whoever keeps it: `kafka.py` a real cluster, `memory.py` this process.

Every call is made by one thread per consumer and one per producer. What may block says for how long;
what may raise raises only errors of `broker.errors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from soundscene_worker.broker.rights import Right

__all__ = ["Admin", "Cluster", "Commit", "Consumer", "Headers", "Polled", "Producer", "Record", "TopicPartition"]

Headers = tuple[tuple[str, bytes], ...]
"""Names and values in the order of the record; a name may occur twice."""


class TopicPartition(NamedTuple):
    """One ordered log."""

    topic: str
    partition: int

    def __str__(self) -> str:
        """Return it as messages name it: `audio.chunks[3]`."""
        return f"{self.topic}[{self.partition}]"


@dataclass(frozen=True, slots=True)
class Record:
    """One record as the log keeps it.

    Parameters
    ----------
    topic, partition, offset
        Where it lies.
    timestamp_ms : int
        Milliseconds since 1970, set by the producer or the broker as the topic is configured.
    key, value : bytes or None
    headers : tuple of (str, bytes)
        A header without a value is read as empty.
    fault : str
        Why it could not be read, with whatever lay beside it in its batch; empty for every other record.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    fault: str = ""

    @property
    def topic_partition(self) -> TopicPartition:
        """The log it belongs to."""
        return TopicPartition(self.topic, self.partition)

    def header(self, name: str) -> bytes | None:
        """Return the last value under this name."""
        return next((value for key, value in reversed(self.headers) if key == name), None)


@dataclass(frozen=True, slots=True)
class Commit:
    """Where a group begins again, and a note to itself.

    Parameters
    ----------
    offset : int >= 0
        First offset to read.
    metadata : str
        At most 4096 bytes on a broker with default settings.
    """

    offset: int
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Polled:
    """What happened since the last poll, in this order: revoked and lost, then assigned, then records.

    Parameters
    ----------
    records : tuple of Record
        In log order within each partition; only of partitions that are assigned.
    assigned : frozenset of TopicPartition
        Begin these anew. One that was taken away and came back between two polls is in both sets.
    revoked : frozenset of TopicPartition
        Given up in an orderly rebalance. They may already belong to somebody else: commit nothing for them.
    lost : frozenset of TopicPartition
        Gone because the group has gone on without this member.
    """

    records: tuple[Record, ...] = ()
    assigned: frozenset[TopicPartition] = frozenset()
    revoked: frozenset[TopicPartition] = frozenset()
    lost: frozenset[TopicPartition] = frozenset()


class Consumer(Protocol):
    """A member of a consumer group. It commits only what it is told to, and never by itself."""

    def poll(self, timeout_seconds: float, max_records: int | None = None) -> Polled:
        """Return new records and changes of the assignment; call it all the time, paused or not.

        Blocks for `timeout_seconds` at most, less when records are there.
        A new partition starts at the group's commit, without one at the oldest record.

        Raises
        ------
        BrokerError
            The broker refuses (`AccessDenied`), or a partition can no longer be read. An outage raises nothing:
            nothing arrives, and the client connects again by itself.
        """

    def assignment(self) -> frozenset[TopicPartition]:
        """Return what the last poll left assigned. Does not block."""

    def committed(self, partition: TopicPartition) -> Commit | None:
        """Return the group's commit, None when there is none. Asks the broker.

        Raises
        ------
        BrokerUnreachable
            No answer in time.
        AccessDenied
            This user may not read for the group.
        """

    def position(self, partition: TopicPartition) -> int:
        """Return the offset of the next record `poll` will return. Asks the broker for a partition just assigned.

        Raises
        ------
        BrokerUnreachable
            No answer in time.
        AccessDenied
            This user may not read for the group, or not from the topic.
        """

    def commit(self, commits: Mapping[TopicPartition, Commit]) -> None:
        """Store commits for the group; returns when the broker has them. Nothing to commit is no request.

        Raises
        ------
        CommitRefused
            A rebalance is under way, or a partition is not this member's. Nothing was stored, or not all of it.
        BrokerUnreachable
            No answer in time; whether it was stored is unknown, and committing again is harmless.
        AccessDenied
            This user may not read for the group.
        """

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on at `offset` with the next poll; nothing happens to a partition that is gone. Does not block."""

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Return no records of these until resumed; membership goes on. Does not block."""

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Undo `pause`. Does not block."""

    def lag(self) -> dict[TopicPartition, int]:
        """Return how many records lie ahead, as far as known from what was fetched. Does not block; raises nothing."""

    def reachable(self) -> bool:
        """Tell whether a broker is connected now. Does not block; any thread may ask."""

    def joined(self) -> bool:
        """Tell whether the group counts this member in, with partitions or without. Does not block; any thread."""

    def close(self) -> None:
        """Leave the group, committing nothing. Blocks briefly; may be called twice; raises nothing."""


class Producer(Protocol):
    """Sends records and says when all of them are stored."""

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
        """Queue a record. The key decides the partition unless one is named; the time is now unless it is given.

        Blocks only while the buffer is full or the topic's partitions are not known yet.

        Raises
        ------
        RecordTooLarge
            This record can never be sent.
        TopicMissing, DeliveryDenied, AccessDenied, BrokerUnreachable
            Known at once; otherwise `flush` tells.
        """

    def flush(self, timeout_seconds: float) -> None:
        """Return when every record sent so far is stored on all replicas the topic asks for.

        Raises
        ------
        DeliveryFailed
            One was refused, as `DeliveryDenied` for want of a right, or the time ran out. What failed is not sent
            again: the caller sends it again or gives it up. The next flush speaks of later records only.
        """

    def close(self) -> None:
        """Flush as far as a few seconds allow and let go. May be called twice; raises nothing."""


class Admin(Protocol):
    """Looks at topics and makes them; what asks the broker raises BrokerUnreachable and AccessDenied."""

    def topics(self) -> dict[str, int]:
        """Return the names of all topics and their number of partitions. Asks the broker."""

    def missing_rights(self, rights: Iterable[Right]) -> list[Right]:
        """Return those of `rights` that the broker denies this user.

        For a topic that does not exist it answers as for the topic's name; a broker that does not tell denies nothing.
        """

    def ensure_topics(self, partitions: Mapping[str, int]) -> None:
        """Create the topics that do not exist, with so many partitions; the others stay as they are."""

    def close(self) -> None:
        """Let go. May be called twice."""


class Cluster(Protocol):
    """Brokers that belong together: makes consumers, producers and readers.

    Each method connects; it raises BrokerUnreachable when nobody answers in time, and AccessDenied when the
    broker does not know us or we do not trust it.
    """

    def consumer(self, group_id: str, topics: Iterable[str]) -> Consumer:
        """Return a new member of a group; raises TopicMissing when a topic does not exist."""

    def producer(self) -> Producer:
        """Return a new producer."""

    def admin(self) -> Admin:
        """Return a way to look at topics and make them."""

    def spans(
        self, topic: str, since_ms: int | None = None, until_ms: int | None = None
    ) -> dict[TopicPartition, range]:
        """Return the offsets of each partition as they are now, or those between two times; raises TopicMissing.

        A span begins with the first record whose time stamp is `since_ms` or later, and ends before the first whose
        time stamp is `until_ms` or later. Times are the records' own: where these go back and forth, so do the spans.
        """

    def read(self, spans: Mapping[TopicPartition, range]) -> Iterator[Record]:
        """Yield the records with these offsets, without a group.

        Partitions come in no particular order, records within one in log order; what the log no longer holds is
        left out.
        """

    def read_to_end(self, topic: str) -> Iterator[Record]:
        """Yield all records of a topic up to the ends as they were when reading began; raises TopicMissing."""
        yield from self.read(self.spans(topic))

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """Close what it has made."""
