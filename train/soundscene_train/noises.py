"""Steady noise as a front end sees it: what self-noise, wind or a busy road add to a recording."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from soundscene.frontend import FrontEnd
from soundscene.settings import NETWORK_NAMES, FrontEndSettings

__all__ = ["COLOURS", "band_noises"]

Array = NDArray[np.float32]

COLOURS: Final = {"white": 0.0, "pink": 1.0, "brown": 2.0}
"""Power falls with frequency to the power of this."""
_LOWEST_HZ: Final = 20.0
"""Below it coloured noise does not rise any more, or nothing else would be left of it."""


def band_noises(settings: FrontEndSettings) -> dict[str, Array]:
    """Compute a window of each colour of noise, always the same.

    Parameters
    ----------
    settings : FrontEndSettings
        The front end.

    Returns
    -------
    dict of network to np.ndarray [shape=(colours, window frames, bands), float32]
        Natural logarithm of power; the power of a frame, summed over its bands, is 1 on the mean.
    """
    front_end = FrontEnd(settings)
    generator = np.random.default_rng(0)
    with threadpool_limits(1, user_api="blas"):  # several threads would add up in another order
        windows = [front_end.window_spectra(_noise(exponent, settings, generator)) for exponent in COLOURS.values()]
    found = {}
    for name in NETWORK_NAMES:
        spectra = np.stack([getattr(window, name) for window in windows]).astype(np.float64)
        level = np.log(np.exp(spectra).sum(axis=2).mean(axis=1))
        found[name] = np.asarray(spectra - level[:, None, None], np.float32)
    return found


def _noise(exponent: float, settings: FrontEndSettings, generator: np.random.Generator) -> Array:
    """A window of Gaussian noise whose power falls with frequency to the power of `exponent`, at full scale."""
    count = settings.window_length_samples
    spectrum = np.fft.rfft(generator.standard_normal(count))
    frequencies_hz = np.maximum(np.fft.rfftfreq(count, 1.0 / settings.sample_rate_hz), _LOWEST_HZ)
    samples = np.fft.irfft(spectrum * frequencies_hz ** (-exponent / 2.0), count)
    return np.asarray(samples / np.abs(samples).max(), np.float32)
