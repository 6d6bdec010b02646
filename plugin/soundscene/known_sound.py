"""A stored vector in each bundle: how its networks score a known sound, measured when it was written.

Hashes prove that the bytes are those that were exported. They do not prove that this machine, with its versions of the
libraries, makes the same of them. The known sound is a formula, so that no audio has to travel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.errors import BundleError
from soundscene.settings import NETWORK_NAMES, FrontEndSettings
from soundscene.windows import WindowGrid

if TYPE_CHECKING:
    from soundscene.classifier import SceneClassifier

__all__ = ["TOLERANCE", "known_sound", "measured", "require_known_scores"]

TOLERANCE: Final = 1e-3
"""Largest difference of a score; processors and versions of the libraries differ by 1e-5 at most."""


def known_sound(settings: FrontEndSettings) -> NDArray[np.float32]:
    """Return a window of two sweeps, a beating chord and clicks: something at every moment and in every band.

    The weakest bands, the highest of mel, lie 60 to 80 dB below the strongest. A front end of a smaller dynamic range
    floors them, and an error there alone does not show in the scores.

    Returns
    -------
    np.ndarray [shape=(window length,), float32]
        At the front end's rate, within full scale.
    """
    seconds = np.arange(settings.window_length_samples) / settings.sample_rate_hz
    length = seconds[-1]
    up = np.sin(2 * np.pi * 40.0 * length / np.log(300.0) * (300.0 ** (seconds / length) - 1.0))  # 40 Hz to 12 kHz
    chord = sum(np.sin(2 * np.pi * hertz * seconds) for hertz in (110.0, 111.5, 660.0, 2_640.0))
    clicks = np.exp(-200.0 * (seconds % 0.25)) * np.sin(2 * np.pi * 5_000.0 * seconds)
    mixed = 0.2 * up + 0.1 * up[::-1] + 0.04 * chord * (1.0 + np.sin(2 * np.pi * 0.7 * seconds)) + 0.2 * clicks
    return np.asarray(mixed, np.float32)


def measured(classifier: SceneClassifier) -> dict[str, list[float]]:
    """Return each network's scores of the known sound, in the order of the labels."""
    settings = classifier.bundle.front_end
    window = WindowGrid(settings.sample_rate_hz, settings).window(0, known_sound(settings))
    scores = classifier.classify(window).network_scores
    return {name: row.tolist() for name, row in zip(NETWORK_NAMES, scores, strict=True)}


def require_known_scores(classifier: SceneClassifier) -> float:
    """Check that a loaded bundle computes what it computed when it was written.

    Returns
    -------
    float
        Largest difference of a score.

    Raises
    ------
    BundleError
        A score differs by more than `TOLERANCE`.
    """
    stored: Mapping[str, Any] = classifier.bundle.self_test
    found = measured(classifier)
    difference = max(float(np.max(np.abs(np.subtract(found[name], stored[name])))) for name in NETWORK_NAMES)
    if not difference <= TOLERANCE:
        raise BundleError(
            f"bundle {classifier.bundle.directory}: scores of the known sound differ by {difference:.1e} from those "
            f"stored when it was written (allowed: {TOLERANCE:.0e}); export it again, or use the versions that wrote it"
        )
    return difference
