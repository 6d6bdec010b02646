"""What is published is a function of the log alone, wherever a worker stops and starts again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from soundscene.settings import FrontEndSettings
from soundscene_worker.messages.chunk import AudioChunk
from soundscene_worker.streams.partition import Closed, CommitPoint, End, PartitionState
from soundscene_worker.streams.policy import StreamPolicy
from soundscene_worker.streams.session import ReadyWindow, SessionTrack

RATE_HZ = 1_000
SMALL = FrontEndSettings(
    sample_rate_hz=RATE_HZ,
    window_size_samples=8,
    fft_size_samples=8,
    hop_size_samples=4,
    patch_frames=6,
    step_frames=3,
    delta_width_frames=3,
    band_count=2,
)
POLICY = StreamPolicy(SMALL, smoothing_windows=2, hold_back_seconds=0.05, idle_seconds=0.5)
CROWDED = replace(POLICY, sessions_per_device=1, devices_per_partition=2)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
START = CommitPoint(0, 0, None)


@dataclass(frozen=True)
class Sent:
    device: str
    session: str
    first: int
    count: int
    timestamp_ms: int

    def chunk(self) -> AudioChunk:
        seed = sum(map(ord, self.device + self.session))
        samples = (np.arange(self.first, self.first + self.count) + 1000 * seed).astype(np.float32)
        return AudioChunk(
            device=self.device,
            session=self.session,
            sequence=0,
            first_sample=self.first,
            sample_rate_hz=RATE_HZ,
            channels=1,
            encoding="pcm_f32le",
            capture_time=EPOCH + timedelta(seconds=self.first / RATE_HZ),
            sample_count=self.count,
            calibration_db=None,
            samples=samples,
        )


@st.composite
def logs(draw: st.DrawFn) -> list[Sent]:
    """A partition as several devices fill it: losses, duplicates, reordering, restarts, pauses and wrong clocks."""
    out: list[tuple[float, Sent]] = []
    for device in draw(st.sampled_from(["a", "ab", "abc", "abcd"])):
        begin = draw(st.integers(0, 200))
        skew_ms = draw(st.sampled_from([0, 0, 0, -5_000_000, 3_600_000]))
        for session in draw(st.sampled_from(["1", "12"])):
            first = draw(st.sampled_from([0, 0, 37, 400]))
            for _ in range(draw(st.integers(3, 16))):
                count = draw(st.integers(5, 40))
                sent = Sent(device, session, first, count, begin + skew_ms)
                fate = draw(st.integers(0, 19))
                if fate:
                    out.append((begin + (draw(st.integers(20, 200)) if fate < 4 else 0), sent))
                if fate == 5:
                    out.append((begin + draw(st.integers(0, 300)), sent))
                first += count
                begin += count + (draw(st.sampled_from([0, 700])) if fate == 6 else 0)
    return [sent for _, sent in sorted(out, key=lambda item: item[0])]


def identity(ready: ReadyWindow) -> tuple[object, ...]:
    """Everything a prediction is computed from."""
    return (ready.key, ready.window.index, ready.window.samples.tobytes(), ready.start, ready.predecessors)


def run(
    log: list[Sent], start: CommitPoint, stop: int, policy: StreamPolicy = POLICY
) -> tuple[list[tuple[object, ...]], list[CommitPoint]]:
    """Read from a commit up to an offset; return what is published and what could be committed after each record."""
    state = PartitionState(policy, start)
    published, commits = [], []
    for offset in range(start.offset, stop):
        taken = state.take(offset, log[offset].timestamp_ms, log[offset].chunk())
        published += [identity(ready) for ready in taken.windows if ready.publish]
        commits.append(state.commit_point())
    return published, commits


def has_reopened(log: list[Sent], policy: StreamPolicy) -> bool:
    """Tell whether a session went on after it was closed: sound sent again is new to it then."""
    state = PartitionState(policy, START)
    opened = [
        (sent.device, sent.session)
        for offset, sent in enumerate(log)
        if state.take(offset, sent.timestamp_ms, sent.chunk()).new_session
    ]
    return len(set(opened)) < len(opened)


def crash_and_compare(policy: StreamPolicy, log: list[Sent], data: st.DataObject) -> None:
    """Stop anywhere, commit anything that could be committed before, go on from there; up to four times."""
    whole, _ = run(log, START, len(log), policy)
    assert len(set(whole)) == len(whole) or has_reopened(log, policy)
    start, published = START, set()
    for _ in range(data.draw(st.integers(1, 4))):
        crash_at = data.draw(st.integers(start.offset, len(log)))
        results, commits = run(log, start, crash_at, policy)
        published.update(results)
        if commits:
            kept = commits[data.draw(st.integers(0, len(commits) - 1))]
            start = CommitPoint.parse(kept.offset, kept.metadata)
    results, _ = run(log, start, len(log), policy)
    assert published | set(results) == set(whole)


@pytest.mark.parametrize("policy", [POLICY, CROWDED], ids=["roomy", "crowded"])
@settings(max_examples=300)
@given(log=logs(), data=st.data())
def test_crashes_leave_no_trace_in_the_set_of_predictions(
    policy: StreamPolicy, log: list[Sent], data: st.DataObject
) -> None:
    """Whatever is committed before whichever crash, the results are those of an undisturbed run."""
    crash_and_compare(policy, log, data)


COMMIT_POINT, OLDEST_NEEDED = PartitionState.commit_point, SessionTrack.oldest_needed


def the_position(state: PartitionState) -> CommitPoint:
    return replace(COMMIT_POINT(state), offset=state.position, done_below=state.position)


def one_record_late(state: PartitionState) -> CommitPoint:
    point = COMMIT_POINT(state)
    return replace(point, offset=min(point.offset + 1, state.position))


def without_done(state: PartitionState) -> CommitPoint:
    return replace(COMMIT_POINT(state), done_below=COMMIT_POINT(state).offset)


def without_clock(state: PartitionState) -> CommitPoint:
    return replace(COMMIT_POINT(state), clock_ms=None)


def open_windows_only(track: SessionTrack) -> tuple[int, int] | None:
    first = track.assembler.grid.span(track.assembler.lowest_open_index)[0]
    needed = [heard for heard in track._heard if heard.end > first]
    return min(((heard.offset, heard.clock_before_ms) for heard in needed), default=None)


@pytest.mark.parametrize(
    ("owner", "name", "broken"),
    [
        pytest.param(PartitionState, "commit_point", the_position, id="the position is committed"),
        pytest.param(PartitionState, "commit_point", one_record_late, id="one record too late"),
        pytest.param(PartitionState, "commit_point", without_done, id="what is done is forgotten"),
        pytest.param(PartitionState, "commit_point", without_clock, id="the clock is forgotten"),
        pytest.param(SessionTrack, "oldest_needed", open_windows_only, id="smoothing and duplicates are forgotten"),
    ],
)
def test_a_broken_offset_rule_is_found(
    owner: type, name: str, broken: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison finds a counterexample to each way of breaking the offset rule."""
    monkeypatch.setattr(owner, name, broken)
    search = settings(max_examples=5_000, phases=[Phase.generate], database=None, derandomize=True,
                      suppress_health_check=list(HealthCheck))  # fmt: skip
    with pytest.raises(AssertionError):
        search(given(policy=st.just(POLICY), log=logs(), data=st.data())(crash_and_compare))()


def test_no_window_averages_what_was_declared_useless() -> None:
    """A scorer that forgets below `oldest_useful` never lacks a predecessor."""
    for smoothing in (1, 2, 3, 5):
        state = PartitionState(StreamPolicy(SMALL, smoothing_windows=smoothing, hold_back_seconds=0.05), START)
        kept: set[int] = set()
        for offset, first in enumerate(range(0, 900, 90)):
            for ready in state.take(offset, 0, Sent("a", "1", first, 90, 0).chunk()).windows:
                assert kept.issuperset(ready.predecessors)
                assert len(ready.predecessors) == min(smoothing - 1, ready.window.index)
                kept = {index for index in kept | {ready.window.index} if index >= ready.oldest_useful}


@settings(max_examples=100)
@given(logs())
def test_a_commit_never_goes_back(log: list[Sent]) -> None:
    """Progress is kept: offsets and the published mark only rise."""
    _, commits = run(log, START, len(log))
    for earlier, later in itertools.pairwise(commits):
        assert later.offset >= earlier.offset
        assert later.done_below > earlier.done_below


def test_a_chunk_sent_again_after_a_restart_completes_nothing_twice() -> None:
    """Whoever continues knows it for a duplicate: the commit keeps the records within the hold-back."""
    spans = [(0, 5), (5, 8), (28, 40), (13, 15), (5, 8), (73, 5), (78, 5)]
    log = [Sent("a", "1", first, count, first) for first, count in spans]
    whole, commits = run(log, START, len(log))
    for commit in commits:
        again, _ = run(log, CommitPoint.parse(commit.offset, commit.metadata), len(log))
        assert set(again) <= set(whole)


def test_a_commit_holds_the_oldest_record_an_open_window_needs() -> None:
    """One slow device keeps its records; a fast one cannot commit them away."""
    log = [Sent("slow", "1", 0, 20, 0), *(Sent("fast", "1", 40 * i, 40, 10 * i) for i in range(8))]
    _, commits = run(log, START, len(log))
    assert commits[-1].offset == 0
    assert commits[-1].done_below == len(log)


def test_a_silent_device_is_closed_by_the_clock_of_the_log() -> None:
    """A dead sensor holds the commit back for no longer than the idle time, counted in the others' time stamps."""
    log = [Sent("dead", "1", 0, 20, 0), *(Sent("alive", "1", 40 * i, 40, 40 * i) for i in range(30))]
    state = PartitionState(POLICY, START)
    taken = [state.take(offset, sent.timestamp_ms, sent.chunk()) for offset, sent in enumerate(log)]
    closed = [(key.device, end) for one in taken for key, end in one.closed]
    assert closed == [("dead", End.IDLE)]
    assert state.commit_point().offset > 20


def test_a_clock_in_the_future_ages_no_other_device() -> None:
    """Time stamps of one device are believed only as far as its own sound goes."""
    year_ms = 31_536_000_000
    log = [
        sent
        for i in range(30)
        for sent in (Sent("a", "1", 40 * i, 40, 40 * i), Sent("wrong", "1", 40 * i, 40, 40 * i + year_ms))
    ]
    state = PartitionState(POLICY, START)
    assert not any(state.take(o, sent.timestamp_ms, sent.chunk()).closed for o, sent in enumerate(log))


def test_clocks_in_the_future_age_others_by_no_more_than_their_sound() -> None:
    """A neighbour is closed for idleness only when wrong ones send the idle time between two of its records."""
    year_ms = 31_536_000_000

    def closed(wrong_count: int) -> set[str]:
        log = [Sent("right", "1", 0, 40, 0)]
        for i in range(1, 6):
            log += [Sent(f"wrong-{n}", "1", 40 * i, 40, 40 * i + year_ms) for n in range(wrong_count)]
            log.append(Sent("right", "1", 40 * i, 40, 40 * i))
        state = PartitionState(POLICY, START)
        ends = [end for o, sent in enumerate(log) for end in state.take(o, sent.timestamp_ms, sent.chunk()).closed]
        return {key.device for key, _ in ends}

    assert POLICY.idle_seconds == 0.5
    assert closed(12) == set()
    assert "right" in closed(13)


def test_a_clock_that_lags_costs_nothing_below_the_idle_time() -> None:
    """While the devices times the length of a chunk stay below the idle time, no session seems idle; beyond, all do."""

    def idle(device_count: int) -> set[str]:
        log = [Sent(f"d{d}", "1", 0, 40, 0) for d in range(device_count)]
        log += [Sent(f"d{d}", "1", 40 * n, 40, 10_000_000 + 40 * n) for n in range(1, 6) for d in range(device_count)]
        state = PartitionState(POLICY, START)
        ends = [end for o, sent in enumerate(log) for end in state.take(o, sent.timestamp_ms, sent.chunk()).closed]
        return {key.device for key, _ in ends}

    assert POLICY.idle_seconds == 0.5
    assert idle(12) == set()
    assert len(idle(14)) == 14


def test_a_reset_offset_begins_with_a_new_clock() -> None:
    """A first stamp a year ahead keeps all sessions open; behind it, without metadata, the clock is right again."""
    log = [Sent("wrong", "1", 0, 40, 31_536_000_000), Sent("dead", "1", 0, 40, 0)]
    log += [Sent("right", "1", 40 * n, 40, 40 * n) for n in range(30)]
    _, stuck = run(log, START, len(log))
    _, cured = run(log, CommitPoint.parse(1, ""), len(log))
    assert stuck[-1].offset == 0
    assert cured[-1].offset > 20


def test_a_restart_decides_idleness_as_the_first_run_did() -> None:
    """The clock is part of the commit: a restarted worker closes the sessions that the first run closed."""
    late_ms = 1_000_000
    log = [Sent("stopped-clock", "1", 0, 5, 0), Sent("pausing", "1", 0, 40, late_ms)]
    for i in range(8):
        log += [Sent(device, "1", 40 * i, 40, late_ms + 40 * i) for device in ("b", "c")]
    log += [Sent("pausing", "1", 40 + 40 * i, 40, late_ms + 320 + 40 * i) for i in range(4)]
    whole, commits = run(log, START, len(log))
    for commit in commits:
        before, _ = run(log, START, commit.done_below)
        after, _ = run(log, CommitPoint.parse(commit.offset, commit.metadata), len(log))
        assert set(before) | set(after) == set(whole)


def test_a_foreign_commit_only_says_where_to_begin() -> None:
    """An operator who resets a group's offsets gets everything from there published again."""
    endless = ('{"v":1,"done":Infinity,"clock":1}', '{"v":1,"done":9,"clock":-Infinity}', "[" * 100_000)
    for metadata in ("", "x", "{}", "[]", '{"v":2,"done":9,"clock":1}', '{"v":1,"done":3,"clock":1}', "null", *endless):
        assert CommitPoint.parse(7, metadata) == CommitPoint(7, 7, None)


@given(st.integers(0, 2**63 - 1), st.integers(0, 1000), st.none() | st.integers(-(2**53), 2**53))
def test_a_commit_of_ours_is_read_back_whole(offset: int, done: int, clock_ms: int | None) -> None:
    """Also where nothing beyond the offset is done, and where no record has set the clock."""
    commit = CommitPoint(offset, offset + done, clock_ms)
    assert CommitPoint.parse(offset, commit.metadata) == commit


def test_lost_sound_is_told_apart_by_cause() -> None:
    """A refused chunk and a chunk that never came are different faults."""
    policy = StreamPolicy(SMALL, hold_back_seconds=0.05)
    state = PartitionState(policy, START)
    state.take(0, 0, Sent("a", "1", 0, 40, 0).chunk())
    state.reject(1, Sent("a", "1", 40, 20, 0).chunk())
    gaps = state.take(2, 0, Sent("a", "1", 70, 200, 0).chunk()).gaps
    assert {(gap.cause, round(gap.seconds, 3)) for gap in gaps} == {("rejected", 0.02), ("missing", 0.01)}


def test_a_restart_of_the_sensor_mixes_no_sound() -> None:
    """Sessions of a device have windows of their own, and only a few stay open."""
    state = PartitionState(POLICY, START)
    closed: list[Closed] = []
    for n in range(POLICY.sessions_per_device + 2):
        closed += state.take(n, 0, Sent("a", str(n), 0, 30, 0).chunk()).closed
    assert [(key.session, end) for key, end in closed] == [("0", End.REPLACED), ("1", End.REPLACED)]
    assert len(state.close_all()) == POLICY.sessions_per_device


def test_too_many_devices_push_out_the_one_that_was_quiet_for_longest() -> None:
    """A flood of device names costs no more memory than the limit; whoever keeps sending stays."""
    state = PartitionState(StreamPolicy(SMALL, devices_per_partition=3), START)
    pushed_out = []
    for n in range(50):
        first = state.take(2 * n, 0, Sent("steady", "1", 40 * n, 40, 0).chunk())
        second = state.take(2 * n + 1, 0, Sent(f"flood-{n}", "1", 0, 40, 0).chunk())
        pushed_out += [(key.device, end) for taken in (first, second) for key, end in taken.closed]
        assert len(state.devices()) <= 3
    assert pushed_out == [(f"flood-{n}", End.CROWDED) for n in range(48)]


@pytest.mark.parametrize("new_names", [2, 3])
def test_a_sensor_keeps_its_place_unless_a_flood_fills_all_places_between_its_records(new_names: int) -> None:
    """With three places, two new names between two records do no harm, and three do."""
    state = PartitionState(StreamPolicy(SMALL, devices_per_partition=3), START)
    windows, offset = 0, 0
    for n in range(20):
        windows += len(state.take(offset, 0, Sent("steady", "1", 40 * n, 40, 0).chunk()).windows)
        for name in range(new_names):
            state.take(offset + 1 + name, 0, Sent(f"flood-{n}-{name}", "1", 0, 5, 0).chunk())
        offset += 1 + new_names
    assert (windows > 50) == (new_names == 2)


def test_a_device_that_holds_too_much_is_closed_and_no_other() -> None:
    """Chunks that complete no window cannot fill the memory, however they are cut."""
    state = PartitionState(StreamPolicy(SMALL, hold_back_seconds=1.0, device_bytes=40_000), START)
    state.take(0, 0, Sent("good", "1", 0, 40, 0).chunk())
    closed: list[Closed] = []
    for n in range(60):
        closed += state.take(n + 1, 0, Sent("greedy", "1", 10 * n, 5, 0).chunk()).closed
        assert state.held_bytes <= 40_000 + 2 * 8_192
    assert {(key.device, end) for key, end in closed} == {("greedy", End.OVERSIZED)}
    assert state.devices() == {"good", "greedy"}
    assert [key.device for key, _ in state.close_largest()] == ["greedy"]
    assert [key.device for key, _ in state.close_largest()] == ["good"]
    assert state.close_largest() == ()
    assert state.held_bytes == 0
