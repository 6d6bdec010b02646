"""City scenes made from nothing: enough to try the whole path, no substitute for recordings.

Ten scenes under the labels of the TAU Urban Acoustic Scenes data. Each is a table of layers (voices, engines, steps,
birds, rails ...) that come and go at random levels. Neighbouring scenes share most of their layers, so that some clips
are told apart by no one: a classifier that gets everything right has cheated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene import _sounds as sounds
from soundscene.errors import SettingsError

__all__ = ["SCENE_NAMES", "synthesise"]

Sound = Callable[[int, float, np.random.Generator], NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One sound of a scene: its level against the scene's air, how much that varies, and how often it is there."""

    sound: Sound
    level_db: float
    spread_db: float = 5.0
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class _Scene:
    """Layers, the room around them and the usual level."""

    layers: tuple[_Layer, ...]
    reverberation_seconds: float = 0.0
    level_dbfs: float = -28.0


_SCENES: Final[dict[str, _Scene]] = {
    "airport": _Scene(
        (
            _Layer(sounds.ventilation, 0.0),
            _Layer(sounds.babble, 0.0),
            _Layer(sounds.trolleys, -3.0, 6.0, 0.7),
            _Layer(sounds.announcement, 4.0, 5.0, 0.45),
            _Layer(sounds.footsteps, -6.0, 6.0, 0.6),
        ),
        1.2,
    ),
    "bus": _Scene(
        (
            _Layer(sounds.diesel, 4.0),
            _Layer(sounds.road, 0.0),
            _Layer(sounds.babble, -8.0, 6.0, 0.6),
            _Layer(sounds.door_signal, -2.0, 5.0, 0.2),
        ),
        0.1,
        -24.0,
    ),
    "metro": _Scene(
        (
            _Layer(sounds.rails, 2.0),
            _Layer(sounds.traction, -4.0, 6.0, 0.8),
            _Layer(sounds.ventilation, -4.0),
            _Layer(sounds.babble, -9.0, 6.0, 0.5),
            _Layer(sounds.announcement, 0.0, 5.0, 0.2),
        ),
        0.15,
        -24.0,
    ),
    "metro_station": _Scene(
        (
            _Layer(sounds.ventilation, 0.0),
            _Layer(sounds.rails, -5.0, 7.0, 0.55),
            _Layer(sounds.squeal, -8.0, 6.0, 0.35),
            _Layer(sounds.footsteps, -4.0, 6.0, 0.7),
            _Layer(sounds.babble, -4.0, 6.0, 0.8),
            _Layer(sounds.announcement, 1.0, 5.0, 0.35),
        ),
        2.0,
    ),
    "park": _Scene(
        (
            _Layer(sounds.leaves, 0.0),
            _Layer(sounds.birds, 2.0, 7.0, 0.75),
            _Layer(sounds.distant_traffic, -2.0, 6.0, 0.8),
            _Layer(sounds.footsteps, -5.0, 6.0, 0.4),
            _Layer(sounds.babble, -8.0, 6.0, 0.35),
        ),
        0.0,
        -36.0,
    ),
    "public_square": _Scene(
        (
            _Layer(sounds.distant_traffic, 0.0),
            _Layer(sounds.babble, 0.0, 6.0, 0.9),
            _Layer(sounds.footsteps, -3.0, 6.0, 0.6),
            _Layer(sounds.fountain, -1.0, 6.0, 0.4),
            _Layer(sounds.birds, -4.0, 6.0, 0.35),
            _Layer(sounds.passing_cars, -3.0, 6.0, 0.3),
        ),
        0.5,
        -31.0,
    ),
    "shopping_mall": _Scene(
        (
            _Layer(sounds.ventilation, -1.0),
            _Layer(sounds.babble, 1.0),
            _Layer(sounds.music, -3.0, 6.0, 0.6),
            _Layer(sounds.footsteps, -5.0, 6.0, 0.7),
            _Layer(sounds.trolleys, -6.0, 6.0, 0.3),
        ),
        1.0,
    ),
    "street_pedestrian": _Scene(
        (
            _Layer(sounds.distant_traffic, -1.0),
            _Layer(sounds.babble, 1.0, 6.0, 0.9),
            _Layer(sounds.footsteps, 1.0, 6.0, 0.9),
            _Layer(sounds.music, -7.0, 6.0, 0.25),
            _Layer(sounds.birds, -7.0, 6.0, 0.2),
        ),
        0.4,
        -30.0,
    ),
    "street_traffic": _Scene(
        (
            _Layer(sounds.distant_traffic, 0.0),
            _Layer(sounds.passing_cars, 5.0),
            _Layer(sounds.diesel, -3.0, 6.0, 0.4),
            _Layer(sounds.footsteps, -8.0, 6.0, 0.3),
            _Layer(sounds.babble, -9.0, 6.0, 0.3),
        ),
        0.2,
        -24.0,
    ),
    "tram": _Scene(
        (
            _Layer(sounds.rails, 0.0),
            _Layer(sounds.squeal, -6.0, 6.0, 0.45),
            _Layer(sounds.road, -3.0),
            _Layer(sounds.traction, -6.0, 6.0, 0.5),
            _Layer(sounds.babble, -8.0, 6.0, 0.6),
            _Layer(sounds.door_signal, -3.0, 5.0, 0.25),
        ),
        0.1,
        -25.0,
    ),
}

SCENE_NAMES: Final = tuple(_SCENES)
"""The ten labels, in alphabetical order."""

_HEADROOM: Final = 0.98


def synthesise(scene: str, seconds: float, sample_rate_hz: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Make a stretch of one scene.

    Parameters
    ----------
    scene : str
        One of `SCENE_NAMES`.
    seconds : float > 0
        Length; the signal has round(seconds * sample_rate_hz) samples.
    sample_rate_hz : int >= 8000
        Rate. Another rate gives another recording of the same kind of place, not the same one resampled.
    generator : np.random.Generator
        The only source of chance: the same state gives the same samples.

    Returns
    -------
    np.ndarray [shape=(n,), float32]
        Mono, within +-1.

    Raises
    ------
    SettingsError
        The scene is unknown, or the length or the rate is out of range.
    """
    if scene not in _SCENES:
        raise SettingsError(f"no scene {scene!r}; there are {', '.join(SCENE_NAMES)}")
    count = round(seconds * sample_rate_hz)
    if count < 1 or sample_rate_hz < 8000:
        raise SettingsError(f"expected at least one sample at 8000 Hz or more, got {seconds} s at {sample_rate_hz} Hz")
    recipe = _SCENES[scene]
    mixture = _mix(recipe.layers, count, float(sample_rate_hz), generator)
    if recipe.reverberation_seconds:
        seconds_of_room = recipe.reverberation_seconds * generator.uniform(0.6, 1.5)
        mixture = sounds.reverberate(mixture, sample_rate_hz, seconds_of_room, generator)
    return _set_level(mixture, recipe.level_dbfs + generator.normal(0.0, 4.0))


def _mix(
    layers: tuple[_Layer, ...], count: int, sample_rate_hz: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Sum the layers that happen to be there; the first one always is."""
    mixture = np.zeros(count)
    for position, layer in enumerate(layers):
        present = generator.random() < layer.probability or position == 0
        level_db = generator.normal(layer.level_db, layer.spread_db)
        child = generator.spawn(1)[0]  # a layer's draws never shift those of the next
        if present:
            mixture += 10.0 ** (level_db / 20.0) * layer.sound(count, sample_rate_hz, child)
    return mixture


def _set_level(signal: NDArray[np.float64], level_dbfs: float) -> NDArray[np.float32]:
    """Scale to an RMS level, lower where the peak would leave the range."""
    rms = float(np.sqrt(np.mean(np.square(signal))))
    peak = float(np.max(np.abs(signal)))
    if peak == 0.0:
        return np.asarray(signal, np.float32)
    gain = min(10.0 ** (level_dbfs / 20.0) / rms, _HEADROOM / peak)
    return np.asarray(gain * signal, np.float32)
