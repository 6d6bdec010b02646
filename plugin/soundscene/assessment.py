"""Whether a verdict should be believed: faults that can be read from the samples and the scores of a window.

It cannot hear a fault that leaves a plausible signal: a covered microphone, a wrong gain, clipping ahead of the
converter that stays below digital full scale, or in one channel of several that were averaged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene.errors import AudioError

__all__ = ["LEVEL_FLOOR_DBFS", "Assessment", "Reason", "assess", "level_dbfs"]

LEVEL_FLOOR_DBFS: Final = -120.0
"""Reported for digital silence; below what 16 bits can hold (-101 dBFS)."""

_SILENT_BELOW_DBFS: Final = -80.0
"""Level, without any constant offset, under which nothing is heard.

21 dB above the rounding noise of 16 bits: what lies below is the converter more than the place.
"""

_FULL_SCALE: Final = 0.999
"""Magnitude that counts as the end of the scale: includes converters of 11 bits and more."""

_CLIPPED_SHARE: Final = 0.01
"""Share of samples at full scale above which a window is clipped.

The worst of 606 recordings of ESC-10 and of buses and trams, many of them normalised to full scale, has 0.14 %.
"""

_DC_OFFSET: Final = 0.1
"""Magnitude of the mean above which the converter or its supply is at fault: air has no mean pressure change."""


class Reason(StrEnum):
    """Why a verdict should not be believed."""

    SILENT = "silent"
    CLIPPED = "clipped"
    DC = "dc"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the samples and scores of a window say about the verdict.

    Parameters
    ----------
    reasons : tuple of Reason
        Empty when the verdict may be believed; in the order of `Reason`.
    level_dbfs : float in [-120, 0]
        RMS level; a full-scale square wave is 0 dBFS. Above 0 only where samples exceed full scale.
    """

    reasons: tuple[Reason, ...]
    level_dbfs: float


def level_dbfs(mean_square: float) -> float:
    """Return a mean square as a level, 10 log10, never below -120 dBFS."""
    floor = 10.0 ** (LEVEL_FLOOR_DBFS / 10.0)
    return 10.0 * math.log10(max(mean_square, floor))


def assess(samples: NDArray[np.float32], scores: NDArray[np.float64], unsure_below: float = 0.0) -> Assessment:
    """Say how loud a window is and whether its verdict should be believed.

    Parameters
    ----------
    samples : np.ndarray [shape=(n > 0,), float32]
        The window as it came, before resampling; full scale 1.0.
    scores : np.ndarray [shape=(labels,)]
        Its verdict.
    unsure_below : float in [0, 1)
        The bundle's threshold for the best score.

    Raises
    ------
    AudioError
        A sample is not finite.
    """
    power = float(np.dot(samples, samples)) / len(samples)
    if not math.isfinite(power):
        raise AudioError("expected finite samples, got NaN or infinity: check the decoder and the encoding")
    mean = float(samples.mean())  # pairwise summation: float32 suffices
    found = {
        Reason.SILENT: level_dbfs(power - mean * mean) < _SILENT_BELOW_DBFS,
        Reason.CLIPPED: _is_clipped(samples, power),
        Reason.DC: abs(mean) > _DC_OFFSET,
        Reason.UNSURE: float(scores.max()) < unsure_below,
    }
    return Assessment(tuple(reason for reason, holds in found.items() if holds), level_dbfs(power))


def _is_clipped(samples: NDArray[np.float32], power: float) -> bool:
    """Whether too many samples lie at either end of the scale; so many that the power alone rules out most windows."""
    if power < 0.99 * _CLIPPED_SHARE * _FULL_SCALE**2:  # 0.99: the power is rounded
        return False
    if samples.max() < _FULL_SCALE and samples.min() > -_FULL_SCALE:
        return False
    return int(np.count_nonzero(np.abs(samples) >= _FULL_SCALE)) > _CLIPPED_SHARE * len(samples)
