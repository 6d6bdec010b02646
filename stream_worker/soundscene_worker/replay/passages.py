"""Which records a replay reads, and which of their windows it publishes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from soundscene_worker.broker.protocol import Cluster, Record, TopicPartition

__all__ = ["Letters", "Passage", "between", "passages_of_range", "passages_of_refused", "read_letters"]

_LEAST_RECORDS: Final = 2_000
"""Records read after a refused one even if a time stamp from the future says that the margin is over."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of one partition that is read in one go.

    Parameters
    ----------
    offsets : range
        Records to read; the first ones only make the windows at the beginning whole.
    publish_from : int
        Windows completed by a record below this offset are not published.
    repaired : frozenset of int
        Offsets of records that were refused before; if there are any, only windows with their sound are published.
    """

    offsets: range
    publish_from: int
    repaired: frozenset[int] = frozenset()


class Refused(NamedTuple):
    """Where a refused record lies."""

    offset: int
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Letters:
    """What the dead letters say of a topic.

    Parameters
    ----------
    refused : mapping of TopicPartition to set of Refused
        Records they name.
    withheld : int
        Letters that were never written, because too many came at once.
    unreadable : int
        Records of the topic that are no dead letters.
    """

    refused: Mapping[TopicPartition, frozenset[Refused]]
    withheld: int
    unreadable: int


def passages_of_range(
    cluster: Cluster, topic: str, since_ms: int | None, until_ms: int | None, margin_ms: int
) -> dict[TopicPartition, list[Passage]]:
    """Return what to read for the windows completed between two times.

    Ranges that adjoin share no window and lose none: a window belongs to the range of the record that completed it.

    Parameters
    ----------
    cluster : Cluster
        The brokers.
    topic : str
        Of the chunks.
    since_ms, until_ms : int or None
        Times of records in milliseconds since 1970; None for the beginning and the end of the log.
    margin_ms : int >= 0
        How much of the log before that is read, so that windows are whole.

    Raises
    ------
    TopicMissing, BrokerUnreachable
    """
    wanted = cluster.spans(topic, since_ms, until_ms)
    wider = wanted if since_ms is None else cluster.spans(topic, since_ms - margin_ms, since_ms)
    return {p: [Passage(range(wider[p].start, span.stop), span.start)] for p, span in wanted.items() if span}


def read_letters(cluster: Cluster, letters_topic: str, chunks_topic: str) -> Letters:
    """Read all dead letters; those about other topics are left alone."""
    refused: dict[TopicPartition, set[Refused]] = {}
    withheld = unreadable = 0
    for letter in cluster.read_to_end(letters_topic):
        try:
            topic, partition, record = _origin(letter)
            left_out = int(letter.header("withheld_before") or b"0")
        except ValueError:
            unreadable += 1
            continue
        if topic == chunks_topic:
            withheld += left_out
            refused.setdefault(TopicPartition(topic, partition), set()).add(record)
    return Letters({p: frozenset(found) for p, found in refused.items()}, withheld, unreadable)


def between(letters: Letters, since_ms: int | None, until_ms: int | None) -> dict[TopicPartition, frozenset[Refused]]:
    """Return the refused records whose own time stamps lie between two times."""
    return {
        partition: frozenset(
            record
            for record in found
            if (since_ms is None or record.timestamp_ms >= since_ms)
            and (until_ms is None or record.timestamp_ms < until_ms)
        )
        for partition, found in letters.refused.items()
    }


def passages_of_refused(
    cluster: Cluster, topic: str, refused: Mapping[TopicPartition, Iterable[Refused]], margin_ms: int
) -> dict[TopicPartition, list[Passage]]:
    """Return what to read for the windows that refused records can complete once they are understood.

    Parameters
    ----------
    cluster : Cluster
        The brokers.
    topic : str
        Of the chunks.
    refused : mapping of TopicPartition to Refused
        The records; those the log no longer holds are read past.
    margin_ms : int >= 0
        How much of the log around each is read: a window needs its neighbours too.

    Raises
    ------
    TopicMissing, BrokerUnreachable
    """
    everything = cluster.spans(topic)
    times = sorted(record.timestamp_ms for found in refused.values() for record in found)
    passages: dict[TopicPartition, list[Passage]] = {}
    for first_ms, last_ms in _groups(times, 2 * margin_ms):
        around = cluster.spans(topic, first_ms - margin_ms, last_ms + margin_ms + 1)
        for partition, found in refused.items():
            log = everything.get(partition, range(0))
            here = frozenset(r.offset for r in found if first_ms <= r.timestamp_ms <= last_ms and r.offset in log)
            if here:
                passages.setdefault(partition, []).append(_around(here, around[partition], log))
    return passages


def _around(repaired: frozenset[int], near: range, everything: range) -> Passage:
    first = min(near.start, *repaired)
    stop = max(near.stop, min(everything.stop, max(repaired) + _LEAST_RECORDS))
    return Passage(range(first, stop), first, repaired)


def _groups(times: Iterable[int], longest_pause: int) -> Iterator[tuple[int, int]]:
    """Yield first and last of times that follow each other within a pause; they must be sorted."""
    first = last = None
    for time in times:
        if first is None or last is None:
            first = time
        elif time - last > longest_pause:
            yield first, last
            first = time
        last = time
    if first is not None and last is not None:
        yield first, last


def _origin(letter: Record) -> tuple[str, int, Refused]:
    topic, partition, offset, timestamp_ms = (
        (letter.header(name) or b"").decode()
        for name in ("origin_topic", "origin_partition", "origin_offset", "origin_timestamp_ms")
    )
    numbers = int(partition), int(offset), int(timestamp_ms)
    if not all(-(2**63) <= number < 2**63 for number in numbers):
        raise ValueError("no record has such a place")
    return topic, numbers[0], Refused(*numbers[1:])
