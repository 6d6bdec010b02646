"""Chunks of a sensor are numbered and timed as the sound is, whatever the blocks it comes in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from soundscene.errors import SettingsError
from soundscene_worker.messages.chunk import ChunkLimits, decode_chunk
from soundscene_worker.messages.header_fields import CALIBRATION_RANGE_DB
from soundscene_worker.sensor.chunks import ChunkFormat, Outgoing, cut, require_rate
from soundscene_worker.sensor.sources import Frames

START = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass
class Given:
    """A source of known samples in blocks of given lengths."""

    samples: Frames
    lengths: list[int]
    name: str = "given"
    sample_rate_hz: int = 4_000
    seconds: float | None = None

    def blocks(self) -> Iterator[Frames]:
        at = 0
        for length in [*self.lengths, len(self.samples)]:
            yield self.samples[at : at + length]
            at += length


def ramp(count: int, channels: int = 1) -> Frames:
    return np.repeat((np.arange(count, dtype=np.float32) / 2**15)[:, np.newaxis], channels, axis=1)


@example(5_000, [700, 4_000], 0.6)
@example(5_000, [2_000], 0.5)
@given(st.integers(0, 5_000), st.lists(st.integers(0, 900), max_size=8), st.none() | st.floats(0.01, 2.0))
def test_chunks_hold_the_sound_without_gap_or_overlap(
    count: int, lengths: list[int], most_seconds: float | None
) -> None:
    """Joined, they are the sound; numbers, indices and capture times follow from it alone."""
    source = Given(ramp(count), lengths)
    chunks = list(
        cut(source, "mic", "s", ChunkFormat(0.25), start=START, offset_seconds=3.0, most_seconds=most_seconds)
    )
    kept = count if most_seconds is None else min(count, round(most_seconds * 4_000))
    sound = np.concatenate([chunk.samples for chunk in chunks]) if chunks else ramp(0)
    np.testing.assert_array_equal(sound, ramp(kept))
    for number, chunk in enumerate(chunks):
        assert chunk.header.sequence == number
        assert chunk.header.first_sample == 1_000 * number
        assert chunk.header.sample_count == len(chunk.samples)
        assert chunk.header.capture_time == START + timedelta(seconds=3.0 + number / 4)
        assert chunk.due_seconds == pytest.approx(3.0 + chunk.header.end_sample / 4_000)
    assert all(chunk.header.sample_count == 1_000 for chunk in chunks[:-1])


@pytest.mark.parametrize(("have", "want"), [(2, 1), (1, 2), (2, 3)])
def test_channels_are_mixed_down_or_repeated(have: int, want: int) -> None:
    """What arrives is the mean of what was there."""
    sound = ramp(1_000, have)
    sound[:, 0] += 0.25
    (chunk,) = cut(Given(sound, []), "mic", "s", ChunkFormat(channels=want), start=START)
    decoded = decode_chunk(*chunk.record())
    assert decoded.channels == want
    np.testing.assert_allclose(decoded.samples, sound.mean(axis=1), atol=2**-15)


def test_the_format_is_in_the_header() -> None:
    """Encoding, rate and calibration."""
    (chunk,) = cut(Given(ramp(100), []), "mic", "s", ChunkFormat(1.0, "flac", 1, 94.0), start=START)
    decoded = decode_chunk(*chunk.record())
    assert (decoded.encoding, decoded.sample_rate_hz, decoded.calibration_db) == ("flac", 4_000, 94.0)


@pytest.mark.parametrize(
    "values", [{"chunk_seconds": 0.0}, {"chunk_seconds": 11.0}, {"encoding": "mp3"}, {"channels": 9},
               {"calibration_db": float("nan")}],
)  # fmt: skip
def test_impossible_formats_are_refused(values: dict[str, Any]) -> None:
    """Before anything is sent."""
    with pytest.raises(SettingsError):
        ChunkFormat(**values)


def test_the_limits_themselves_are_possible_formats() -> None:
    """The shortest and the longest chunk, most channels, both ends of calibration and rate."""
    limits = ChunkLimits()
    for seconds in (0.05, limits.max_seconds):
        assert ChunkFormat(seconds).chunk_seconds == seconds
    assert ChunkFormat(channels=limits.max_channels).channels == limits.max_channels
    for calibration_db in CALIBRATION_RANGE_DB:
        assert ChunkFormat(calibration_db=calibration_db).calibration_db == calibration_db
    for rate_hz in (limits.min_rate_hz, limits.max_rate_hz):
        require_rate(rate_hz)
    for rate_hz in (limits.min_rate_hz - 1, limits.max_rate_hz + 1):
        with pytest.raises(SettingsError, match="expected a rate"):
            require_rate(rate_hz)


def test_a_fault_is_noted() -> None:
    """The journal tells what was done, in order."""
    (chunk,) = cut(Given(ramp(100), []), "mic", "s", ChunkFormat(), start=START)
    assert isinstance(chunk, Outgoing)
    assert chunk.with_fault("clip").with_fault("drop", is_sent=False).faults == ("clip", "drop")
