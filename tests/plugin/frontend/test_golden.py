"""Numbers of the front end, kept: networks trained with them must find them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from soundscene.frontend import FrontEnd, floor_below_maximum

Golden = Callable[[str, Mapping[str, NDArray[np.float32]]], Mapping[str, NDArray[np.float32]]]

FRAMES = slice(3, None, 33)


def test_spectra_are_those_of_the_first_release(
    front_end: FrontEnd, synthetic_windows: dict[str, NDArray[np.float32]], golden: Golden
) -> None:
    """Silence, noise, a sine and a chirp have the stored spectra, to 0.01 dB, within 80 dB of each maximum."""
    found = {}
    for name, samples in synthetic_windows.items():
        spectra = front_end.window_spectra(samples)
        for kind in ("mel", "gammatone", "cqt"):
            found[f"{name}_{kind}"] = floor_below_maximum(getattr(spectra, kind), 80.0)[FRAMES]
    stored = golden(f"spectra-hop-{front_end.settings.hop_size_samples}", found)
    assert set(stored) == set(found)
    for key, expected in stored.items():
        np.testing.assert_allclose(found[key], expected, atol=0.0023, err_msg=key)
