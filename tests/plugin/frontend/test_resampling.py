"""Windows from sources at other rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from soundscene.errors import AudioError
from soundscene.frontend import resample_window
from soundscene.settings import FrontEndSettings
from soundscene.windows import WindowGrid

SETTINGS = FrontEndSettings()
RATES_HZ = (8_000, 11_025, 16_000, 22_050, 32_000, 44_056, 47_999, 48_000, 96_000, 192_000)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_window_of_any_rate_is_long_enough(rate_hz: int) -> None:
    """What the grid cuts at a foreign rate fills a window at the front end's rate, a tone stays that tone."""
    grid = WindowGrid(rate_hz, SETTINGS)
    tone = np.sin(2 * np.pi * 500.0 * np.arange(grid.length_samples) / rate_hz).astype(np.float32)
    out = resample_window(tone, rate_hz, SETTINGS)
    assert out.shape == (SETTINGS.window_length_samples,)
    assert out.dtype == np.float32
    expected = np.sin(2 * np.pi * 500.0 * np.arange(len(out)) / SETTINGS.sample_rate_hz)
    np.testing.assert_allclose(out[2_000:-2_000], expected[2_000:-2_000], atol=1e-3)


def test_it_agrees_with_another_resampler() -> None:
    """Band-limited noise from 48 kHz comes out as scipy's polyphase resampler gives it."""
    rate_hz = 48_000
    noise = np.random.default_rng(0).standard_normal(WindowGrid(rate_hz, SETTINGS).length_samples)
    low_passed = signal.sosfiltfilt(signal.butter(8, 8_000, fs=rate_hz, output="sos"), noise)
    out = resample_window(low_passed.astype(np.float32), rate_hz, SETTINGS)
    expected = signal.resample_poly(low_passed, 147, 160, window=("kaiser", 12.0))[: len(out)]
    error = (out - expected)[2_000:-2_000]
    assert 20 * np.log10(error.std() / expected.std()) < -55.0


def test_the_own_rate_passes_through() -> None:
    """At the front end's own rate the samples are the samples."""
    samples = np.random.default_rng(0).standard_normal(SETTINGS.window_length_samples).astype(np.float32)
    np.testing.assert_array_equal(resample_window(samples, 44_100, SETTINGS), samples)


@pytest.mark.parametrize("rate_hz", [44_100, 48_000])
def test_a_window_too_short_is_refused(rate_hz: int) -> None:
    """Samples that do not last for a window are an error, not a shorter window."""
    with pytest.raises(AudioError, match="a window needs"):
        resample_window(np.zeros(1_000, np.float32), rate_hz, SETTINGS)
