"""Short-time power spectra by Essentia's own algorithms."""

from __future__ import annotations

from types import ModuleType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene.settings import FrontEndSettings

__all__ = ["PowerSpectra", "essentia_standard"]

_WINDOW: Final = {"type": "hann", "normalized": False, "symmetric": False, "zeroPhase": False}
"""The periodic Hann window without a gain. Essentia's defaults are symmetric and scaled to unit area."""


def essentia_standard() -> ModuleType:
    """Return `essentia.standard`, loaded without the greeting it prints. Takes a second: only who needs it pays."""
    import essentia

    was_active = essentia.log.infoActive
    essentia.log.infoActive = False
    try:
        from essentia import standard
    finally:
        essentia.log.infoActive = was_active
    return standard  # type: ignore[no-any-return]


class PowerSpectra:
    """Power spectra of consecutive frames: Essentia's `Windowing` and `PowerSpectrum`.

    Frame t covers the samples [t * hop, t * hop + window) and is zero-padded to the FFT size. Like the Essentia
    algorithms inside, an instance serves one thread.
    """

    def __init__(self, settings: FrontEndSettings) -> None:
        standard = essentia_standard()
        self._settings = settings
        padding = settings.fft_size_samples - settings.window_size_samples
        self._windowing = standard.Windowing(size=settings.window_size_samples, zeroPadding=padding, **_WINDOW)
        self._power_spectrum = standard.PowerSpectrum(size=settings.fft_size_samples)

    @property
    def bin_count(self) -> int:
        """Bins of a spectrum, from 0 Hz to Nyquist."""
        return self._settings.fft_size_samples // 2 + 1

    def frame_count(self, sample_count: int) -> int:
        """Return how many complete frames a signal holds."""
        return max(0, 1 + (sample_count - self._settings.window_size_samples) // self._settings.hop_size_samples)

    def into(self, out: NDArray[np.float32], samples: NDArray[np.float32], first_frame: int) -> None:
        """Write the spectra of the frames from `first_frame` on.

        Calls the compiled algorithms without Essentia's Python layer, whose checks of each argument cost a quarter of
        the time; what they check is promised by the parameters below.

        Parameters
        ----------
        out : np.ndarray [shape=(frames, bins), float32]
            Filled with squared magnitudes.
        samples : np.ndarray [shape=(n,), float32]
            The signal, C-contiguous.
        first_frame : int >= 0
            Frame that goes to the first row.
        """
        hop, size = self._settings.hop_size_samples, self._settings.window_size_samples
        window, power = self._windowing.__compute__, self._power_spectrum.__compute__
        for row, start in enumerate(range(first_frame * hop, (first_frame + len(out)) * hop, hop)):
            out[row] = power(window(samples[start : start + size]))
