"""Augmentations: pure functions of a batch and a generator, which never change their input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundscene.frontend import with_deltas
from soundscene.settings import FrontEndSettings
from soundscene_train.recipe import AugmentationSettings

__all__ = ["augmented_patches", "mask_patches", "mix_up", "roll_windows"]

Array = NDArray[np.float32]
Generator = np.random.Generator


def augmented_patches(
    spectra: Array,
    targets: Array,
    front_end: FrontEndSettings,
    settings: AugmentationSettings,
    generator: Generator,
) -> tuple[Array, Array]:
    """Turn a batch of windows into a batch of training patches.

    Parameters
    ----------
    spectra : np.ndarray [shape=(batch, window frames, bands), float32]
        After the level-proof steps.
    targets : np.ndarray [shape=(batch, labels), float32]
        Rows that sum to 1.
    front_end : FrontEndSettings
        Patch length and delta width.
    settings : AugmentationSettings
        What is done.
    generator : np.random.Generator
        The only source of chance.

    Returns
    -------
    patches : np.ndarray [shape=(batch, bands, frames, 3), float32]
    targets : np.ndarray [shape=(batch, labels), float32]
    """
    if settings.roll:
        spectra = roll_windows(spectra, generator)
    if settings.mixup_alpha > 0.0:
        spectra, targets = mix_up(spectra, targets, settings.mixup_alpha, generator)
    patches = with_deltas(spectra, front_end)
    return mask_patches(patches, settings.frequency_mask_bands, settings.time_mask_frames, generator), targets


def roll_windows(spectra: Array, generator: Generator) -> Array:
    """Rotate each window in time by its own random number of frames."""
    shifts = generator.integers(0, spectra.shape[1], len(spectra))
    return np.stack([np.roll(window, shift, axis=0) for window, shift in zip(spectra, shifts, strict=True)])


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
