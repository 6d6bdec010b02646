"""From samples to the patches the networks see: every step small, explicit and pure."""

from __future__ import annotations

from soundscene.frontend.front_end import FrontEnd, WindowSpectra
from soundscene.frontend.patches import (
    Standardisation,
    floor_below_maximum,
    level_proof,
    patch,
    remove_band_means,
    remove_mean,
    with_deltas,
)
from soundscene.frontend.resampling import resample_window
from soundscene.frontend.sharing import SharedFrames

__all__ = [
    "FrontEnd",
    "SharedFrames",
    "Standardisation",
    "WindowSpectra",
    "floor_below_maximum",
    "level_proof",
    "patch",
    "remove_band_means",
    "remove_mean",
    "resample_window",
    "with_deltas",
]
