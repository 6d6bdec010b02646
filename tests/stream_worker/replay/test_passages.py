"""What a replay reads: enough around what was asked for, every refused record once, and nothing beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundscene_worker.broker.memory import MemoryCluster
from soundscene_worker.broker.protocol import TopicPartition
from soundscene_worker.replay import passages
from soundscene_worker.replay.passages import (
    Letters,
    Passage,
    Refused,
    between,
    passages_of_range,
    passages_of_refused,
    read_letters,
)

CHUNKS, LETTERS = "chunks", "letters"
ONE = TopicPartition(CHUNKS, 0)
MARGIN_MS = 100


def send(cluster: MemoryCluster, times_ms: Iterable[int], partition: int = 0) -> None:
    for time_ms in times_ms:
        cluster.producer().send(CHUNKS, None, b"", timestamp_ms=time_ms, partition=partition)


@pytest.fixture
def cluster() -> Iterator[MemoryCluster]:
    with MemoryCluster() as cluster:
        cluster.admin().ensure_topics({CHUNKS: 2, LETTERS: 1})
        yield cluster


def test_a_range_is_read_from_its_margin_on_and_published_from_its_beginning(cluster: MemoryCluster) -> None:
    """Records written in the margin before it are read for the windows' sake; a partition without any is left out."""
    send(cluster, range(0, 1_000, 50))
    assert passages_of_range(cluster, CHUNKS, 500, 700, MARGIN_MS) == {ONE: [Passage(range(8, 14), 10)]}
    assert passages_of_range(cluster, CHUNKS, None, 700, MARGIN_MS) == {ONE: [Passage(range(14), 0)]}
    assert passages_of_range(cluster, CHUNKS, 5_000, None, MARGIN_MS) == {}


def test_refused_records_are_chosen_from_the_first_time_up_to_the_second() -> None:
    """The first belongs to the range and the second does not: ranges that adjoin share no record."""
    refused = [Refused(offset, 10 * offset) for offset in range(6)]
    letters = Letters({ONE: frozenset(refused)}, 0, 0)
    assert between(letters, 20, 40) == {ONE: frozenset(refused[2:4])}
    assert between(letters, 20, None) == {ONE: frozenset(refused[2:])}
    assert between(letters, None, 40) == {ONE: frozenset(refused[:4])}


@given(st.lists(st.integers(0, 150), min_size=1, max_size=40), st.data())
def test_each_refused_record_is_read_once_with_all_that_lies_within_the_margin(
    pauses_ms: list[int], data: st.DataObject
) -> None:
    """Those whose margins touch are read together, for a window may hold both."""
    times = [sum(pauses_ms[: n + 1]) for n in range(len(pauses_ms))]
    chosen = data.draw(st.sets(st.sampled_from(range(len(times)))))
    with MemoryCluster() as cluster, pytest.MonkeyPatch.context() as patch:
        patch.setattr(passages, "_LEAST_RECORDS", 1)  # more than any log here has, otherwise
        cluster.admin().ensure_topics({CHUNKS: 2})
        send(cluster, times)
        refused = {ONE: {Refused(offset, times[offset]) for offset in chosen}}
        found = passages_of_refused(cluster, CHUNKS, refused, MARGIN_MS).get(ONE, [])
    assert sorted(offset for passage in found for offset in passage.repaired) == sorted(chosen)
    for passage in found:
        near = {n for n, t in enumerate(times) for r in passage.repaired if abs(t - times[r]) <= MARGIN_MS}
        assert near <= set(passage.offsets)
        assert passage.publish_from == passage.offsets.start == min(near)
    groups = sum(times[b] - times[a] > 2 * MARGIN_MS for a, b in zip(sorted(chosen), sorted(chosen)[1:], strict=False))
    assert len(found) == groups + bool(chosen)


def test_the_margin_holds_records_at_both_its_ends(cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One written just as long before or after a refused one belongs to it, a millisecond further none."""
    monkeypatch.setattr(passages, "_LEAST_RECORDS", 1)
    send(cluster, [*range(0, 350, 50), 399, *range(400, 650, 50), 601, *range(650, 1_000, 50)])
    found = passages_of_refused(cluster, CHUNKS, {ONE: {Refused(10, 500)}}, MARGIN_MS)
    assert found == {ONE: [Passage(range(8, 13), 8, frozenset({10}))]}


def test_a_time_stamp_from_the_future_ends_no_passage(cluster: MemoryCluster) -> None:
    """The neighbours of a refused record are read although one of them says that it was written much later."""
    send(cluster, [0, 10**12, *range(10, 100, 10)])
    (passage,) = passages_of_refused(cluster, CHUNKS, {ONE: {Refused(0, 0)}}, MARGIN_MS)[ONE]
    assert passage.offsets == range(11)


def test_a_time_stamp_from_the_future_parts_no_refused_records(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read goes on from the last of them."""
    monkeypatch.setattr(passages, "_LEAST_RECORDS", 3)
    send(cluster, [0, 10**12, *range(10, 100, 10)])
    (passage,) = passages_of_refused(cluster, CHUNKS, {ONE: {Refused(0, 0), Refused(5, 40)}}, MARGIN_MS)[ONE]
    assert passage == Passage(range(8), 0, frozenset({0, 5}))


def test_records_that_the_log_no_longer_holds_are_left_out(cluster: MemoryCluster) -> None:
    """And with them a passage that would hold no other."""
    send(cluster, range(0, 1_000, 50))
    cluster.delete_records(ONE, 10)
    refused = {ONE: {Refused(9, 450), Refused(10, 500)}, TopicPartition(CHUNKS, 7): {Refused(0, 0)}}
    (passage,) = passages_of_refused(cluster, CHUNKS, refused, MARGIN_MS)[ONE]
    assert passage.repaired == {10}
    assert passages_of_refused(cluster, CHUNKS, {ONE: {Refused(3, 150)}}, MARGIN_MS) == {}


def test_letters_about_another_topic_are_not_this_ones(cluster: MemoryCluster) -> None:
    """Neither what they name nor what was withheld before them counts; what is no letter is counted apart."""
    for topic, offset, withheld in (
        (CHUNKS, b"3", b"2"),
        ("other", b"4", b"50"),
        (CHUNKS, b"3", b"5"),
        (CHUNKS, b"x", b"9"),
    ):
        headers = [("origin_topic", topic.encode()), ("origin_partition", b"0"), ("origin_offset", offset)]
        more = [("origin_timestamp_ms", b"150"), ("withheld_before", withheld)]
        cluster.producer().send(LETTERS, None, b"", [*headers, *more])
    assert read_letters(cluster, LETTERS, CHUNKS) == Letters({ONE: frozenset({Refused(3, 150)})}, 7, 1)
