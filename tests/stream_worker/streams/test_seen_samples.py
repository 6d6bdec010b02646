"""Whatever sensors send, the windows are those whose samples were all seen: each once, with its own samples."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from soundscene._spans import Span, SpanSet
from soundscene.settings import FrontEndSettings
from soundscene.windows import WindowAssembler
from soundscene_worker.messages.chunk import AudioChunk
from soundscene_worker.streams.partition import CommitPoint, PartitionState
from soundscene_worker.streams.policy import StreamPolicy
from soundscene_worker.streams.session import SessionTrack
from tests.stream_worker.streams.seen_samples import Published, SeenSamples

FRONT_END = FrontEndSettings(
    sample_rate_hz=1_000,
    window_size_samples=8,
    fft_size_samples=8,
    hop_size_samples=4,
    patch_frames=6,
    step_frames=3,
    delta_width_frames=3,
    band_count=2,
)
POLICY = StreamPolicy(
    FRONT_END, hold_back_seconds=0.1, idle_seconds=0.5, sessions_per_device=2, devices_per_partition=2
)
YEAR_MS = 31_536_000_000
CAPTURED = [datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC), datetime(9998, 1, 1, tzinfo=UTC)]
SPECIAL = [0.0, 1.0, -1.0, 0.25, float("nan"), float("inf")]


@dataclass(frozen=True)
class Sent:
    device: str
    session: str
    rate_hz: int
    first: int
    samples: tuple[float, ...]
    timestamp_ms: int
    captured: datetime

    def chunk(self) -> AudioChunk:
        return AudioChunk(
            device=self.device,
            session=self.session,
            sequence=0,
            first_sample=self.first,
            sample_rate_hz=self.rate_hz,
            channels=1,
            encoding="pcm_f32le",
            capture_time=self.captured + timedelta(seconds=self.first / self.rate_hz),
            sample_count=len(self.samples),
            calibration_db=None,
            samples=np.array(self.samples, np.float32),
        )


@st.composite
def logs(draw: st.DrawFn) -> list[Sent]:
    """Chunks that follow, overlap, repeat, skip, go back or come late; sensors restart and change their rate."""
    log, now_ms = [], draw(st.sampled_from([0, YEAR_MS * 56]))
    places: dict[tuple[str, str, int], int] = {}
    for number in range(draw(st.integers(1, 30))):
        key = (
            draw(st.sampled_from("aaabc")),
            draw(st.sampled_from("1112")),
            draw(st.sampled_from([1_000, 1_000, 1_500])),
        )
        jump = draw(st.sampled_from([0, 0, 0, 0, 0, 0, -1, -30, -60, -150, 1, 20, 90, 1_000]))
        count = draw(st.sampled_from([1, 7, 40, 40, 60, 300]))
        first = max(0, places.get(key, draw(st.sampled_from([0, 5, 500]))) + jump)
        places[key] = max(places.get(key, 0), first + count) if jump < 900 else first + count
        constant = draw(st.sampled_from([None, None, None, *SPECIAL]))
        samples = tuple(float(1_000 * number + n) if constant is None else constant for n in range(count))
        now_ms += draw(st.sampled_from([0, 40, 40, 40, 600]))
        skew_ms = draw(st.sampled_from([0, 0, 0, 0, -now_ms, YEAR_MS, -3_000]))
        log.append(Sent(*key, first, samples, now_ms + skew_ms, draw(st.sampled_from(CAPTURED))))
    return log


def model() -> SeenSamples:
    return SeenSamples(1_000, FRONT_END.window_length_samples, FRONT_END.step_samples, 0.1, 0.5, 2, 2)


def compare(log: list[Sent]) -> None:
    state, seen = PartitionState(POLICY, CommitPoint(0, 0, None)), model()
    for offset, sent in enumerate(log):
        windows = state.take(offset, sent.timestamp_ms, sent.chunk()).windows
        published: list[Published] = [
            (
                (ready.key.device, ready.key.session, ready.key.sample_rate_hz),
                ready.window.index,
                ready.window.samples.tobytes(),
            )
            for ready in windows
        ]
        expected = seen.take(
            (sent.device, sent.session, sent.rate_hz), sent.first, list(sent.samples), sent.timestamp_ms
        )
        assert published == expected


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(logs())
def test_the_windows_are_those_whose_samples_were_all_seen(log: list[Sent]) -> None:
    """Record by record the worker publishes what a dictionary of seen samples says, and never raises."""
    compare(log)


TAKE = SessionTrack.take


def joined_across_gaps(
    track: SessionTrack, chunk: AudioChunk, offset: int, clock_before_ms: int, publish: bool
) -> object:
    if 0 < track.assembler.furthest_sample < chunk.first_sample:
        chunk = replace(chunk, first_sample=track.assembler.furthest_sample)
    return TAKE(track, chunk, offset, clock_before_ms, publish)


def blind_to_holes(spans: SpanSet, first: int, end: int) -> list[Span]:
    return [] if spans._spans and first >= spans._spans[0][0] and end <= spans._spans[-1][1] else [(first, end)]


class NothingIsLate(WindowAssembler):
    def __init__(self, grid: object, hold_back_samples: int) -> None:
        super().__init__(grid, 10 * hold_back_samples)  # type: ignore[arg-type]


def next_window_only(self: WindowAssembler, first: int, end: int) -> list[int]:
    run_first, run_end = self._seen.run_around(first)
    index = max(self._lowest_open, self.grid.first_index_from(run_first))
    return [index] if self.grid.span(index)[1] <= run_end and index not in self._complete else []


def believed(state: PartitionState, timestamp_ms: int, clock_ms: int, duration_ms: int) -> None:
    state._clock_ms = max(clock_ms, timestamp_ms)


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        pytest.param(SessionTrack, "take", joined_across_gaps, id="windows joined across a gap"),
        pytest.param(SpanSet, "missing", blind_to_holes, id="overlaps that fill a hole taken for duplicates"),
        pytest.param("soundscene_worker.streams.session", "WindowAssembler", NothingIsLate, id="late chunks taken"),
        pytest.param(WindowAssembler, "_completed_by", next_window_only, id="one window for each chunk"),
        pytest.param(PartitionState, "_tick", believed, id="a clock believed without limit"),
    ],
)
def test_a_broken_rule_is_found(
    where: type | str, name: str, broken: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison finds a counterexample to each way of breaking the window rule."""
    owner = importlib.import_module(where) if isinstance(where, str) else where
    monkeypatch.setattr(owner, name, broken)
    search = settings(max_examples=2_000, phases=[Phase.generate], database=None, derandomize=True,
                      suppress_health_check=list(HealthCheck))  # fmt: skip
    with pytest.raises(AssertionError):
        search(given(logs())(compare))()
