"""Training on one core as fast as TensorFlow's standard operations allow; the same seed gives the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundscene_train.adam import Adam
from soundscene_train.batches import TrainingWindows
from soundscene_train.fast import FastNetwork
from soundscene_train.recipe import Recipe, StorageSettings
from soundscene_train.runtime import start_tensorflow
from soundscene_train.trainer import SETTLING_PASSES, Array, Trainer

__all__ = ["FastTrainer"]


class FastTrainer(Trainer):
    """A `Trainer` that runs `FastNetwork` with `Adam` on one flat vector."""

    def __init__(self, network_name: str, recipe: Recipe, material: TrainingWindows) -> None:
        super().__init__(network_name, recipe, material)
        self._tf = start_tensorflow()
        self.model = self._first_model()
        self.network = FastNetwork(self.model, recipe.network, self.batches.size)
        self._optimizer = Adam(self.model.trainable_variables, recipe.fit.weight_decay, recipe.fit.decoupled_decay)
        self._rates = self.rates()
        self._step = self._tf.function(self._train_step, autograph=False)
        self._measure = self._tf.function(self._measure_step, autograph=False)

    def _storage_in(self, epoch: int) -> StorageSettings | None:
        """How weights will be stored, where an epoch trains with them as they will be."""
        fit = self.recipe.fit
        is_late = epoch >= fit.epochs * (1.0 - fit.quantise_last_share)
        return self.recipe.storage if fit.quantise_last_share and is_late else None

    def _train(self, epoch: int) -> float:
        first_step, storage = epoch * self.batches.count, self._storage_in(epoch)
        losses = [
            float(self._step(patches, targets, offsets, np.float32(self._rates[first_step + number]), storage))
            for number, (patches, targets, offsets) in enumerate(self._draw(epoch))
        ]
        return float(np.mean(losses))

    def _settle(self) -> None:
        """Measure them as plain means over some epochs' batches."""
        seen, storage = 0, self._storage_in(self.epochs_done)
        for epoch in range(self.epochs_done, self.epochs_done + SETTLING_PASSES):
            for patches, _, offsets in self._draw(epoch):
                self._measure(patches, offsets, np.float32(seen / (seen + 1)), storage)
                seen += 1

    def _test(self) -> float:
        patches, targets, _ = next(self.batches.epoch(self.epochs_done - 1))
        logits, _ = self.network.forward(patches)
        return float(_divergence(targets, logits))

    def _state(self) -> Sequence[Any]:
        return self._optimizer.state

    def _draw(self, epoch: int) -> Iterator[tuple[Array, Array, NDArray[np.int32]]]:
        """Yield an epoch's batches with their dropout offsets, which follow each batch from its generator."""
        for patches, targets, generator in self.batches.epoch(epoch):
            yield patches, targets, self.network.draw_offsets(generator)

    def _train_step(self, patches: Any, targets: Any, offsets: Any, rate: Any, storage: StorageSettings | None) -> Any:
        """Take one step of Adam on the Kullback-Leibler divergence between targets and predictions."""
        with self._tf.GradientTape() as tape:
            logits, statistics = self.network.forward(patches, offsets, storage)
            loss = _divergence(targets, logits)
        gradients = tape.gradient(loss, [variable.value for variable in self.model.trainable_variables])
        self.network.update(statistics)
        return loss + self._optimizer.apply(gradients, rate)

    def _measure_step(self, patches: Any, offsets: Any, momentum: Any, storage: StorageSettings | None) -> None:
        _, statistics = self.network.forward(patches, offsets, storage)
        self.network.update(statistics, momentum)


def _divergence(targets: Any, logits: Any) -> Any:
    """Mean Kullback-Leibler divergence of the predictions from soft targets, in nats."""
    import tensorflow as tf

    entropy = -tf.reduce_sum(tf.math.xlogy(targets, targets), axis=-1)
    cross_entropy = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(cross_entropy - entropy)
