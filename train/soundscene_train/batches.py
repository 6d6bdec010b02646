"""The batches of an epoch: order and augmentation, all of it following from recipe, network and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from soundscene.settings import NETWORK_NAMES
from soundscene_train.augmentation import augmented_patches
from soundscene_train.recipe import Recipe

__all__ = ["Batches"]

Array = NDArray[np.float32]


class Batches:
    """Augmented training batches.

    Everything random in epoch n follows from the recipe's seed, the network's name and n, so that no generator state
    needs to be kept.

    Parameters
    ----------
    network_name : str
        One of `NETWORK_NAMES`.
    recipe : Recipe
    spectra : np.ndarray [shape=(windows, window frames, bands), float32]
        Training windows after the level-proof steps.
    targets : np.ndarray [shape=(windows, labels), float32]
        One-hot rows.
    """

    def __init__(self, network_name: str, recipe: Recipe, spectra: Array, targets: Array) -> None:
        self._recipe, self._spectra, self._targets = recipe, spectra, targets
        self._stream = (recipe.seed, NETWORK_NAMES.index(network_name))
        self.size = min(recipe.fit.batch_size, len(spectra))

    @property
    def count(self) -> int:
        """Full batches in an epoch; what is left over waits for another epoch's order."""
        return len(self._spectra) // self.size

    @property
    def weight_seed(self) -> int:
        """Seed of the first weights."""
        return int(np.random.default_rng(self._stream).integers(2**31))

    def epoch(self, number: int) -> Iterator[tuple[Array, Array, np.random.Generator]]:
        """Yield patches, targets and the generator that made them, from which more may be drawn before the next."""
        generator = np.random.default_rng([*self._stream, 1 + number])
        order = generator.permutation(len(self._spectra))
        for first in range(0, self.count * self.size, self.size):
            items = order[first : first + self.size]
            patches, targets = augmented_patches(
                self._spectra[items],
                self._targets[items],
                self._recipe.front_end,
                self._recipe.augmentation,
                generator,
            )
            yield patches, targets, generator
