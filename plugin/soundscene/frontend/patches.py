"""From a window's log spectrogram to the patch a network sees, as small pure steps.

Each step takes any leading axes, so a batch is treated as its items are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from soundscene.errors import SettingsError
from soundscene.frontend.deltas import CHANNEL_COUNT, delta_matrix
from soundscene.settings import FrontEndSettings

__all__ = ["Standardisation", "floor_below_maximum", "level_proof", "patch", "remove_mean", "with_deltas"]

Array = NDArray[np.float32]

_NEPERS_PER_DB: Final = np.log(10.0) / 10.0
"""Natural logarithm of power, per decibel."""


@dataclass(frozen=True, slots=True)
class Standardisation:
    """Constants of one network, from its training data.

    Parameters
    ----------
    mean, scale : float
        The log spectrogram becomes (x - mean) / scale; scale > 0.
    channel_scale, channel_offset : three floats
        Then, after the deltas, each channel becomes x * scale + offset: the network's own input normalisation.

    Raises
    ------
    SettingsError
        A number is not finite, the scale is not positive, or there are not three channels.
    """

    mean: float
    scale: float
    channel_scale: tuple[float, float, float]
    channel_offset: tuple[float, float, float]

    def __post_init__(self) -> None:
        """Check the numbers, so that no invalid constants can exist."""
        if len(self.channel_scale) != CHANNEL_COUNT or len(self.channel_offset) != CHANNEL_COUNT:
            raise SettingsError(f"channel_scale and channel_offset need {CHANNEL_COUNT} numbers each")
        if not np.isfinite([self.mean, self.scale, *self.channel_scale, *self.channel_offset]).all() or self.scale <= 0:
            raise SettingsError(f"standardisation needs finite numbers and a scale above 0, got {self}")

    @classmethod
    def identity(cls) -> Self:
        """Return constants that change nothing."""
        return cls(0.0, 1.0, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready copy."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read constants back.

        Raises
        ------
        SettingsError
            A key is unknown or missing, or a value is not a number.
        """
        names = {"mean", "scale", "channel_scale", "channel_offset"}
        if set(values) != names:
            raise SettingsError(f"a standardisation needs exactly the keys {sorted(names)}, got {sorted(values)}")
        try:
            scale, offset = (tuple(float(x) for x in values[key]) for key in ("channel_scale", "channel_offset"))
            return cls(float(values["mean"]), float(values["scale"]), scale, offset)  # type: ignore[arg-type]  # length: __post_init__
        except (TypeError, ValueError) as error:
            raise SettingsError(f"a standardisation needs numbers, got {dict(values)}") from error


def floor_below_maximum(spectrum: Array, dynamic_range_db: float) -> Array:
    """Raise everything that lies further than `dynamic_range_db` below each window's own maximum to that floor.

    Parameters
    ----------
    spectrum : np.ndarray [shape=(..., frames, bands), float32]
        Natural logarithm of power.
    dynamic_range_db : float > 0
        Decibels.
    """
    maximum: Array = spectrum.max(axis=(-2, -1), keepdims=True)
    return np.maximum(spectrum, maximum - np.float32(dynamic_range_db * _NEPERS_PER_DB))


def remove_mean(spectrum: Array) -> Array:
    """Subtract each window's mean over frames and bands, which takes its level away."""
    mean: Array = spectrum.mean(axis=(-2, -1), keepdims=True, dtype=np.float64).astype(np.float32)
    return spectrum - mean


def level_proof(spectrum: Array, settings: FrontEndSettings, mean: float = 0.0, scale: float = 1.0) -> Array:
    """Floor, standardise and centre a window's log spectrogram, as far as the settings ask for it.

    Parameters
    ----------
    spectrum : np.ndarray [shape=(..., frames, bands), float32]
        Natural logarithm of power.
    settings : FrontEndSettings
        `dynamic_range_db` and `remove_window_mean` switch the first and the last step.
    mean, scale : float
        Training constants.
    """
    if settings.dynamic_range_db is not None:
        spectrum = floor_below_maximum(spectrum, settings.dynamic_range_db)
    spectrum = (spectrum - np.float32(mean)) * np.float32(1.0 / scale)
    return remove_mean(spectrum) if settings.remove_window_mean else spectrum


def with_deltas(spectrum: Array, settings: FrontEndSettings) -> Array:
    """Return static, delta and delta-delta channels.

    Parameters
    ----------
    spectrum : np.ndarray [shape=(..., window frames, bands), float32]
        Anything over time.
    settings : FrontEndSettings
        Patch length and delta width.

    Returns
    -------
    np.ndarray [shape=(..., bands, patch frames, 3), float32]
    """
    return _through(spectrum, delta_matrix(settings.patch_frames, settings.delta_width_frames))


def patch(spectrum: Array, settings: FrontEndSettings, standardisation: Standardisation) -> Array:
    """Return what a network sees of a window.

    Parameters
    ----------
    spectrum : np.ndarray [shape=(..., window frames, bands), float32]
        Natural logarithm of power.
    settings : FrontEndSettings
        Level steps, patch length and delta width.
    standardisation : Standardisation
        The network's constants.

    Returns
    -------
    np.ndarray [shape=(..., bands, patch frames, 3), float32]
        Bands from low to high; channels static, delta, delta-delta.
    """
    level = level_proof(spectrum, settings, standardisation.mean, standardisation.scale)
    matrix, offset = _channel_map(
        settings.patch_frames,
        settings.delta_width_frames,
        standardisation.channel_scale,
        standardisation.channel_offset,
    )
    out = _through(level, matrix)
    flat = out.reshape(*out.shape[:-2], -1)
    np.add(flat, offset, out=flat)
    return out


def _through(spectrum: Array, matrix: Array) -> Array:
    out = np.swapaxes(spectrum, -1, -2) @ matrix  # (..., bands, patch frames * channels)
    return np.asarray(out.reshape(*out.shape[:-1], -1, CHANNEL_COUNT), np.float32)


@lru_cache(maxsize=16)
def _channel_map(
    patch_frames: int, width_frames: int, scale: tuple[float, ...], offset: tuple[float, ...]
) -> tuple[Array, Array]:
    """Return the delta matrix with the channels' scales in it, and their offsets, one per column."""
    matrix = delta_matrix(patch_frames, width_frames)
    return (
        matrix * np.tile(np.asarray(scale, np.float32), patch_frames),
        np.tile(np.asarray(offset, np.float32), patch_frames),
    )
