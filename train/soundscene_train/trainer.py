"""Training one network, an epoch at a time, so that it can stop anywhere and go on to the same result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.settings import NETWORK_NAMES
from soundscene_train.adam import Adam
from soundscene_train.augmentation import augmented_patches
from soundscene_train.errors import TrainingError
from soundscene_train.fast import FastNetwork
from soundscene_train.network import build_network
from soundscene_train.recipe import FitSettings, Recipe
from soundscene_train.runtime import start_tensorflow

__all__ = ["Trainer", "learning_rate_at"]

Array = NDArray[np.float32]

_LOWEST_SHARE: Final = 0.01
"""Share of the learning rate that the cosine schedule ends at."""

_SETTLING_PASSES: Final = 3
"""Epochs over which batch norm statistics are measured anew after averaging."""


def learning_rate_at(step: int, step_count: int, settings: FitSettings) -> float:
    """Return the learning rate of a step, counted from 0."""
    if settings.schedule == "constant":
        return settings.learning_rate
    warm_up = round(settings.warm_up_share * step_count)
    if step < warm_up:
        return settings.learning_rate * (step + 1) / warm_up
    turn = (step - warm_up) / max(1, step_count - warm_up)
    cosine = 0.5 * (1.0 + math.cos(math.pi * turn))
    return settings.learning_rate * (_LOWEST_SHARE + (1.0 - _LOWEST_SHARE) * cosine)


class Trainer:
    """A network, its optimiser and its training data.

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
        self._tf = start_tensorflow()
        import keras

        self.recipe = recipe
        self.epochs_done = 0
        self.history: list[float] = []
        self._spectra, self._targets = spectra, targets
        self._stream = (recipe.seed, NETWORK_NAMES.index(network_name))
        self._batch_size = min(recipe.fit.batch_size, len(spectra))
        keras.utils.set_random_seed(int(np.random.default_rng(self._stream).integers(2**31)))
        bands = recipe.front_end.band_count
        self.model = build_network(recipe.network, targets.shape[1], bands, recipe.front_end.patch_frames)
        self.network = FastNetwork(self.model, recipe.network, self._batch_size)
        self._optimizer = Adam(self.model.trainable_variables, recipe.fit.weight_decay, recipe.fit.decoupled_decay)
        self._average: list[Array] = []
        self._averaged_epochs = 0
        self._step = self._tf.function(self._train_step, autograph=False)
        self._settle = self._tf.function(self._settle_step, autograph=False)

    @property
    def steps_per_epoch(self) -> int:
        """Full batches; what is left over waits for another epoch's order."""
        return len(self._spectra) // self._batch_size

    @property
    def is_done(self) -> bool:
        """Whether all epochs are trained and the weights are final."""
        return self.epochs_done >= self.recipe.fit.epochs

    def train_epoch(self) -> float:
        """Train one epoch; after the last one the weights are final.

        Returns
        -------
        float
            Mean training loss: Kullback-Leibler divergence in nats plus the weights' penalty.

        Raises
        ------
        TrainingError
            The loss is no longer a number.
        """
        fit = self.recipe.fit
        losses = []
        first_step = self.epochs_done * self.steps_per_epoch
        for number, (patches, targets, offsets) in enumerate(self._batches(self.epochs_done), start=first_step):
            rate = learning_rate_at(number, fit.epochs * self.steps_per_epoch, fit)
            losses.append(float(self._step(patches, targets, offsets, np.float32(rate))))
        loss = float(np.mean(losses))
        if not math.isfinite(loss):
            raise TrainingError(f"the loss became {loss} in epoch {self.epochs_done + 1}; lower learning_rate")
        self.epochs_done += 1
        self.history.append(loss)
        if self.epochs_done > fit.epochs * (1.0 - fit.average_last_share):
            self._note_for_average()
        if self.is_done and self._average:
            self._take_average()
        return loss

    def save(self, path: Path) -> None:
        """Write all state, whole or not at all."""
        arrays = {f"weight_{index}": variable.numpy() for index, variable in enumerate(self.model.weights)}
        arrays |= {f"optimizer_{index}": variable.numpy() for index, variable in enumerate(self._optimizer.state)}
        arrays |= {f"average_{index}": value for index, value in enumerate(self._average)}
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as stream:
            np.savez(stream, epochs=self.epochs_done, averaged=self._averaged_epochs, history=self.history, **arrays)
        temporary.replace(path)

    def restore(self, path: Path) -> None:
        """Read all state back.

        Raises
        ------
        TrainingError
            The file is damaged or belongs to another network.
        """
        try:
            with np.load(path) as state:
                for index, variable in enumerate(self.model.weights):
                    variable.assign(state[f"weight_{index}"])
                for index, variable in enumerate(self._optimizer.state):
                    variable.assign(state[f"optimizer_{index}"])
                self.epochs_done = int(state["epochs"])
                self.history = [float(loss) for loss in state["history"]]
                self._averaged_epochs = int(state["averaged"])
                self._average = (
                    [state[f"average_{index}"] for index in range(len(self.model.trainable_variables))]
                    if self._averaged_epochs
                    else []
                )
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(
                f"{path}: not a checkpoint of this recipe ({error}); remove it to start anew"
            ) from error

    def _batches(self, epoch: int) -> Iterator[tuple[Array, Array, NDArray[np.int32]]]:
        """Yield one epoch of augmented batches with their dropout offsets."""
        generator = np.random.default_rng([*self._stream, 1 + epoch])
        order = generator.permutation(len(self._spectra))
        for first in range(0, self.steps_per_epoch * self._batch_size, self._batch_size):
            items = order[first : first + self._batch_size]
            patches, targets = augmented_patches(
                self._spectra[items],
                self._targets[items],
                self.recipe.front_end,
                self.recipe.augmentation,
                generator,
            )
            yield patches, targets, self.network.draw_offsets(generator)

    def _train_step(self, patches: Any, targets: Any, offsets: Any, rate: Any) -> Any:
        """Take one step of Adam on the Kullback-Leibler divergence between targets and predictions."""
        with self._tf.GradientTape() as tape:
            logits, statistics = self.network.forward(patches, offsets)
            loss = _divergence(targets, logits)
        gradients = tape.gradient(loss, [variable.value for variable in self.model.trainable_variables])
        self.network.update(statistics)
        return loss + self._optimizer.apply(gradients, rate)

    def _settle_step(self, patches: Any, offsets: Any, momentum: Any) -> None:
        _, statistics = self.network.forward(patches, offsets)
        self.network.update(statistics, momentum)

    def _note_for_average(self) -> None:
        """Add the weights of this epoch to the running mean."""
        self._averaged_epochs += 1
        weights = [variable.numpy() for variable in self.model.trainable_variables]
        if not self._average:
            self._average = weights
        share = np.float32(1.0 / self._averaged_epochs)
        self._average = [mean + share * (now - mean) for mean, now in zip(self._average, weights, strict=True)]

    def _take_average(self) -> None:
        """Replace the weights by their mean and measure the batch norms' statistics for them."""
        for variable, value in zip(self.model.trainable_variables, self._average, strict=True):
            variable.assign(value)
        seen = 0
        for epoch in range(self.epochs_done, self.epochs_done + _SETTLING_PASSES):
            for patches, _, offsets in self._batches(epoch):
                momentum = np.float32(seen / (seen + 1))
                self._settle(patches, offsets, momentum)
                seen += 1


def _divergence(targets: Any, logits: Any) -> Any:
    """Mean Kullback-Leibler divergence of the predictions from soft targets, in nats."""
    import tensorflow as tf

    entropy = -tf.reduce_sum(tf.math.xlogy(targets, targets), axis=-1)
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(cross_entropy - entropy)
