"""Three log spectrograms of a signal: mel, gammatone, constant-Q."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene.errors import AudioError
from soundscene.frontend.cqt import ConstantQ, frame_centres_samples
from soundscene.frontend.filterbanks import BandedMatrix, gammatone_matrix, mel_matrix
from soundscene.frontend.spectra import PowerSpectra
from soundscene.settings import FrontEndSettings

__all__ = ["FrontEnd", "WindowSpectra", "log_power", "usable_samples"]

Array = NDArray[np.float32]

_BLOCK_FRAMES: Final = 64
"""Frames whose spectra are held at a time: a megabyte, the size of the second-level cache of a core."""

_MEL_GROUP_BANDS: Final = 8
_GAMMATONE_GROUP_BANDS: Final = 16
_GAMMATONE_TOLERANCE: Final = 1e-4
"""Skirts of a gammatone band below -80 dB are left out: the level floor of the default preset hides them."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowSpectra:
    """The spectrograms of one window.

    Parameters
    ----------
    mel, gammatone, cqt : np.ndarray [shape=(window frames, bands), float32]
        Natural logarithm of power, bands from low to high.
    """

    mel: Array
    gammatone: Array
    cqt: Array


class FrontEnd:
    """Spectrograms by the settings of a bundle.

    Holds Essentia algorithms and scratch memory, so an instance serves one thread; settings and results are plain.
    Building one takes about a second, mostly for loading Essentia.

    Parameters
    ----------
    settings : FrontEndSettings
        Frames, bands and floors.
    """

    def __init__(self, settings: FrontEndSettings) -> None:
        self.settings = settings
        self._spectra = PowerSpectra(settings)
        self._mel = BandedMatrix(mel_matrix(settings), _MEL_GROUP_BANDS)
        self._gammatone = BandedMatrix(gammatone_matrix(settings), _GAMMATONE_GROUP_BANDS, _GAMMATONE_TOLERANCE)
        self._constant_q = ConstantQ(settings, frame_centres_samples(settings), settings.window_length_samples)
        self._block = np.empty((_BLOCK_FRAMES, self._spectra.bin_count), np.float32)

    def __reduce__(self) -> tuple[type[FrontEnd], tuple[FrontEndSettings]]:
        """Travel to other processes as settings: Essentia's algorithms cannot."""
        return FrontEnd, (self.settings,)

    def stft_bands(self, samples: Array) -> tuple[Array, Array]:
        """Return mel and gammatone log power of every complete frame; frame t starts at sample t * hop.

        Mel: Slaney triangles on power (`librosa.filters.mel` with its defaults). Gammatone: `gammatone.fftweight`
        weights on magnitude, then squared. Both floored at `power_floor` before the natural logarithm.

        Parameters
        ----------
        samples : np.ndarray [shape=(n,), float32]
            Mono, full scale 1.0.

        Returns
        -------
        tuple of two np.ndarray [shape=(frames, bands), float32]

        Raises
        ------
        AudioError
            The samples are not finite or not mono.
        """
        return self.stft_bands_unchecked(usable_samples(samples))

    def stft_bands_unchecked(self, samples: Array) -> tuple[Array, Array]:
        """Do the work of `stft_bands` on samples that went through `usable_samples`."""
        frames = self._spectra.frame_count(len(samples))
        mel, gammatone = (np.empty((frames, self.settings.band_count), np.float32) for _ in range(2))
        for first in range(0, frames, _BLOCK_FRAMES):
            rows = slice(first, min(first + _BLOCK_FRAMES, frames))
            block = self._block[: rows.stop - rows.start]
            self._spectra.into(block, samples, first)
            mel[rows] = self._mel(block)
            np.sqrt(block, out=block)
            np.square(self._gammatone(block), out=gammatone[rows])
        return log_power(mel, self.settings), log_power(gammatone, self.settings)

    def cqt(self, window_samples: Array) -> Array:
        """Return constant-Q log power of a window, with silence on both sides of it.

        Parameters
        ----------
        window_samples : np.ndarray [shape=(window length,), float32]
            Mono, full scale 1.0.

        Returns
        -------
        np.ndarray [shape=(window frames, bands), float32]
            Frame t is centred where frame t of the short-time spectra is.

        Raises
        ------
        AudioError
            The samples are not finite, not mono or not a window long.
        """
        return self.cqt_unchecked(usable_samples(window_samples, self.settings.window_length_samples))

    def cqt_unchecked(self, window_samples: Array) -> Array:
        """Do the work of `cqt` on samples that went through `usable_samples`."""
        return log_power(self._constant_q.power(window_samples), self.settings)

    def window_spectra(self, window_samples: Array) -> WindowSpectra:
        """Return all three spectrograms of a window: a function of its samples alone.

        Raises
        ------
        AudioError
            The samples are not finite, not mono or not a window long.
        """
        samples = usable_samples(window_samples, self.settings.window_length_samples)
        return WindowSpectra(*self.stft_bands_unchecked(samples), self.cqt_unchecked(samples))


def usable_samples(samples: Array, length_samples: int | None = None) -> Array:
    """Return the signal as contiguous float32.

    Raises
    ------
    AudioError
        It is not one-dimensional, not of the length asked for, or holds values that are not finite.
    """
    usable = np.ascontiguousarray(samples, dtype=np.float32)
    if usable.ndim != 1 or np.ndim(samples) != 1 or (length_samples is not None and len(usable) != length_samples):
        wanted = "n" if length_samples is None else length_samples
        raise AudioError(f"expected mono samples of shape ({wanted},), got {np.shape(samples)}")
    # One pass without a temporary array: the energy is finite exactly when every sample is (and none is absurd).
    with np.errstate(over="ignore", invalid="ignore"):
        energy = np.dot(usable, usable)
    if not np.isfinite(energy):
        raise AudioError("samples must be finite numbers with full scale 1.0; found NaN, infinity or absurd values")
    return usable


def log_power(power: Array, settings: FrontEndSettings) -> Array:
    """Turn power into its natural logarithm, in place, floored at `power_floor`."""
    np.maximum(power, np.float32(settings.power_floor), out=power)
    return np.log(power, out=power)
