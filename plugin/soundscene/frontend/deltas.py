"""Delta and delta-delta as one constant matrix."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHANNEL_COUNT", "delta_kernel", "delta_matrix"]

CHANNEL_COUNT = 3
"""Static, delta, delta-delta."""


def delta_kernel(width_frames: int) -> NDArray[np.float64]:
    """Return the weights of the regression slope over `width_frames` frames, oldest first, per frame."""
    reach = width_frames // 2
    offsets = np.arange(-reach, reach + 1, dtype=np.float64)
    return offsets / np.sum(offsets**2)


@lru_cache(maxsize=8)
def delta_matrix(patch_frames: int, width_frames: int) -> NDArray[np.float32]:
    """Return the map from the frames of a window to static, delta and delta-delta of the frames of a patch.

    Only complete regressions count ("valid"): a window has 2 * (width - 1) frames more than the patch.

    Returns
    -------
    np.ndarray [shape=(window frames, patch frames * 3), float32, read-only]
        Column 3 * t + c makes channel c of patch frame t.
    """
    once = delta_kernel(width_frames)
    twice = np.convolve(once, once)
    static = np.zeros_like(twice)
    static[len(twice) // 2] = 1.0
    first = np.zeros_like(twice)
    reach = width_frames // 2
    first[reach : reach + width_frames] = once
    matrix = np.zeros((patch_frames + len(twice) - 1, patch_frames, CHANNEL_COUNT), np.float32)
    for frame in range(patch_frames):
        matrix[frame : frame + len(twice), frame] = np.stack([static, first, twice], axis=1)
    flat = matrix.reshape(len(matrix), -1)
    flat.flags.writeable = False
    return flat
