"""Constant-Q power spectra by octave decimation and time-domain kernels.

Each octave is analysed at the lowest rate that still holds it, so that a kernel of seconds becomes a few hundred
samples, and all frames of an octave are one matrix product.

Scaling: a kernel is a periodic Hann window of N samples times a complex exponential, divided by the window's sum and
multiplied by sqrt(N). A full-scale sine at a bin's centre has the power N / 4. It is the scaling of
`librosa.cqt(norm=1, scale=True)`; the training constants of a network absorb it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from soundscene.settings import FrontEndSettings

__all__ = [
    "ConstantQ",
    "centre_frequencies_hz",
    "enclosing_frame_size_samples",
    "frame_centres_samples",
    "kernel_lengths_samples",
]

Samples = NDArray[np.float32]

_MAX_BAND_TO_NYQUIST: Final = 0.45
"""An octave is decimated as long as its highest bin stays below this fraction of Nyquist."""

_HALF_BAND_REACH_SAMPLES: Final = 11
"""23 taps: with the fraction above, images stay below -90 dB."""

_KAISER_BETA: Final = 10.0
_BLOCK_SAMPLES: Final = 16
_MAX_HALVINGS_FORGONE: Final = 2
"""How many halvings the lowest bin may forgo for a grid that holds every frame centre; each doubles its kernels."""


def kernel_lengths_samples(settings: FrontEndSettings) -> NDArray[np.float64]:
    """Return the length of each bin's kernel at the full rate, low to high: Q periods of its frequency.

    Q = 1 / alpha with the relative bandwidth alpha = (r^2 - 1) / (r^2 + 1) and r the ratio of neighbouring bins.
    """
    squared_ratio = 2.0 ** (2.0 / settings.cqt_bins_per_octave)
    quality = (squared_ratio + 1.0) / (squared_ratio - 1.0)
    lengths: NDArray[np.float64] = quality * settings.sample_rate_hz / centre_frequencies_hz(settings)
    return lengths


def centre_frequencies_hz(settings: FrontEndSettings) -> NDArray[np.float64]:
    """Return the centre of each bin, low to high."""
    octaves = np.arange(settings.band_count) / settings.cqt_bins_per_octave
    frequencies_hz: NDArray[np.float64] = settings.cqt_min_frequency_hz * np.exp2(octaves)
    return frequencies_hz


def frame_centres_samples(settings: FrontEndSettings) -> NDArray[np.int64]:
    """Return the centre of each frame of the short-time spectra in a window."""
    return np.arange(settings.window_frames) * settings.hop_size_samples + settings.window_size_samples // 2


def enclosing_frame_size_samples(settings: FrontEndSettings) -> int:
    """Return the smallest power of two that holds every kernel around its middle."""
    return 1 << int(kernel_lengths_samples(settings).max()).bit_length()


@dataclass(frozen=True)
class _Octave:
    """Bins that share a rate."""

    bins: slice
    kernels: Samples  # (kernel samples, cosines then sines)
    spans: Samples  # (padded signal at this rate, kernel samples): a view of what a kernel sees from each sample on
    starts: NDArray[np.intp]  # first kernel sample of each frame, in the padded signal


class ConstantQ:
    """Constant-Q power of frames centred on given samples of a signal of fixed length.

    Outside the signal is silence. Frame centres that the decimated grid of an octave does not hold are rounded to it,
    by at most half a sample of that grid (under 0.5 % of the kernel); the default preset needs no rounding. Holds
    scratch memory, so an instance serves one thread.

    Parameters
    ----------
    settings : FrontEndSettings
        Bins and rate.
    centres_samples : np.ndarray [shape=(frames,), int]
        Centre of each frame, inside the signal.
    length_samples : int > 0
        Length of the signal.
    """

    def __init__(self, settings: FrontEndSettings, centres_samples: NDArray[np.int64], length_samples: int) -> None:
        self._shape = (len(centres_samples), settings.band_count)
        self._taps = _half_band_blocks()
        groups = _bins_by_halvings(settings, centres_samples)
        longest = max(_reach(settings, bins, halvings) for halvings, bins in groups)
        unit = 4 * _BLOCK_SAMPLES
        self._margin = -(-longest // unit) * unit
        self._content = slice(self._margin, self._margin + length_samples)
        lengths = [-(-length_samples // 2**halvings) for halvings in range(groups[-1][0] + 1)]
        self._signals = [np.zeros(_padded_length(length, self._margin), np.float32) for length in lengths]
        self._octaves = [self._octave(settings, centres_samples, halvings, bins) for halvings, bins in groups]

    def power(self, samples: Samples) -> NDArray[np.float32]:
        """Return [shape=(frames, bins), float32], squared magnitudes, of a signal."""
        out = np.empty(self._shape, np.float32)
        self._signals[0][self._content] = samples
        for wider, narrower in pairwise(self._signals):
            self._halve(wider, narrower)
        for octave in self._octaves:
            parts = octave.spans[octave.starts] @ octave.kernels  # (frames, cosines then sines)
            np.multiply(parts, parts, out=parts)
            bins = parts.shape[1] // 2
            np.add(parts[:, :bins], parts[:, bins:], out=out[:, octave.bins])
        return out

    def _octave(self, settings: FrontEndSettings, centres: NDArray[np.int64], halvings: int, bins: slice) -> _Octave:
        reach = _reach(settings, bins, halvings)
        step = 2**halvings
        starts = (centres + step // 2) // step - reach + self._margin
        kernels = _kernels(settings, bins, step, reach)
        spans = sliding_window_view(self._signals[halvings], len(kernels))
        return _Octave(bins, kernels, spans, starts.astype(np.intp))

    def _halve(self, signal: Samples, out: Samples) -> None:
        """Halve the rate, margins kept.

        Output m is the sum over k of taps[k] * input[2 m + k]. A row of the products below makes one block of outputs
        from two blocks of inputs and the reach of the filter beyond them. What no row reaches stays the silence it was.
        """
        inner, beyond = self._taps
        width = len(inner)
        first = (self._margin + width) // 2  # further out, the margin is silent whatever the filter does
        begin = width - _HALF_BAND_REACH_SAMPLES
        rows = min((len(out) - first) // _BLOCK_SAMPLES, (len(signal) - begin) // width - 1)
        inputs = signal[begin : begin + (rows + 1) * width].reshape(rows + 1, width)
        outputs = out[first : first + rows * _BLOCK_SAMPLES].reshape(rows, _BLOCK_SAMPLES)
        np.matmul(inputs[:-1], inner, out=outputs)
        outputs += inputs[1:, : len(beyond)] @ beyond


def _padded_length(content: int, margin: int) -> int:
    unit = 2 * _BLOCK_SAMPLES
    return 2 * margin + -(-content // unit) * unit


def _half_band_blocks() -> tuple[Samples, Samples]:
    """Return the half-band filter as two Toeplitz matrices: inputs of a block to its outputs, and those beyond it."""
    reach = _HALF_BAND_REACH_SAMPLES
    offsets = np.arange(-reach, reach + 1)
    taps = 0.5 * np.sinc(offsets / 2.0) * np.kaiser(len(offsets), _KAISER_BETA)
    taps /= taps.sum()
    matrix = np.zeros((2 * _BLOCK_SAMPLES + 2 * reach - 1, _BLOCK_SAMPLES), np.float32)
    for output in range(_BLOCK_SAMPLES):
        matrix[2 * output : 2 * output + len(taps), output] = taps
    return matrix[: 2 * _BLOCK_SAMPLES].copy(), matrix[2 * _BLOCK_SAMPLES :].copy()


def _bins_by_halvings(settings: FrontEndSettings, centres: NDArray[np.int64]) -> list[tuple[int, slice]]:
    """Return bins by how often the rate is halved before they are analysed, high bins first."""
    limit_hz = _MAX_BAND_TO_NYQUIST * settings.sample_rate_hz / 2
    halvings = np.floor(np.log2(limit_hz / centre_frequencies_hz(settings))).astype(int)
    halvings = np.clip(halvings, 0, _exact_halvings(centres, max(0, int(halvings[0]))))
    found = []
    for value in sorted(set(halvings.tolist())):
        bins = np.flatnonzero(halvings == value)
        found.append((value, slice(int(bins[0]), int(bins[-1]) + 1)))
    return found


def _exact_halvings(centres: NDArray[np.int64], wanted: int) -> int:
    """Return how far to halve the rate where `wanted` is possible: less if that is the price of exact frame centres."""
    grid = int(np.gcd.reduce(centres))
    exact = (grid & -grid).bit_length() - 1
    return exact if wanted - _MAX_HALVINGS_FORGONE <= exact < wanted else wanted


def _reach(settings: FrontEndSettings, bins: slice, halvings: int) -> int:
    """Return how many samples the longest kernel of these bins extends to each side of its centre."""
    return int(np.floor(kernel_lengths_samples(settings)[bins].max() / 2 / 2**halvings))


def _kernels(settings: FrontEndSettings, bins: slice, step: int, reach: int) -> Samples:
    """Return kernels at the rate divided by `step`, centred on sample `reach`, as cosines and sines side by side."""
    full_lengths = kernel_lengths_samples(settings)[bins]
    offsets = np.arange(-reach, reach + 1)[:, None] * step  # full-rate samples
    phase = offsets / full_lengths
    window = np.where(np.abs(phase) < 0.5, 0.5 + 0.5 * np.cos(2.0 * np.pi * phase), 0.0)
    window *= np.sqrt(full_lengths) / window.sum(axis=0)
    angle = 2.0 * np.pi * centre_frequencies_hz(settings)[bins] * offsets / settings.sample_rate_hz
    return np.concatenate([window * np.cos(angle), window * np.sin(angle)], axis=1).astype(np.float32)
