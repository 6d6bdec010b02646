"""Whether a verdict should be believed: faults that can be read from the samples and the scores of a window.

It cannot hear a fault that leaves a plausible signal: a covered microphone, a wrong gain, clipping ahead of the
converter that stays below digital full scale, or in one channel of several that were averaged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene.errors import AudioError, SettingsError

__all__ = ["LEVEL_FLOOR_DBFS", "Assessment", "AssessmentSettings", "Reason", "assess", "level_dbfs"]

LEVEL_FLOOR_DBFS: Final = -120.0
"""Reported for digital silence; below what 16 bits can hold (-101 dBFS)."""


class Reason(StrEnum):
    """Why a verdict should not be believed."""

    SILENT = "silent"
    CLIPPED = "clipped"
    DC = "dc"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class AssessmentSettings:
    """Where a signal stops being believable.

    Parameters
    ----------
    silent_below_dbfs : float < 0
        Level, without any constant offset, under which nothing is heard. -80 dBFS is 21 dB above the rounding noise of
        16 bits: what lies below is the converter more than the place.
    full_scale : float in (0, 1]
        Magnitude that counts as the end of the scale; 0.999 includes converters of 11 bits and more.
    clipped_share : float in (0, 1]
        Share of samples at full scale above which a window is clipped. The worst of 606 recordings of ESC-10 and of
        buses and trams, many of them normalised to full scale, has 0.14 %.
    dc_offset : float in (0, 1]
        Magnitude of the mean above which the converter or its supply is at fault. Air has no mean pressure change.

    Raises
    ------
    SettingsError
        A field is outside its range.
    """

    silent_below_dbfs: float = -80.0
    full_scale: float = 0.999
    clipped_share: float = 0.01
    dc_offset: float = 0.1

    def __post_init__(self) -> None:
        """Check every range, so that no invalid settings can exist."""
        if not LEVEL_FLOOR_DBFS <= self.silent_below_dbfs < 0.0:
            raise SettingsError(f"silent_below_dbfs must lie in [-120, 0), got {self.silent_below_dbfs!r}")
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if not 0.0 < value <= 1.0:
                raise SettingsError(f"{field.name} must lie in (0, 1], got {value!r}")


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

    @property
    def assessable(self) -> bool:
        """Whether the verdict may be believed."""
        return not self.reasons


def level_dbfs(mean_square: float) -> float:
    """Return a mean square as a level, 10 log10, never below -120 dBFS."""
    floor = 10.0 ** (LEVEL_FLOOR_DBFS / 10.0)
    return 10.0 * math.log10(max(mean_square, floor))


def assess(
    samples: NDArray[np.float32],
    scores: NDArray[np.float64],
    unsure_below: float = 0.0,
    settings: AssessmentSettings | None = None,
) -> Assessment:
    """Say how loud a window is and whether its verdict should be believed.

    Parameters
    ----------
    samples : np.ndarray [shape=(n > 0,), float32]
        The window as it came, before resampling; full scale 1.0.
    scores : np.ndarray [shape=(labels,)]
        Its verdict.
    unsure_below : float in [0, 1)
        The bundle's threshold for the best score.
    settings : AssessmentSettings or None
        Thresholds; None for the defaults.

    Raises
    ------
    AudioError
        A sample is not finite.
    """
    limits = settings or AssessmentSettings()
    power = float(np.dot(samples, samples)) / len(samples)
    if not math.isfinite(power):
        raise AudioError("expected finite samples, got NaN or infinity: check the decoder and the encoding")
    mean = float(samples.mean())  # pairwise summation: float32 suffices
    found = {
        Reason.SILENT: level_dbfs(power - mean * mean) < limits.silent_below_dbfs,
        Reason.CLIPPED: _is_clipped(samples, power, limits),
        Reason.DC: abs(mean) > limits.dc_offset,
        Reason.UNSURE: float(scores.max()) < unsure_below,
    }
    return Assessment(tuple(reason for reason, holds in found.items() if holds), level_dbfs(power))


def _is_clipped(samples: NDArray[np.float32], power: float, limits: AssessmentSettings) -> bool:
    """Whether too many samples lie at either end of the scale; so many that the power alone rules out most windows."""
    if power < 0.99 * limits.clipped_share * limits.full_scale**2:  # 0.99: the power is rounded
        return False
    if samples.max() < limits.full_scale and samples.min() > -limits.full_scale:
        return False
    return int(np.count_nonzero(np.abs(samples) >= limits.full_scale)) > limits.clipped_share * len(samples)
