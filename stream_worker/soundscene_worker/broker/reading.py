"""Reading a topic with the client library, without a group; this file needs no library."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from soundscene_worker.broker.errors import BrokerUnreachable
from soundscene_worker.broker.protocol import Record
from soundscene_worker.broker.translation import WAYS_OUT, translated

__all__ = ["read_to_end", "record_of"]


def record_of(theirs: Any) -> Record:
    """Return our record for one of the library's."""
    headers = tuple((name, b"" if value is None else value) for name, value in theirs.headers or ())
    return Record(theirs.topic, theirs.partition, theirs.offset, theirs.timestamp, theirs.key, theirs.value, headers)


def read_to_end(client: Any, partitions: list[Any], patience_seconds: float) -> Iterator[Record]:
    """Yield the records of `partitions` from their beginnings to where they end now.

    Parameters
    ----------
    client : kafka.KafkaConsumer
        Of no group.
    partitions : list of kafka.TopicPartition
        Which ones.
    patience_seconds : float > 0
        How long to wait for the next records.

    Raises
    ------
    BrokerUnreachable
        Nothing came in time.
    """
    with translated("reading a topic"):
        client.assign(partitions)
        client.seek_to_beginning(*partitions)
        ends = client.end_offsets(partitions)
        open_ends = {p: end for p, end in ends.items() if client.position(p) < end}
        while open_ends:
            batches = client.poll(round(1000 * patience_seconds))
            if not batches:
                raise BrokerUnreachable(f"nothing came for {patience_seconds:g} s; {WAYS_OUT[BrokerUnreachable]}")
            for partition, batch in batches.items():
                yield from (record_of(record) for record in batch if record.offset < ends[partition])
            open_ends = {p: end for p, end in open_ends.items() if client.position(p) < end}
