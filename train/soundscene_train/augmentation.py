"""Augmentations: pure functions of a batch and a generator, which never change their input."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene.frontend import with_deltas
from soundscene.settings import FrontEndSettings
from soundscene_train.recipe import AugmentationSettings

__all__ = [
    "Array",
    "augmented_patches",
    "crop_windows",
    "lively_starts",
    "mask_patches",
    "mix_styles",
    "mix_up",
    "recoloured",
    "roll_windows",
    "with_noise",
]

Array = NDArray[np.float32]
Generator = np.random.Generator
Starts = NDArray[np.bool_]

_LOG_OF_DB: Final = float(np.log(10.0) / 10.0)
"""Natural logarithm of the power of one decibel."""
_LIVELY_DB: Final = 30.0
"""How far below a window's loudest frame a frame still counts as sound."""
_LIVELY_SHARE: Final = 0.5
"""Of such frames in a window's best stretch, what a stretch needs to be trained on."""
_STYLE_ALPHA: Final = 0.4
"""Both parameters of the beta distribution that styles are mixed by (Schmid et al., 2022)."""
_STYLE_EPSILON: Final = 1e-6
"""Added to variances, so that a silent band has a scale."""


def augmented_patches(
    spectra: Array,
    targets: Array,
    front_end: FrontEndSettings,
    settings: AugmentationSettings,
    generator: Generator,
    *,
    starts: Starts | None = None,
) -> tuple[Array, Array]:
    """Turn a batch of windows into a batch of training patches.

    Parameters
    ----------
    spectra : np.ndarray [shape=(batch, window frames, bands), float32]
        After the level-proof steps.
    targets : np.ndarray [shape=(batch, labels), float32]
        Rows that sum to 1.
    front_end : FrontEndSettings
        Patch length and delta width of what is trained on.
    settings : AugmentationSettings
        What is done.
    generator : np.random.Generator
        The only source of chance.
    starts : np.ndarray [shape=(batch, frames), bool] or None
        Where crops may begin, from `lively_starts`; needed where `settings` ask for crops.

    Returns
    -------
    patches : np.ndarray [shape=(batch, bands, frames, 3), float32]
    targets : np.ndarray [shape=(batch, labels), float32]
    """
    if starts is not None:
        spectra = crop_windows(spectra, starts, front_end.window_frames, generator)
    elif settings.roll:
        spectra = roll_windows(spectra, generator)
    if settings.style_probability > 0.0:
        spectra = mix_styles(spectra, settings.style_probability, generator)
    if settings.mixup_alpha > 0.0:
        spectra, targets = mix_up(spectra, targets, settings.mixup_alpha, generator)
    patches = with_deltas(spectra, front_end)
    return mask_patches(patches, settings.frequency_mask_bands, settings.time_mask_frames, generator), targets


def roll_windows(spectra: Array, generator: Generator) -> Array:
    """Rotate each window in time by its own random number of frames."""
    shifts = generator.integers(0, spectra.shape[1], len(spectra))
    return np.stack([np.roll(window, shift, axis=0) for window, shift in zip(spectra, shifts, strict=True)])


def lively_starts(spectra: Array, length_frames: int, *, is_circular: bool) -> Starts:
    """Tell where stretches with enough sound begin.

    A frame counts as sound if its power is within 30 dB of the loudest frame's; a stretch has enough if it holds half
    as many such frames as the best stretch of its window.

    Parameters
    ----------
    spectra : np.ndarray [shape=(n, frames, bands), float32]
        Natural logarithm of power.
    length_frames : int in 1..frames
        Of a stretch.
    is_circular : bool
        Whether a stretch may run over the end and go on at the beginning.

    Returns
    -------
    np.ndarray [shape=(n, frames), bool]
        At least one in each row.
    """
    frames = spectra.shape[1]
    power = np.exp(spectra - spectra.max(axis=(1, 2), keepdims=True)).sum(axis=2)
    is_lively = power >= power.max(axis=1, keepdims=True) * 10.0 ** (-_LIVELY_DB / 10.0)
    twice = np.concatenate([np.zeros((len(spectra), 1), np.int64), np.cumsum(np.tile(is_lively, 2), axis=1)], axis=1)
    held = twice[:, length_frames : length_frames + frames] - twice[:, :frames]
    if not is_circular:
        held[:, frames - length_frames + 1 :] = -1
    return np.asarray(held >= _LIVELY_SHARE * held.max(axis=1, keepdims=True))


def crop_windows(spectra: Array, starts: Starts, length_frames: int, generator: Generator) -> Array:
    """Cut a stretch out of each window that begins at one of its allowed frames; beyond the end it begins anew."""
    firsts = np.array([generator.choice(np.flatnonzero(allowed)) for allowed in starts])
    frames = (firsts[:, None] + np.arange(length_frames)) % spectra.shape[1]
    return np.asarray(spectra[np.arange(len(spectra))[:, None], frames])


def recoloured(
    spectra: Array, responses: Array, probability: float, generator: Generator, *, spread: float = 0.0
) -> Array:
    """Give some windows the response of a random device.

    Parameters
    ----------
    spectra : np.ndarray [shape=(batch, frames, bands), float32]
        Natural logarithm of power, before any floor that depends on the window.
    responses : np.ndarray [shape=(devices, bands), float32]
        Natural logarithm of each device's power gain.
    probability : float in [0, 1]
        Of each window to be changed.
    generator : np.random.Generator
        The only source of chance.
    spread : float in [0, 1]
        A response's decibels are stretched by a factor that is uniform in 1 - spread to 1 + spread.
    """
    is_changed = generator.random(len(spectra)) < probability
    chosen = responses[generator.integers(0, len(responses), len(spectra))]
    if spread > 0.0:
        chosen = chosen * generator.uniform(1.0 - spread, 1.0 + spread, (len(spectra), 1)).astype(np.float32)
    return spectra + np.where(is_changed[:, None], chosen, np.float32(0.0))[:, None, :]


def with_noise(
    spectra: Array, noises: Array, probability: float, snr_db: tuple[float, float], generator: Generator
) -> Array:
    """Add steady noise to some windows.

    Powers add, as those of unrelated sounds do on the mean.

    Parameters
    ----------
    spectra : np.ndarray [shape=(batch, frames, bands), float32]
        Natural logarithm of power, before any floor that depends on the window.
    noises : np.ndarray [shape=(colours, frames, bands), float32]
        Natural logarithm of noise of power 1, summed over bands, as `band_noises` makes it.
    probability : float in [0, 1]
        Of each window to be changed.
    snr_db : tuple of two float
        The ratio of the window's power, summed over bands, to the noise's is uniform in between.
    generator : np.random.Generator
        The only source of chance.
    """
    count = len(spectra)
    is_changed = generator.random(count) < probability
    noise = roll_windows(noises[generator.integers(0, len(noises), count)], generator)
    levels = np.log(np.exp(spectra).sum(axis=2).mean(axis=1)) - generator.uniform(*snr_db, count) * _LOG_OF_DB
    mixed = np.logaddexp(spectra, noise + levels[:, None, None].astype(np.float32))
    return np.where(is_changed[:, None, None], mixed, spectra)


def mix_styles(spectra: Array, probability: float, generator: Generator) -> Array:
    """Move some windows towards the mean and deviation that each band has, over time, in another window of the batch.

    Freq-MixStyle (Schmid et al., DCASE 2022; after Zhou et al., 2021): what sounds stays, what recorded it blurs.
    Targets stay as they are.

    Parameters
    ----------
    spectra : np.ndarray [shape=(batch, frames, bands), float32]
        Natural logarithm of power, standardised or not.
    probability : float in [0, 1]
        Of each window to be changed.
    generator : np.random.Generator
        The only source of chance.
    """
    count = len(spectra)
    is_changed = generator.random(count) < probability
    partner = generator.permutation(count)
    share = generator.beta(_STYLE_ALPHA, _STYLE_ALPHA, count).astype(np.float32)[:, None, None]
    mean = spectra.mean(axis=1, keepdims=True)
    deviation = np.sqrt(spectra.var(axis=1, keepdims=True) + np.float32(_STYLE_EPSILON))
    styled = (spectra - mean) / deviation * (share * deviation + (1.0 - share) * deviation[partner])
    styled += share * mean + (1.0 - share) * mean[partner]
    return np.where(is_changed[:, None, None], styled, spectra)


def mix_up(spectra: Array, targets: Array, alpha: float, generator: Generator) -> tuple[Array, Array]:
    """Blend each item with a random other one (Zhang et al., 2018): shares from Beta(alpha, alpha), targets alike."""
    share = generator.beta(alpha, alpha, len(spectra)).astype(np.float32)
    partner = generator.permutation(len(spectra))
    wide = share[:, None, None]
    mixed = wide * spectra + (1.0 - wide) * spectra[partner]
    narrow = share[:, None]
    return mixed, narrow * targets + (1.0 - narrow) * targets[partner]


def mask_patches(patches: Array, widest_bands: int, widest_frames: int, generator: Generator) -> Array:
    """Set one stretch of bands and one of frames to zero, the mean, in all channels (SpecAugment, Park et al., 2019).

    Widths are uniform from 0 to the widest, places uniform.
    """
    masked = patches.copy()
    count, bands, frames, _ = patches.shape
    for axis_size, widest, along_frames in ((bands, widest_bands, False), (frames, widest_frames, True)):
        widths = generator.integers(0, min(widest, axis_size) + 1, count)
        firsts = generator.integers(0, axis_size - widths + 1)
        for item, (first, width) in enumerate(zip(firsts, widths, strict=True)):
            stretch = slice(first, first + width)
            if along_frames:
                masked[item, :, stretch] = 0.0
            else:
                masked[item, stretch] = 0.0
    return masked
