"""Frames computed once and shared by the windows that contain them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundscene.frontend.front_end import FrontEnd, WindowSpectra, usable_samples

__all__ = ["SharedFrames"]


class SharedFrames:
    """Window spectra of one session; successive windows share their mel and gammatone frames.

    It cannot know whether two windows belong to the same signal: keep one instance per session. The result of a
    window is that of `FrontEnd.window_spectra`, to float rounding, whatever came before it.

    Parameters
    ----------
    front_end : FrontEnd
        Shared by any number of sessions of a thread.
    """

    def __init__(self, front_end: FrontEnd) -> None:
        self._front_end = front_end
        self._first_sample: int | None = None
        self._mel: NDArray[np.float32] | None = None
        self._gammatone: NDArray[np.float32] | None = None

    def window_spectra(self, first_sample: int, window_samples: NDArray[np.float32]) -> WindowSpectra:
        """Return the spectra of a window, and compute only the frames that the previous window did not hold.

        Parameters
        ----------
        first_sample : int
            The window's first sample in its session, at the front end's rate.
        window_samples : np.ndarray [shape=(window length,), float32]
            Its samples.

        Raises
        ------
        AudioError
            The samples are not finite, not mono or not a window long.
        """
        settings = self._front_end.settings
        samples = usable_samples(window_samples, settings.window_length_samples)
        follows = self._first_sample is not None and first_sample == self._first_sample + settings.step_samples
        if follows and self._mel is not None and self._gammatone is not None:
            kept = settings.window_frames - settings.step_frames
            mel, gammatone = self._front_end.stft_bands_unchecked(samples[kept * settings.hop_size_samples :])
            mel = np.concatenate([self._mel[settings.step_frames :], mel])
            gammatone = np.concatenate([self._gammatone[settings.step_frames :], gammatone])
        else:
            mel, gammatone = self._front_end.stft_bands_unchecked(samples)
        self._first_sample, self._mel, self._gammatone = first_sample, mel, gammatone
        return WindowSpectra(mel, gammatone, self._front_end.cqt_unchecked(samples))
