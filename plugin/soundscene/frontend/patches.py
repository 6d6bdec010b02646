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

__all__ = [
    "Standardisation",
    "floor_below_maximum",
    "level_proof",
    "patch",
    "remove_band_means",
    "remove_mean",
    "with_deltas",
]

Array = NDArray[np.float32]

_BLOCK_FRAMES: Final = 16
"""Frames whose deltas are one product."""

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
    floored: Array = np.maximum(spectrum, maximum - np.float32(dynamic_range_db * _NEPERS_PER_DB))
    return floored


def remove_mean(spectrum: Array) -> Array:
    """Subtract each window's mean over frames and bands, which takes its level away."""
    mean: Array = spectrum.mean(axis=(-2, -1), keepdims=True, dtype=np.float64).astype(np.float32)
    return spectrum - mean


def remove_band_means(spectrum: Array) -> Array:
    """Subtract each band's mean over a window's frames, which takes level, microphone and steady colour away."""
    mean: Array = spectrum.mean(axis=-2, keepdims=True, dtype=np.float64).astype(np.float32)
    return spectrum - mean


def level_proof(
    spectrum: Array, settings: FrontEndSettings, network: str, mean: float = 0.0, scale: float = 1.0
) -> Array:
    """Floor, standardise and centre a window's log spectrogram, as far as the settings ask for it.

    Parameters
    ----------
    spectrum : np.ndarray [shape=(..., frames, bands), float32]
        Natural logarithm of power.
    settings : FrontEndSettings
        `dynamic_range_db`, `remove_window_mean` and `remove_band_means` switch the steps.
    network : str
        Whose input it is, one of `NETWORK_NAMES`.
    mean, scale : float
        Training constants.
    """
    if settings.dynamic_range_db is not None:
        spectrum = floor_below_maximum(spectrum, settings.dynamic_range_db)
    # One pass: where the band means go, the window's mean goes with them, and with either the training mean.
    if network in settings.remove_band_means:
        centred = remove_band_means(spectrum)
    elif settings.remove_window_mean:
        centred = remove_mean(spectrum)
    else:
        centred = spectrum - np.float32(mean)
    centred *= np.float32(1.0 / scale)
    return centred


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
    return _through(spectrum, settings, delta_matrix(_BLOCK_FRAMES, settings.delta_width_frames))


def patch(spectrum: Array, settings: FrontEndSettings, network: str, standardisation: Standardisation) -> Array:
    """Return what a network sees of a window.

    Parameters
    ----------
    spectrum : np.ndarray [shape=(..., window frames, bands), float32]
        Natural logarithm of power.
    settings : FrontEndSettings
        Level steps, patch length and delta width.
    network : str
        One of `NETWORK_NAMES`.
    standardisation : Standardisation
        The network's constants.

    Returns
    -------
    np.ndarray [shape=(..., bands, patch frames, 3), float32]
        Bands from low to high; channels static, delta, delta-delta.
    """
    level = level_proof(spectrum, settings, network, standardisation.mean, standardisation.scale)
    out = _through(level, settings, _scaled_deltas(settings.delta_width_frames, standardisation.channel_scale))
    flat = out.reshape(*out.shape[:-2], -1)
    np.add(flat, _offsets(settings.patch_frames, standardisation.channel_offset), out=flat)
    return out


def _through(spectrum: Array, settings: FrontEndSettings, matrix: Array) -> Array:
    """Multiply block by block: the map is a band of 9 frames, the same for every frame, and mostly zeros as a whole."""
    beyond = settings.window_frames - settings.patch_frames
    bands_by_frames = np.swapaxes(spectrum, -1, -2)
    shape = (*bands_by_frames.shape[:-1], settings.patch_frames * CHANNEL_COUNT)
    out = np.empty(shape, np.float32)
    for first in range(0, settings.patch_frames, _BLOCK_FRAMES):
        count = min(_BLOCK_FRAMES, settings.patch_frames - first)
        columns = slice(first * CHANNEL_COUNT, (first + count) * CHANNEL_COUNT)
        np.matmul(
            bands_by_frames[..., first : first + count + beyond],
            matrix[: count + beyond, : count * CHANNEL_COUNT],
            out=out[..., columns],
        )
    return out.reshape(*shape[:-1], settings.patch_frames, CHANNEL_COUNT)


@lru_cache(maxsize=16)
def _scaled_deltas(width_frames: int, channel_scale: tuple[float, ...]) -> Array:
    return delta_matrix(_BLOCK_FRAMES, width_frames) * np.tile(np.asarray(channel_scale, np.float32), _BLOCK_FRAMES)


@lru_cache(maxsize=16)
def _offsets(patch_frames: int, channel_offset: tuple[float, ...]) -> Array:
    return np.tile(np.asarray(channel_offset, np.float32), patch_frames)
