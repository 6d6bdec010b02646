"""Windows depend on the samples seen and on nothing else."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundscene.errors import AudioError, SettingsError
from soundscene.settings import FrontEndSettings
from soundscene.windows import Fate, WindowAssembler, WindowGrid

SMALL = FrontEndSettings(
    sample_rate_hz=1_000,
    window_size_samples=8,
    fft_size_samples=8,
    hop_size_samples=4,
    patch_frames=6,
    step_frames=3,
    delta_width_frames=3,
    band_count=2,
)
GRID = WindowGrid(1_000, SMALL)
RATES = st.sampled_from([1_000, 480, 700, 1_600])


def signal(count: int) -> np.ndarray:
    return np.arange(1, count + 1, dtype=np.float32)


@st.composite
def chunkings(draw: st.DrawFn, total: int) -> list[tuple[int, int]]:
    """Cut [0, total) into chunks of any size."""
    cuts = sorted({0, total, *draw(st.lists(st.integers(1, total - 1), max_size=20))})
    return list(itertools.pairwise(cuts))


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    """Chunks of a session as a bad network delivers them: some lost, some twice, some overlapping, in any order."""
    first = draw(st.integers(0, 150))
    chunks = [(first + a, first + b) for a, b in draw(chunkings(draw(st.integers(60, 300))))]
    kept = [chunk for chunk in chunks if draw(st.integers(0, 9))]
    extra = draw(st.lists(st.sampled_from(chunks), max_size=3))
    overlapping = [(max(0, a - 3), b + 2) for a, b in draw(st.lists(st.sampled_from(chunks), max_size=2))]
    order = [(i + draw(st.integers(0, 3)), chunk) for i, chunk in enumerate(kept + extra + overlapping)]
    return draw(st.integers(0, 120)), [chunk for _, chunk in sorted(order)]


def windows_by_definition(grid: WindowGrid, hold_back: int, chunks: list[tuple[int, int]]) -> list[int]:
    """The rule, written as a set of samples: complete when all were seen, none of them late."""
    seen: set[int] = set()
    done: list[int] = []
    furthest = 0
    for first, end in chunks:
        if seen and first < furthest - hold_back:
            continue
        seen.update(range(first, end))
        furthest = max(furthest, end)
        spans = ((k, grid.span(k)) for k in range(grid.count(furthest)))
        done += [k for k, span in spans if k not in done and seen.issuperset(range(*span))]
    return done


@given(rate=RATES, total=st.integers(60, 400), data=st.data())
def test_any_chunking_gives_the_windows_of_the_whole_signal(rate: int, total: int, data: st.DataObject) -> None:
    """Chunk sizes leave no trace."""
    grid = WindowGrid(rate, SMALL)
    x = signal(total)
    assembler = WindowAssembler(grid, hold_back_samples=0)
    windows = [w for a, b in data.draw(chunkings(total)) for w in assembler.push(a, x[a:b]).windows]
    assert [w.index for w in windows] == list(range(grid.count(total)))
    for window in windows:
        first, end = grid.span(window.index)
        np.testing.assert_array_equal(window.samples, x[first:end])
        assert window.first_sample == window.index * SMALL.step_samples
        assert window.source_first_sample == first


@given(deliveries())
def test_a_window_comes_out_exactly_when_all_its_samples_were_seen(case: tuple[int, list[tuple[int, int]]]) -> None:
    """Losses, duplicates, overlaps and reordering change which windows exist, never what is in them."""
    hold_back, chunks = case
    x = signal(600)
    assembler = WindowAssembler(GRID, hold_back)
    windows = [w for a, b in chunks for w in assembler.push(a, x[a:b]).windows]
    assert sorted(w.index for w in windows) == sorted(windows_by_definition(GRID, hold_back, chunks))
    assert len({w.index for w in windows}) == len(windows)
    for window in windows:
        np.testing.assert_array_equal(window.samples, x[slice(*GRID.span(window.index))])


@given(deliveries())
def test_every_sample_is_heard_or_lost_once_it_is_older_than_the_hold_back(
    case: tuple[int, list[tuple[int, int]]],
) -> None:
    """Gaps and new samples account for the whole session, without overlap."""
    hold_back, chunks = case
    x = signal(600)
    assembler = WindowAssembler(GRID, hold_back)
    fates: dict[int, str] = {}
    heard: set[int] = set()
    for a, b in chunks:
        push = assembler.push(a, x[a:b])
        if push.fate is Fate.ACCEPTED:
            assert push.new_samples == len(set(range(a, b)) - heard)
            heard.update(range(a, b))
        for first, end in push.gaps:
            for sample in range(first, end):
                assert sample not in heard
                assert fates.setdefault(sample, "gap") == "gap"
                fates[sample] = "counted"
    horizon = assembler.furthest_sample - hold_back
    lost = {s for s in range(min(heard, default=0), max(horizon, 0)) if s not in heard}
    assert {s for s in fates if s >= min(heard, default=0)} == lost


@given(deliveries())
def test_memory_stays_within_hold_back_and_two_windows(case: tuple[int, list[tuple[int, int]]]) -> None:
    """What no open window needs is forgotten."""
    hold_back, chunks = case
    x = signal(600)
    assembler = WindowAssembler(GRID, hold_back)
    for a, b in chunks:
        assembler.push(a, x[a:b])
        longest = max(b - a for a, b in chunks)
        assert assembler.buffered_samples <= hold_back + 2 * GRID.length_samples + longest


def test_chunks_that_overlap_nearly_wholly_keep_only_what_is_new() -> None:
    """A held sample costs its own memory, not that of the chunk it came in."""
    assembler = WindowAssembler(GRID, hold_back_samples=100_000)
    tracemalloc.start()
    try:
        for first in range(0, 400, 2):
            assembler.push(first + 20_000, np.zeros(10_000, np.float32))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 3 * 40_000 + 200 * 1_000


def test_a_chunk_that_was_overtaken_moves_the_end_of_a_session_neither_way() -> None:
    """It opens what lies before it to gaps, and what was late before it still is."""
    x = signal(600)
    assembler = WindowAssembler(GRID, hold_back_samples=60)
    assert assembler.push(200, x[200:250]).gaps == ()
    assert assembler.push(190, x[190:195]).fate is Fate.ACCEPTED
    assert assembler.furthest_sample == 250
    assert assembler.push(189, x[189:190]).fate is Fate.LATE
    assert assembler.push(250, x[250:310]).gaps == ((195, 200),)


def test_a_gap_costs_only_the_windows_that_hold_it() -> None:
    """Audio is never joined across a gap, and the next whole window does not wait for it."""
    x = signal(400)
    assembler = WindowAssembler(GRID, hold_back_samples=200)
    first = assembler.push(0, x[:100]).windows
    after = assembler.push(110, x[110:300]).windows
    assert [w.index for w in first] == list(range(GRID.count(100)))
    assert all(w.source_first_sample >= 110 for w in after)
    assert after
    assert assembler.push(300, x[300:311]).gaps == ((100, 110),)


def test_a_hole_of_any_length_costs_no_time() -> None:
    """A header that jumps to the end of all indices is a gap like another: its windows are passed over in one step."""
    assembler = WindowAssembler(GRID, hold_back_samples=50)
    assembler.push(0, signal(100))
    windows = assembler.push(2**53 - 300, signal(300)).windows
    assert len(windows) >= 10
    assert assembler.lowest_open_index == windows[-1].index + 1


def test_a_session_may_begin_in_its_middle() -> None:
    """A consumer that joins late gets the windows that lie wholly in what it hears."""
    assembler = WindowAssembler(GRID, hold_back_samples=50)
    windows = assembler.push(10_000_003, signal(100)).windows
    assert [w.index for w in windows] == [GRID.first_index_from(10_000_003) + i for i in range(len(windows))]
    assert len(windows) >= 4


def test_a_repeated_chunk_is_a_duplicate_and_an_old_one_is_late() -> None:
    """Both are told apart and change nothing."""
    x = signal(300)
    assembler = WindowAssembler(GRID, hold_back_samples=50)
    assembler.push(0, x[:200])
    assert assembler.push(160, x[160:200]).fate is Fate.DUPLICATE
    assert assembler.push(100, x[100:130]).fate is Fate.LATE


def test_the_presets_have_the_spans_of_the_design() -> None:
    """A five-second window is 220,096 samples, the paper's 253,846; both step by 64 frames."""
    five, paper = FrontEndSettings.preset("five-seconds"), FrontEndSettings.preset("paper")
    assert (five.window_length_samples, five.step_samples) == (220_096, 102_400)
    assert (paper.window_length_samples, paper.step_samples) == (253_846, 118_400)


def test_a_five_second_clip_holds_one_window_at_every_common_rate() -> None:
    """A clip that is long enough at 44.1 kHz is long enough at its own rate."""
    settings = FrontEndSettings()
    for rate in (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000):
        assert WindowGrid(rate, settings).count(5 * rate) == 1


def test_bad_arguments_are_refused_with_what_was_expected() -> None:
    """An empty or misplaced chunk never enters the stream."""
    assembler = WindowAssembler(GRID, 0)
    for first, samples in ((-1, signal(5)), (0, signal(0)), (0, np.zeros((2, 2), np.float32))):
        with pytest.raises(AudioError, match="expected samples of shape"):
            assembler.push(first, samples)
    with pytest.raises(SettingsError, match="sample_rate_hz"):
        WindowGrid(0, SMALL)
    with pytest.raises(SettingsError, match="hold_back"):
        WindowAssembler(GRID, -1)
    with pytest.raises(AudioError, match="a window needs"):
        GRID.window(0, signal(3))
