"""What a partition tells of itself: the sound that is new, when it was written, what is done."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundscene_worker.streams.partition import CommitPoint, PartitionState
from tests.stream_worker.streams.test_partition import POLICY, RATE_HZ, START, Sent


def state_after(*log: Sent, start: CommitPoint = START) -> PartitionState:
    state = PartitionState(POLICY, start)
    for offset, sent in enumerate(log, start.offset):
        state.take(offset, sent.timestamp_ms, sent.chunk())
    return state


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=12))
def test_only_sound_that_is_new_counts_in_seconds(spans: list[tuple[int, int]]) -> None:
    """What overlaps, repeats or comes late is not heard a second time."""
    state = PartitionState(replace(POLICY, hold_back_seconds=1.0), START)
    seconds = [state.take(n, 0, Sent("a", "1", *span, 0).chunk()).seconds for n, span in enumerate(spans)]
    heard = {sample for first, count in spans for sample in range(first, first + count)}
    assert sum(seconds) == pytest.approx(len(heard) / RATE_HZ)


def test_a_partition_was_written_when_most_of_its_last_records_say() -> None:
    """The time is the median of the last 101 stamps: a wrong clock, in the past or the future, moves nothing."""
    assert state_after().written_ms is None
    log = [Sent("a", "1", 40 * n, 40, 5_000 + 40 * n) for n in range(150)]
    log[120] = replace(log[120], timestamp_ms=31_536_000_000)
    log[130] = replace(log[130], timestamp_ms=0)
    assert state_after(*log).written_ms == statistics.median(sent.timestamp_ms for sent in log[-101:])


def test_a_clock_behind_or_ahead_of_its_records_is_told_apart() -> None:
    """It is the median over the last 101 records, which one wrong clock does not move."""
    assert state_after().clock_lag_seconds is None
    right = [Sent("a", "1", 40 * n, 40, 40 * n) for n in range(300)]
    wrong = replace(right[250], timestamp_ms=31_536_000_000)
    assert state_after(*right[:250], wrong, *right[251:]).clock_lag_seconds == 0
    assert state_after(Sent("old", "1", 0, 40, -9_000_000), *right).clock_lag_seconds == pytest.approx(9_000, abs=0.1)
    middle = statistics.median(sent.timestamp_ms for sent in right[-101:])
    assert state_after(Sent("new", "1", 0, 40, 9_000_000), *right).clock_lag_seconds == (middle - 9_000_000) / 1000


def test_a_clock_lags_where_sound_is_sent_now_and_then() -> None:
    """A record moves it by its own sound alone, however long ago the last one was sent."""
    assert state_after(*(Sent("a", "1", 40 * n, 40, 600 * n) for n in range(9))).clock_lag_seconds == 0.56 * 4


def test_a_time_stamp_in_the_past_does_not_take_the_clock_back() -> None:
    """What a lagging sensor sends leaves the others as old as they were: a silent one is closed in time."""
    log = [Sent("dead", "1", 0, 20, 0)]
    for n in range(14):
        log += [Sent("right", "1", 40 * n, 40, 40 * n), Sent("lagging", "1", 40 * n, 40, -5_000)]
    state = PartitionState(POLICY, START)
    taken = [state.take(offset, sent.timestamp_ms, sent.chunk()) for offset, sent in enumerate(log)]
    closed = [(offset, key.device) for offset, one in enumerate(taken) for key, _ in one.closed]
    assert closed == [(27, "dead")]


def test_a_restart_that_stops_early_forgets_nothing_that_is_done() -> None:
    """What the first run has published is done for every later one, however little the second has read."""
    commit = state_after(*(Sent("a", "1", 40 * n, 40, 40 * n) for n in range(9))).commit_point()
    assert commit.offset < commit.done_below == 9
    again = PartitionState(POLICY, commit)
    assert again.commit_point().done_below == 9
    again.take(commit.offset, 0, Sent("a", "1", 40 * commit.offset, 40, 0).chunk())
    assert again.commit_point().done_below == 9


def test_a_refused_record_is_done_with() -> None:
    """It holds no commit back: whoever continues neither reads nor reports it again."""
    state = state_after(Sent("a", "1", 0, 40, 0))
    state.close_all()
    state.reject(1, None)
    state.reject(2, Sent("b", "1", 0, 40, 0).chunk())
    assert (state.commit_point().offset, state.commit_point().done_below) == (3, 3)


def test_a_session_is_new_once() -> None:
    """It is opened by its first record, and again only when it was closed before."""
    log = [Sent("a", session, 40 * n, 40, 0) for n, session in enumerate("1121")]
    state = PartitionState(replace(POLICY, sessions_per_device=1), START)
    taken = [state.take(offset, 0, sent.chunk()) for offset, sent in enumerate(log)]
    assert [one.new_session for one in taken] == [True, False, True, True]
    assert [len(one.closed) for one in taken] == [0, 0, 1, 1]


def test_the_commit_keeps_every_record_within_the_hold_back_and_no_more() -> None:
    """With a sample in each record it lies exactly the hold-back behind the end."""
    state = PartitionState(POLICY, START)
    for n in range(200):
        state.take(n, 0, Sent("a", "1", n, 1, 0).chunk())
        assert state.commit_point().offset == max(0, n + 1 - POLICY.hold_back_samples(RATE_HZ))


def test_a_chunk_that_was_overtaken_is_kept_by_its_place_in_the_log() -> None:
    """What is needed longest is what was written first, not what was recorded first."""
    assert state_after(Sent("a", "1", 20, 20, 0), Sent("a", "1", 0, 20, 0)).commit_point().offset == 0


def test_memory_is_counted_by_the_samples_that_are_held() -> None:
    """Four bytes for each, besides what each record costs."""
    short, long = (state_after(Sent("a", "1", 0, count, 0)).held_bytes for count in (10, 40))
    assert long - short == 4 * 30
