"""Frames computed once and shared by overlapping windows."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundscene.errors import AudioError
from soundscene.frontend import FrontEnd, SharedFrames, WindowSpectra
from soundscene.settings import FrontEndSettings


@cache
def small_front_end(hop: int, step_frames: int) -> FrontEnd:
    return FrontEnd(
        FrontEndSettings(
            sample_rate_hz=8_000,
            window_size_samples=256,
            fft_size_samples=512,
            hop_size_samples=hop,
            patch_frames=16,
            step_frames=step_frames,
            band_count=16,
            cqt_min_frequency_hz=200.0,
            cqt_bins_per_octave=5,
        )
    )


def assert_same(one: WindowSpectra, other: WindowSpectra) -> None:
    for name in ("mel", "gammatone", "cqt"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=2e-4)


def noise(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal(count).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(
    hop=st.sampled_from([64, 100, 125, 256]),
    step_frames=st.sampled_from([1, 7, 12, 23, 24]),
    indices=st.lists(st.integers(0, 12), min_size=1, max_size=8),
)
def test_sharing_changes_nothing(hop: int, step_frames: int, indices: list[int]) -> None:
    """Windows in sequence, out of order, repeated or after a gap have the spectra they have alone."""
    front_end = small_front_end(hop, step_frames)
    shared = SharedFrames(front_end)
    step, length = front_end.settings.step_samples, front_end.settings.window_length_samples
    signal = noise(12 * step + length)
    for index in indices:
        samples = signal[index * step : index * step + length]
        assert_same(shared.window_spectra(index * step, samples), front_end.window_spectra(samples))


def test_only_new_frames_are_computed(default_front_end: FrontEnd) -> None:
    """A window that follows the previous one takes the overlap from memory, whatever its samples now say."""
    settings = default_front_end.settings
    shared = SharedFrames(default_front_end)
    signal = noise(settings.window_length_samples)
    first = shared.window_spectra(0, signal)
    second = shared.window_spectra(settings.step_samples, np.zeros_like(signal))
    np.testing.assert_array_equal(second.mel[:72], first.mel[64:])
    np.testing.assert_array_equal(second.gammatone[:72], first.gammatone[64:])
    assert second.mel[76:].max() < -36.0


def test_a_bad_window_does_not_spoil_the_next(default_front_end: FrontEnd) -> None:
    """After a window that was refused, the following ones are still right."""
    settings = default_front_end.settings
    step, length = settings.step_samples, settings.window_length_samples
    shared = SharedFrames(default_front_end)
    signal = noise(2 * step + length)
    shared.window_spectra(0, signal[:length])
    with pytest.raises(AudioError):
        shared.window_spectra(step, np.full(length, np.nan, np.float32))
    for index in (1, 2):
        samples = signal[index * step : index * step + length]
        assert_same(shared.window_spectra(index * step, samples), default_front_end.window_spectra(samples))
