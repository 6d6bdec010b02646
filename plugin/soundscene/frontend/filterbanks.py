"""Mel and gammatone filterbanks as banded matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene.settings import FrontEndSettings

__all__ = ["BandedMatrix", "gammatone_matrix", "hz_to_mel", "mel_matrix", "mel_to_hz"]

Matrix = NDArray[np.float64]

# The mel scale of Slaney's Auditory Toolbox (1998): linear below 1 kHz, logarithmic above.
_LINEAR_HZ_PER_MEL: Final = 200.0 / 3.0
_BREAK_HZ: Final = 1000.0
_BREAK_MEL: Final = _BREAK_HZ / _LINEAR_HZ_PER_MEL
_LOG_STEP_PER_MEL: Final = np.log(6.4) / 27.0


def hz_to_mel(frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return mels on Slaney's scale."""
    logarithmic = _BREAK_MEL + np.log(np.maximum(frequency_hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP_PER_MEL
    return np.where(frequency_hz < _BREAK_HZ, frequency_hz / _LINEAR_HZ_PER_MEL, logarithmic)


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return frequencies of mels on Slaney's scale."""
    logarithmic = _BREAK_HZ * np.exp(_LOG_STEP_PER_MEL * (np.maximum(mel, _BREAK_MEL) - _BREAK_MEL))
    return np.where(mel < _BREAK_MEL, mel * _LINEAR_HZ_PER_MEL, logarithmic)


def mel_matrix(settings: FrontEndSettings) -> Matrix:
    """Return triangles of unit area (in Hz) between points equally spaced in mel.

    Returns
    -------
    np.ndarray [shape=(bands, bins), float64]
        Weights on power, bands from low to high.
    """
    nyquist_hz = settings.sample_rate_hz / 2
    edges_mel = hz_to_mel(np.array([settings.min_frequency_hz, nyquist_hz]))
    points_hz = mel_to_hz(np.linspace(edges_mel[0], edges_mel[1], settings.band_count + 2))
    bins_hz = np.linspace(0.0, nyquist_hz, settings.fft_size_samples // 2 + 1)
    low, centre, high = points_hz[:-2, None], points_hz[1:-1, None], points_hz[2:, None]
    rising = (bins_hz - low) / (centre - low)
    falling = (high - bins_hz) / (high - centre)
    return np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (high - low))


def gammatone_matrix(settings: FrontEndSettings) -> Matrix:
    """Return the gammatone package's FFT approximation of a gammatone bank (Ellis, 2009).

    Returns
    -------
    np.ndarray [shape=(bands, bins), float64]
        Weights on magnitude, bands from low to high, peak gain about 1.
    """
    from gammatone.fftweight import fft_weights  # imports scipy.signal

    bins = settings.fft_size_samples // 2 + 1
    rate_hz = settings.sample_rate_hz
    weights, _ = fft_weights(
        settings.fft_size_samples, rate_hz, settings.band_count, 1, settings.min_frequency_hz, rate_hz / 2, bins
    )
    return np.asarray(weights, np.float64)


@dataclass(frozen=True)
class _Group:
    bands: slice
    bins: slice
    weights: NDArray[np.float32]


class BandedMatrix:
    """A filterbank whose rows are zero nearly everywhere, multiplied group by group of neighbouring bands.

    Parameters
    ----------
    matrix : np.ndarray [shape=(bands, bins)]
        Weights.
    group_bands : int > 0
        Bands multiplied together: more make larger products, but with more zeros.
    tolerance : float >= 0
        Weights up to this fraction of their band's largest count as zero, at both ends of the band.
    """

    def __init__(self, matrix: Matrix, group_bands: int, tolerance: float = 0.0) -> None:
        self.band_count = len(matrix)
        kept = matrix > tolerance * matrix.max(axis=1, keepdims=True)
        self._groups = tuple(
            _group(matrix, kept, slice(first, min(first + group_bands, self.band_count)))
            for first in range(0, self.band_count, group_bands)
        )

    def __call__(self, spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return [shape=(frames, bands)] of [shape=(frames, bins)]."""
        out = np.empty((len(spectra), self.band_count), np.float32)
        for group in self._groups:
            np.matmul(spectra[:, group.bins], group.weights, out=out[:, group.bands])
        return out


def _group(matrix: Matrix, kept: NDArray[np.bool_], bands: slice) -> _Group:
    used = np.flatnonzero(kept[bands].any(axis=0))
    bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
    return _Group(bands, bins, np.ascontiguousarray(matrix[bands, bins].T, dtype=np.float32))
