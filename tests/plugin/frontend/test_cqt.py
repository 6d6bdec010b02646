"""The constant-Q transform by octaves, held against its definition and against librosa."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from soundscene.frontend import FrontEnd, floor_below_maximum
from soundscene.frontend.cqt import ConstantQ, centre_frequencies_hz, frame_centres_samples, kernel_lengths_samples
from soundscene.settings import PRESET_NAMES, FrontEndSettings

DB_PER_NEPER = 10.0 / np.log(10.0)
FRAMES = (0, 1, 40, 67, 103, 134, 135)
Power = NDArray[np.floating]
Windows = dict[str, NDArray[np.float32]]

# Measured over real clips and synthetic signals: standard deviation and largest difference within 80 dB of the
# maximum. The narrow preset rounds frame centres to its decimated grid, the wide one does not.
TOLERANCES_DB = {1600: (0.05, 2.0), 1850: (0.3, 12.0)}


def exact_log_power(samples: NDArray[np.float32], settings: FrontEndSettings) -> Power:
    """The definition, in float64 at the full rate: one sum per frame and bin, silence outside the window."""
    lengths, frequencies_hz = kernel_lengths_samples(settings), centre_frequencies_hz(settings)
    power = np.empty((len(FRAMES), settings.band_count))
    for bin_index, (length, frequency_hz) in enumerate(zip(lengths, frequencies_hz, strict=True)):
        reach = int(length // 2)
        n = np.arange(-reach, reach + 1)
        window = np.where(np.abs(n) < length / 2, np.cos(np.pi * n / length) ** 2, 0.0)
        kernel = window / window.sum() * np.sqrt(length)
        kernel = kernel * np.exp(-2j * np.pi * frequency_hz * n / settings.sample_rate_hz)
        padded = np.pad(samples.astype(np.float64), reach)
        for row, frame in enumerate(FRAMES):
            centre = frame * settings.hop_size_samples + settings.window_size_samples // 2
            power[row, bin_index] = np.abs(padded[centre : centre + 2 * reach + 1] @ kernel) ** 2
    return np.log(np.maximum(power, settings.power_floor))


def test_it_is_the_constant_q_transform(front_end: FrontEnd, real_windows: Windows, synthetic_windows: Windows) -> None:
    """Decimated octaves give what a direct float64 sum over the full-rate window gives, edges included."""
    max_std_db, max_difference_db = TOLERANCES_DB[front_end.settings.hop_size_samples]
    for name, samples in {**real_windows, "chirp": synthetic_windows["chirp"]}.items():
        exact = exact_log_power(samples, front_end.settings)
        cqt = front_end.cqt(samples)[list(FRAMES)]
        audible = exact > exact.max() - 80.0 / DB_PER_NEPER
        difference = (cqt - exact)[audible] * DB_PER_NEPER
        assert np.corrcoef(cqt[audible], exact[audible])[0, 1] > 0.999, name
        assert difference.std() < max_std_db, name
        assert np.abs(difference).max() < max_difference_db, name


def test_it_is_librosas(default_front_end: FrontEnd, real_clips: Windows) -> None:
    """librosa's transform, with its own scaling, differs by a quarter of a decibel, which is its own distance."""
    settings = default_front_end.settings
    hop = settings.hop_size_samples
    shift = -(settings.window_size_samples // 2) % hop  # librosa centres frame t on sample t * hop
    first = (settings.window_size_samples // 2 + shift) // hop
    for name, clip in list(real_clips.items())[:2]:
        samples = np.resize(clip, settings.window_length_samples)
        oracle = librosa.cqt(
            np.pad(samples, (shift, 0)),
            sr=settings.sample_rate_hz,
            hop_length=hop,
            fmin=settings.cqt_min_frequency_hz,
            n_bins=settings.band_count,
            bins_per_octave=settings.cqt_bins_per_octave,
            tuning=0.0,
            pad_mode="constant",
        ).T[first:][: settings.window_frames]
        cqt = default_front_end.cqt(samples)
        audible = cqt > cqt.max() - 80.0 / DB_PER_NEPER
        difference = (cqt - 2.0 * np.log(np.maximum(np.abs(oracle), 1e-8)))[audible] * DB_PER_NEPER
        assert np.abs(difference.mean()) < 0.02, name
        assert difference.std() < 0.4, name


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_a_tone_lands_in_its_bin_with_its_power(preset: str) -> None:
    """A full-scale sine at the centre of a bin of N samples has the power N / 4, for every rate of analysis."""
    settings = FrontEndSettings.preset(preset)
    constant_q = ConstantQ(settings, frame_centres_samples(settings), settings.window_length_samples)
    seconds = np.arange(settings.window_length_samples) / settings.sample_rate_hz
    lengths, frequencies_hz = kernel_lengths_samples(settings), centre_frequencies_hz(settings)
    for bin_index in (0, 20, 50, 90, 119, 127):
        if lengths[bin_index] > settings.window_length_samples:
            continue  # a kernel longer than the window hears silence at both ends
        tone = np.sin(2.0 * np.pi * frequencies_hz[bin_index] * seconds).astype(np.float32)
        power = constant_q.power(tone)[settings.window_frames // 2]
        assert power.argmax() == bin_index
        assert power[bin_index] == pytest.approx(lengths[bin_index] / 4.0, rel=0.02)


@pytest.mark.parametrize("preset", PRESET_NAMES)
def test_decimation_lets_no_image_through(preset: str) -> None:
    """Noise above the highest bin stays out: in each bin of each octave its images lie 70 dB below the noise itself."""
    settings = FrontEndSettings.preset(preset)
    count = settings.window_length_samples
    noise = np.random.default_rng(1).standard_normal(count)
    spectrum = np.fft.rfft(noise)
    spectrum[: int(1.3 * settings.cqt_max_frequency_hz * count / settings.sample_rate_hz)] = 0.0
    edge = np.hanning(2 * (count // 8))[: count // 8]  # an abrupt end would be sound in every bin
    outside = np.fft.irfft(spectrum, count)
    outside[: len(edge)] *= edge
    outside[-len(edge) :] *= edge[::-1]
    constant_q = ConstantQ(settings, frame_centres_samples(settings), settings.window_length_samples)
    heard = constant_q.power(outside.astype(np.float32))[20:-20, :-2]
    reference = constant_q.power(noise.astype(np.float32))[20:-20, :-2]
    assert (10.0 * np.log10(heard.mean(axis=0) / reference.mean(axis=0)) < -70.0).all()


def test_nothing_outside_the_window_exists(default_front_end: FrontEnd, synthetic_windows: Windows) -> None:
    """Frames at the edges hear silence beyond them: the last half second of a window fades in the low bins."""
    cqt = default_front_end.cqt(np.resize(synthetic_windows["noise"], default_front_end.settings.window_length_samples))
    centre, edge = cqt[40:96, :16].mean(), cqt[[0, -1], :16].mean()
    assert edge < centre
    assert np.isfinite(floor_below_maximum(cqt, 80.0)).all()
