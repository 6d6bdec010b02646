"""One-shot resampling of a window: as pure a function of its samples as the rest of the front end."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene.errors import AudioError
from soundscene.settings import FrontEndSettings

__all__ = ["resample_window"]

_QUALITY: Final = "HQ"


def resample_window(
    samples: NDArray[np.float32], source_rate_hz: int, settings: FrontEndSettings
) -> NDArray[np.float32]:
    """Bring a window to the front end's rate and length.

    Parameters
    ----------
    samples : np.ndarray [shape=(n,), float32]
        A window as `WindowGrid` cuts it: at a foreign rate one sample more than the window lasts.
    source_rate_hz : int > 0
        Its rate. At the front end's own rate the samples pass through.
    settings : FrontEndSettings
        Rate and length to reach.

    Returns
    -------
    np.ndarray [shape=(window length,), float32]

    Raises
    ------
    AudioError
        The samples do not last for a window.
    """
    length = settings.window_length_samples
    if source_rate_hz != settings.sample_rate_hz:
        import soxr  # most sources never need it

        samples = np.asarray(soxr.resample(samples, source_rate_hz, settings.sample_rate_hz, quality=_QUALITY))
    if samples.ndim != 1 or len(samples) < length:
        raise AudioError(
            f"a window needs {length} mono samples at {settings.sample_rate_hz} Hz, "
            f"got shape {samples.shape} from {source_rate_hz} Hz"
        )
    return np.ascontiguousarray(samples[:length], dtype=np.float32)
