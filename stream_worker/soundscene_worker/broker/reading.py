"""Reading a topic with the client library; this file needs no library."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from soundscene_worker.broker.errors import BrokerUnreachable
from soundscene_worker.broker.protocol import Record, TopicPartition
from soundscene_worker.broker.translation import WAYS_OUT, translated

__all__ = ["Unreadable", "poll", "read", "record_of", "spans"]

_OUTAGE_PAUSE_SECONDS: Final = 0.1


class Unreadable(bytes):
    """Stands where a record's value would, and says why there is none."""


def poll(client: Any, timeout_seconds: float, max_records: int | None) -> dict[Any, list[Any]]:
    """Return the library's records; none in an outage, which it raises only when it meets one half-way."""
    try:
        with translated("polling"):
            return dict(client.poll(round(1000 * timeout_seconds), max_records))
    except BrokerUnreachable:
        time.sleep(min(timeout_seconds, _OUTAGE_PAUSE_SECONDS))  # it may fail at once, and again
        return {}


def record_of(theirs: Any) -> Record:
    """Return our record for one of the library's."""
    if isinstance(theirs.value, Unreadable):
        why = theirs.value.decode()
        return Record(theirs.topic, theirs.partition, theirs.offset, theirs.timestamp, None, None, fault=why)
    headers = tuple((name, b"" if value is None else value) for name, value in theirs.headers or ())
    return Record(theirs.topic, theirs.partition, theirs.offset, theirs.timestamp, theirs.key, theirs.value, headers)


def spans(
    client: Any, partitions: list[Any], since_ms: int | None, until_ms: int | None, timeout_ms: int
) -> dict[TopicPartition, range]:
    """Return the offsets of `partitions` between two times; see `protocol.Cluster.spans`."""
    with translated("asking for offsets"):
        begins = client.beginning_offsets(partitions, timeout_ms=timeout_ms)
        ends = client.end_offsets(partitions, timeout_ms=timeout_ms)
        firsts = begins if since_ms is None else _offsets_at(client, since_ms, ends, timeout_ms)
        stops = ends if until_ms is None else _offsets_at(client, until_ms, ends, timeout_ms)
    return {TopicPartition(p.topic, p.partition): range(firsts[p], max(firsts[p], stops[p])) for p in partitions}


def _offsets_at(client: Any, time_ms: int, ends: Mapping[Any, int], timeout_ms: int) -> dict[Any, int]:
    found = client.offsets_for_times(dict.fromkeys(ends, max(0, time_ms)), timeout_ms=timeout_ms)
    return {p: end if found.get(p) is None else found[p].offset for p, end in ends.items()}


def read(client: Any, wanted: Mapping[Any, range], patience_seconds: float) -> Iterator[Record]:
    """Yield the records with these offsets.

    Parameters
    ----------
    client : kafka.KafkaConsumer
        Of no group.
    wanted : mapping of kafka.TopicPartition to range
        Which ones.
    patience_seconds : float > 0
        How long to wait for the next records.

    Raises
    ------
    BrokerUnreachable
        Nothing came in time.
    """
    with translated("reading a topic"):
        spans = {p: span for p, span in wanted.items() if span}
        client.assign(list(spans))
        for partition, span in spans.items():
            client.seek(partition, span.start)
        while spans:
            batches = client.poll(round(1000 * patience_seconds))
            spans = {p: span for p, span in spans.items() if client.position(p) < span.stop}
            if not batches and spans:
                raise BrokerUnreachable(f"nothing came for {patience_seconds:g} s; {WAYS_OUT[BrokerUnreachable]}")
            for partition, batch in batches.items():
                yield from (record_of(record) for record in batch if record.offset in wanted[partition])
            client.pause(*(p for p in client.assignment() if p not in spans))
