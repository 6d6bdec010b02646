"""The three spectrograms, held against the libraries that define them."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import librosa
import numpy as np
import pytest
from gammatone.fftweight import fft_gtgram
from numpy.typing import NDArray

from soundscene.errors import AudioError
from soundscene.frontend import FrontEnd, floor_below_maximum
from soundscene.frontend.spectra import PowerSpectra, essentia_standard
from soundscene.settings import FrontEndSettings

DB_PER_NEPER = 10.0 / np.log(10.0)
Power = NDArray[np.floating]
Windows = dict[str, NDArray[np.float32]]


def difference_db(spectrum: NDArray[np.float32], power: Power, settings: FrontEndSettings) -> Power:
    """Log spectrogram minus oracle, in decibels, where the spectrogram is within 80 dB of its maximum."""
    oracle: Power = np.log(np.maximum(power, settings.power_floor))
    assert spectrum.shape == oracle.shape
    audible = spectrum > spectrum.max() - 80.0 / DB_PER_NEPER
    difference: Power = (spectrum - oracle)[audible] * DB_PER_NEPER
    return difference


def mel_of_librosa(samples: NDArray[np.float32], settings: FrontEndSettings) -> Power:
    margin = (settings.fft_size_samples - settings.window_size_samples) // 2  # librosa centres its window in the FFT
    power: Power = librosa.feature.melspectrogram(
        y=np.pad(samples, margin),
        sr=settings.sample_rate_hz,
        n_fft=settings.fft_size_samples,
        win_length=settings.window_size_samples,
        hop_length=settings.hop_size_samples,
        center=False,
        n_mels=settings.band_count,
        fmin=settings.min_frequency_hz,
    ).T
    return power


def mel_of_essentia(samples: NDArray[np.float32], settings: FrontEndSettings) -> Power:
    spectra = PowerSpectra(settings)
    block = np.empty((settings.window_frames, spectra.bin_count), np.float32)
    spectra.into(block, samples, 0)
    mel_bands = essentia_standard().MelBands(
        inputSize=spectra.bin_count,
        numberBands=settings.band_count,
        sampleRate=settings.sample_rate_hz,
        lowFrequencyBound=settings.min_frequency_hz,
        highFrequencyBound=settings.sample_rate_hz / 2,
        warpingFormula="slaneyMel",
        weighting="linear",
        normalize="unit_tri",
        type="magnitude",  # the input is taken as it is, and it is power
    )
    return np.stack([mel_bands(spectrum) for spectrum in block])


def gammatone_of_its_package(samples: NDArray[np.float32], settings: FrontEndSettings) -> Power:
    margin = (settings.fft_size_samples - settings.window_size_samples) // 2
    rate_hz = settings.sample_rate_hz
    magnitude = fft_gtgram(
        np.pad(samples.astype(np.float64), (margin, 2 * margin)),
        rate_hz,
        settings.window_size_samples / rate_hz - 1e-9,  # rounding up would double its FFT
        settings.hop_size_samples / rate_hz,
        settings.band_count,
        settings.min_frequency_hz,
    ).T[: settings.window_frames]
    power: Power = (magnitude * settings.fft_size_samples) ** 2
    return power


@pytest.mark.parametrize(("oracle", "tolerance_db"), [(mel_of_librosa, 2e-3), (mel_of_essentia, 0.1)])
def test_mel_equals_librosa_and_essentia(
    front_end: FrontEnd,
    real_windows: Windows,
    synthetic_windows: Windows,
    oracle: Callable[[NDArray[np.float32], FrontEndSettings], Power],
    tolerance_db: float,
) -> None:
    """The mel spectrogram is librosa's, and Essentia's with the same explicit settings."""
    for name, samples in {**real_windows, "chirp": synthetic_windows["chirp"]}.items():
        mel, _ = front_end.stft_bands(samples)
        difference = difference_db(mel, oracle(samples, front_end.settings), front_end.settings)
        assert difference.std() < tolerance_db / 20.0, name
        assert np.abs(difference).max() < tolerance_db, name


def test_gammatone_equals_the_gammatone_package(
    front_end: FrontEnd, real_windows: Windows, synthetic_windows: Windows
) -> None:
    """The gammatone spectrogram is `fft_gtgram` squared, but for the skirts that are cut at -80 dB."""
    for name, samples in {**real_windows, "noise": synthetic_windows["noise"]}.items():
        _, gammatone = front_end.stft_bands(samples)
        oracle = gammatone_of_its_package(samples, front_end.settings)
        difference = difference_db(gammatone, oracle, front_end.settings)
        assert difference.std() < 0.05, name
        assert np.abs(difference).max() < 0.5, name


def test_frame_t_starts_at_t_hops(default_front_end: FrontEnd) -> None:
    """A click is heard by exactly the frames that hold it: no centring, no padding."""
    settings = default_front_end.settings
    hop, size = settings.hop_size_samples, settings.window_size_samples
    samples = np.zeros(20 * hop + size, np.float32)
    at = 10 * hop + 100
    samples[at] = 1.0
    mel, gammatone = default_front_end.stft_bands(samples)
    heard = [t for t in range(21) if t * hop < at < t * hop + size]  # the window's very first weight is 0
    assert np.flatnonzero(mel.max(axis=1) > -20.0).tolist() == heard
    assert np.flatnonzero(gammatone.max(axis=1) > -20.0).tolist() == heard


@pytest.mark.parametrize(("sample_count", "frames"), [(0, 0), (4_095, 0), (4_096, 1), (5_695, 1), (5_696, 2)])
def test_every_complete_frame_and_no_other(default_front_end: FrontEnd, sample_count: int, frames: int) -> None:
    """A signal holds one frame for each hop at which a whole window fits."""
    mel, gammatone = default_front_end.stft_bands(np.zeros(sample_count, np.float32))
    assert mel.shape == gammatone.shape == (frames, 128)


def test_a_long_signal_is_its_frames(default_front_end: FrontEnd, synthetic_windows: Windows) -> None:
    """Frames do not depend on how many others are computed with them."""
    samples = synthetic_windows["noise"][:150_000]
    hop = default_front_end.settings.hop_size_samples
    mel, gammatone = default_front_end.stft_bands(samples)
    for frame in (0, 31, 32, 57):
        one_mel, one_gammatone = default_front_end.stft_bands(samples[frame * hop : frame * hop + 4_096])
        np.testing.assert_allclose(one_mel[0], mel[frame], atol=1e-4)
        np.testing.assert_allclose(one_gammatone[0], gammatone[frame], atol=1e-4)


def test_silence_is_the_floor(front_end: FrontEnd, synthetic_windows: Windows) -> None:
    """Digital silence gives the logarithm of the floor everywhere, and nothing that is not finite."""
    spectra = front_end.window_spectra(synthetic_windows["zeros"])
    for spectrum in (spectra.mel, spectra.gammatone, spectra.cqt):
        np.testing.assert_allclose(spectrum, np.log(front_end.settings.power_floor), rtol=1e-6)


def test_sound_below_the_range_does_not_change_the_spectra(default_front_end: FrontEnd) -> None:
    """Windows leak little: noise 50 dB below a tone keeps its level in the bands the tone is not in."""
    count = default_front_end.settings.window_length_samples
    noise = np.random.default_rng(0).standard_normal(count) * 3e-3
    tone = np.sin(2 * np.pi * 100.0 * np.arange(count) / 44_100)
    alone = default_front_end.window_spectra(noise.astype(np.float32))
    both = default_front_end.window_spectra((noise + tone).astype(np.float32))
    for name in ("mel", "cqt"):
        difference = (getattr(both, name) - getattr(alone, name))[10:-10, 100:]
        assert np.abs(difference.mean()) * DB_PER_NEPER < 0.1, name


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e30])
def test_samples_that_are_not_finite_are_refused(default_front_end: FrontEnd, bad: float) -> None:
    """One bad sample is an error at every public entry, not a spectrogram full of NaN."""
    samples = np.zeros(default_front_end.settings.window_length_samples, np.float32)
    samples[1234] = bad
    for compute in (default_front_end.stft_bands, default_front_end.cqt, default_front_end.window_spectra):
        with pytest.raises(AudioError, match="finite"):
            compute(samples)


def test_a_window_must_have_its_length_and_be_mono(default_front_end: FrontEnd) -> None:
    """A window of another shape is refused with the shape that was expected."""
    length = default_front_end.settings.window_length_samples
    for samples in (np.zeros(length - 1, np.float32), np.zeros((1, length), np.float32), np.float32(0.0)):
        with pytest.raises(AudioError, match=str(length)):
            default_front_end.window_spectra(samples)  # type: ignore[arg-type]


def test_inputs_are_left_alone_and_may_be_of_any_kind(default_front_end: FrontEnd, synthetic_windows: Windows) -> None:
    """Read-only, strided and float64 samples give the same spectra, and none is written to."""
    samples = np.resize(synthetic_windows["chirp"], default_front_end.settings.window_length_samples)
    samples.flags.writeable = False
    strided = np.repeat(samples, 2)[::2]
    expected = default_front_end.window_spectra(samples)
    for other in (strided, samples.astype(np.float64)):
        spectra = default_front_end.window_spectra(other)  # type: ignore[arg-type]
        np.testing.assert_array_equal(spectra.mel, expected.mel)
        np.testing.assert_array_equal(spectra.cqt, expected.cqt)


def test_results_are_not_overwritten_by_the_next_window(default_front_end: FrontEnd) -> None:
    """Scratch memory stays inside: spectra handed out belong to the caller."""
    length = default_front_end.settings.window_length_samples
    first = default_front_end.window_spectra(np.ones(length, np.float32))
    copies = [first.mel.copy(), first.gammatone.copy(), first.cqt.copy()]
    default_front_end.window_spectra(np.zeros(length, np.float32))
    for spectrum, copy in zip((first.mel, first.gammatone, first.cqt), copies, strict=True):
        np.testing.assert_array_equal(spectrum, copy)


def test_a_front_end_travels_to_other_processes(default_front_end: FrontEnd, synthetic_windows: Windows) -> None:
    """A pickled front end computes what the original computes."""
    samples = np.resize(synthetic_windows["noise"], default_front_end.settings.window_length_samples)
    copy = pickle.loads(pickle.dumps(default_front_end))
    np.testing.assert_array_equal(copy.window_spectra(samples).mel, default_front_end.window_spectra(samples).mel)


def test_a_small_front_end_works_at_any_rate() -> None:
    """Nothing is tied to 44.1 kHz or to 128 bands."""
    settings = FrontEndSettings(
        sample_rate_hz=8_000,
        window_size_samples=512,
        fft_size_samples=512,
        hop_size_samples=200,
        patch_frames=20,
        step_frames=10,
        band_count=24,
        cqt_min_frequency_hz=100.0,
        cqt_bins_per_octave=5,
    )
    tone = np.sin(2 * np.pi * 400.0 * np.arange(settings.window_length_samples) / 8_000).astype(np.float32)
    spectra = FrontEnd(settings).window_spectra(tone)
    assert spectra.mel.shape == spectra.cqt.shape == (28, 24)
    assert spectra.cqt[14].argmax() == 10  # two octaves above the lowest bin


@pytest.mark.parametrize("name", ["mel", "gammatone", "cqt"])
def test_gain_is_a_shift(default_front_end: FrontEnd, synthetic_windows: Windows, name: str) -> None:
    """Ten times the amplitude is 20 dB more in every cell that the floor does not hide."""
    samples = np.resize(synthetic_windows["noise"], default_front_end.settings.window_length_samples)
    quiet = getattr(default_front_end.window_spectra(samples), name)
    loud = getattr(default_front_end.window_spectra(samples * np.float32(10.0)), name)
    shift = floor_below_maximum(loud, 80.0) - floor_below_maximum(quiet, 80.0)
    np.testing.assert_allclose(shift, 20.0 / DB_PER_NEPER, atol=1e-3)
