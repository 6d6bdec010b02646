"""The colours of other recording devices, as the bands of a front end see them.

Measured impulse responses where a folder of them is given; simulated devices otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from soundscene.frontend import FrontEnd
from soundscene.settings import NETWORK_NAMES, FrontEndSettings
from soundscene_train.datasets.devices import Device, record
from soundscene_train.distortions import Distortion, microphones
from soundscene_train.errors import TrainingError
from soundscene_train.recipe import AugmentationSettings

__all__ = ["band_responses", "simulated_devices", "trained_responses"]

Array = NDArray[np.float32]
_Hearing = Callable[[Array, int], Array]

_SIMULATED_COUNT: Final = 64
_PROBE_RMS: Final = 0.05


def band_responses(settings: FrontEndSettings, folder: Path | None, held_out: Sequence[str] = ()) -> dict[str, Array]:
    """Measure what devices do to each band, with the front end itself and a window of white noise.

    Parameters
    ----------
    settings : FrontEndSettings
        The front end.
    folder : Path or None
        Impulse responses as `.wav` files; None takes simulated devices.
    held_out : sequence of str
        Files, without their ending, that are left out.

    Returns
    -------
    dict of network to np.ndarray [shape=(devices, bands), float32]
        Natural logarithm of power gain, its mean over bands removed: colour without level.

    Raises
    ------
    TrainingError
        The folder holds no response, or a name to leave out is not in it, or nothing is left.
    """
    front_end = FrontEnd(settings)
    rate = settings.sample_rate_hz
    probe = np.random.default_rng(0).standard_normal(settings.window_length_samples).astype(np.float32)
    probe *= np.float32(_PROBE_RMS)
    with threadpool_limits(1, user_api="blas"):  # several threads would add up in another order
        plain = _levels(front_end, probe)
        heard = [_levels(front_end, hear(probe, rate)) for hear in _hearings(folder, held_out)]
    found = {}
    for name in NETWORK_NAMES:
        gains = np.stack([levels[name] for levels in heard]) - plain[name]
        found[name] = np.asarray(gains - gains.mean(axis=1, keepdims=True), np.float32)
    return found


def simulated_devices() -> list[Device]:
    """Draw devices, always the same, as unlike as cheap and good microphones are: pass band, resonance and tilt."""
    generator = np.random.default_rng(0)
    octaves = generator.uniform
    return [
        Device(
            low_hz=20.0 * 2.0 ** octaves(0.0, 4.0),
            high_hz=20000.0 * 2.0 ** octaves(-1.5, 0.0),
            peak_hz=400.0 * 2.0 ** octaves(0.0, 4.5),
            peak_db=generator.uniform(-6.0, 8.0),
            tilt_db=generator.uniform(-2.0, 2.0),
            noise_dbfs=-np.inf,
        )
        for _ in range(_SIMULATED_COUNT)
    ]


def _responses_to_train_with(folder: Path, held_out: Sequence[str]) -> tuple[Distortion, ...]:
    """Find the impulse responses in a folder, without those that are kept for tests.

    Raises
    ------
    TrainingError
        The folder holds no response, or a name to leave out is not in it, or nothing is left.
    """
    found = microphones(folder)
    names = {one.name for one in found}
    unknown = sorted(set(held_out) - names)
    if unknown:
        raise TrainingError(f"{folder} has no response {', '.join(unknown)}; held_out_responses must name files in it")
    if names == set(held_out):
        raise TrainingError(f"held_out_responses names every response in {folder}; nothing is left to train with")
    return tuple(one for one in found if one.name not in held_out)


def trained_responses(folder: Path | None, settings: AugmentationSettings) -> tuple[str, ...]:
    """Name the measured devices that a recipe trains with; none where it takes simulated ones, or none at all.

    Raises
    ------
    TrainingError
        The folder holds no response, or a name to leave out is not in it, or nothing is left.
    """
    if folder is None or settings.response_probability == 0.0:
        return ()
    return tuple(one.name for one in _responses_to_train_with(folder, settings.held_out_responses))


def _hearings(folder: Path | None, held_out: Sequence[str]) -> Iterator[_Hearing]:
    """Yield how each device hears a sound."""
    generator = np.random.default_rng(0)
    if folder is None:
        for device in simulated_devices():
            yield partial(record, device=device, generator=generator)
        return
    for one in _responses_to_train_with(folder, held_out):
        yield partial(_through, one, generator)


def _through(device: Distortion, generator: np.random.Generator, samples: Array, rate: int) -> Array:
    return np.asarray(device.change(samples, rate, generator), np.float32)


def _levels(front_end: FrontEnd, samples: Array) -> dict[str, NDArray[np.float64]]:
    """Mean power of each band, as natural logarithm."""
    spectra = front_end.window_spectra(samples)
    return {name: np.log(np.exp(getattr(spectra, name).astype(np.float64)).mean(axis=0)) for name in NETWORK_NAMES}
