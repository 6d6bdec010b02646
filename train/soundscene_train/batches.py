"""The batches of an epoch: order and augmentation, all of it following from recipe, network and epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundscene.frontend import Standardisation, level_proof
from soundscene.settings import NETWORK_NAMES
from soundscene_train.augmentation import augmented_patches, lively_starts, recoloured, with_noise
from soundscene_train.feature_cache import StoredSpectra, slices_of
from soundscene_train.recipe import Recipe

__all__ = ["Batches", "TrainingWindows"]

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingWindows:
    """What a network is trained on.

    Parameters
    ----------
    spectra : StoredSpectra or np.ndarray [shape=(n, window frames, bands), float32]
        Natural logarithm of power; it may hold other windows as well.
    windows : np.ndarray [shape=(count,), int64]
        Positions of those to train on.
    targets : np.ndarray [shape=(count, labels), float32]
        Rows that sum to 1: the labels, one-hot, or these mixed with a teacher's scores.
    standardisation : Standardisation
        As measured on these windows.
    responses : np.ndarray [shape=(devices, bands), float32] or None
        Other devices' natural logarithms of power gain; None where the recipe asks for none.
    noises : np.ndarray [shape=(colours, window frames, bands), float32] or None
        Steady noise of power 1 as natural logarithms; None where the recipe asks for none.
    """

    spectra: StoredSpectra | Array
    windows: NDArray[np.int64]
    targets: Array
    standardisation: Standardisation
    responses: Array | None = None
    noises: Array | None = None

    def __len__(self) -> int:
        return len(self.windows)


class Batches:
    """Augmented training batches.

    Everything random in epoch n follows from the recipe's seed, the network's name and n, so that no generator state
    needs to be kept.

    Parameters
    ----------
    network_name : str
        One of `NETWORK_NAMES`.
    recipe : Recipe
    material : TrainingWindows
        What they are made of.
    """

    def __init__(self, network_name: str, recipe: Recipe, material: TrainingWindows) -> None:
        self._network_name, self._recipe, self._material = network_name, recipe, material
        self._stream = (recipe.seed, NETWORK_NAMES.index(network_name))
        self._starts = self._find_starts() if recipe.augmentation.crop_frames else None
        self.size = min(recipe.fit.batch_size, len(material))

    @property
    def count(self) -> int:
        """Full batches in an epoch; what is left over waits for another epoch's order."""
        return len(self._material) // self.size

    @property
    def weight_seed(self) -> int:
        """Seed of the first weights."""
        return int(np.random.default_rng(self._stream).integers(2**31))

    def epoch(self, number: int) -> Iterator[tuple[Array, Array, np.random.Generator]]:
        """Yield patches, targets and the generator that made them, from which more may be drawn before the next."""
        generator = np.random.default_rng([*self._stream, 1 + number])
        order = generator.permutation(len(self._material))
        for first in range(0, self.count * self.size, self.size):
            items = order[first : first + self.size]
            patches, targets = self._augmented(items, generator)
            yield patches, targets, generator

    def _augmented(self, items: NDArray[np.int64], generator: np.random.Generator) -> tuple[Array, Array]:
        material, recipe = self._material, self._recipe
        spectra = self._recorded_elsewhere(np.asarray(material.spectra[material.windows[items]]), generator)
        constants = material.standardisation
        return augmented_patches(
            level_proof(spectra, recipe.front_end, self._network_name, constants.mean, constants.scale),
            material.targets[items],
            recipe.training_front_end,
            recipe.augmentation,
            generator,
            starts=None if self._starts is None else self._starts[items],
        )

    def _recorded_elsewhere(self, spectra: Array, generator: np.random.Generator) -> Array:
        """Give windows the colour of other devices, and then noise."""
        material, settings = self._material, self._recipe.augmentation
        if material.responses is not None:
            spectra = recoloured(
                spectra,
                material.responses,
                settings.response_probability,
                generator,
                spread=settings.response_spread,
            )
        if material.noises is not None:
            range_db = settings.noise_min_snr_db, settings.noise_max_snr_db
            spectra = with_noise(spectra, material.noises, settings.noise_probability, range_db, generator)
        return spectra

    def _find_starts(self) -> NDArray[np.bool_]:
        """Tell where the crops of each window may begin."""
        recipe, material = self._recipe, self._material
        length = recipe.training_front_end.window_frames
        parts = [
            lively_starts(np.asarray(material.spectra[part]), length, is_circular=recipe.augmentation.roll)
            for part in slices_of(material.windows)
        ]
        return np.concatenate(parts)
