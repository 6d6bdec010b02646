"""Training one network, an epoch at a time, so that it can stop anywhere and go on to the same result."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundscene_train.batches import Batches, TrainingWindows
from soundscene_train.checkpoints import assign, numbered, reading_checkpoint
from soundscene_train.errors import TrainingError
from soundscene_train.files import whole
from soundscene_train.network import build_network
from soundscene_train.recipe import Recipe
from soundscene_train.schedule import learning_rate_at

__all__ = ["SETTLING_PASSES", "Array", "Trainer"]

Array = NDArray[np.float32]

SETTLING_PASSES = 3
"""Epochs over which batch norm statistics are measured anew after averaging."""


class Trainer(ABC):
    """A network, its optimiser and its training data; an engine says how a step is taken.

    Parameters
    ----------
    network_name : str
        One of `NETWORK_NAMES`.
    recipe : Recipe
    material : TrainingWindows
        What it is trained on.
    """

    model: Any
    """The network as `build_network` draws it."""

    def __init__(self, network_name: str, recipe: Recipe, material: TrainingWindows) -> None:
        self.network_name = network_name
        self.recipe = recipe
        self.material = material
        self.batches = Batches(network_name, recipe, material)
        self.epochs_done = 0
        self.history: list[float] = []
        self._average: list[Array] = []
        self._averaged_epochs = 0

    @property
    def is_done(self) -> bool:
        """Whether all epochs are trained and the weights are final."""
        return self.epochs_done >= self.recipe.fit.epochs

    def rates(self) -> list[float]:
        """Return the learning rate of every step of the run."""
        fit = self.recipe.fit
        count = fit.epochs * self.batches.count
        return [learning_rate_at(step, count, fit) for step in range(count)]

    def train_epoch(self) -> float:
        """Train one epoch; after the last one the weights are final.

        Returns
        -------
        float
            Mean training loss: Kullback-Leibler divergence in nats plus the weights' penalty.

        Raises
        ------
        TrainingError
            The loss is no longer a number, or is none with the final weights.
        """
        fit = self.recipe.fit
        loss = self._train(self.epochs_done)
        self.epochs_done += 1
        self._require_number(loss)
        self.history.append(loss)
        if self.epochs_done > fit.epochs * (1.0 - fit.average_last_share):
            self._note_for_average()
        if self.is_done and self._average:
            for variable, value in zip(self.model.trainable_variables, self._average, strict=True):
                variable.assign(value)
            self._settle()
        if self.is_done:
            self._require_number(self._test())  # each loss is that of the weights before its step
        return loss

    def save(self, path: Path) -> None:
        """Write all state, whole or not at all."""
        arrays: dict[str, Any] = {
            **numbered("weight", self.model.weights),
            **numbered("optimizer", self._state()),
            **numbered("average", self._average),
            "network": self.network_name,
            "epochs": self.epochs_done,
            "history": self.history,
            "averaged": self._averaged_epochs,
        }
        with whole(path) as stream:
            np.savez(stream, **arrays)

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, if there is one.

        Raises
        ------
        TrainingError
            The file is damaged or belongs to another network.
        """
        if checkpoint.is_file():
            self.restore(checkpoint)

    def restore(self, path: Path) -> None:
        """Read all state back.

        Raises
        ------
        TrainingError
            The file is damaged or belongs to another network.
        """
        with reading_checkpoint(path, self.network_name, "remove it to start anew") as state:
            assign("weight", self.model.weights, state)
            assign("optimizer", self._state(), state)
            self.epochs_done = int(state["epochs"])
            self.history = [float(loss) for loss in state["history"]]
            self._averaged_epochs = int(state["averaged"])
            self._average = (
                [state[f"average_{index}"] for index in range(len(self.model.trainable_variables))]
                if self._averaged_epochs
                else []
            )

    def _first_model(self) -> Any:
        """Build the network with its first weights, which follow from the recipe's seed."""
        import keras

        keras.utils.set_random_seed(self.batches.weight_seed)
        front_end, label_count = self.recipe.training_front_end, self.material.targets.shape[1]
        return build_network(self.recipe.network, label_count, front_end.band_count, front_end.patch_frames)

    @abstractmethod
    def _train(self, epoch: int) -> float:
        """Take the steps of an epoch; return the mean loss."""

    @abstractmethod
    def _settle(self) -> None:
        """Measure the batch norms' statistics for the weights as they are now."""

    @abstractmethod
    def _test(self) -> float:
        """Return the loss of a batch of the last epoch as the network is served, with its running statistics."""

    @abstractmethod
    def _state(self) -> Sequence[Any]:
        """Return the variables beside the weights that the next step depends on."""

    def _require_number(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingError(f"the loss became {loss} in epoch {self.epochs_done}; lower learning_rate")

    def _note_for_average(self) -> None:
        """Add the weights of this epoch to the running mean."""
        self._averaged_epochs += 1
        weights = [np.asarray(variable).copy() for variable in self.model.trainable_variables]
        if not self._average:
            self._average = weights
        share = np.float32(1.0 / self._averaged_epochs)
        self._average = [mean + share * (now - mean) for mean, now in zip(self._average, weights, strict=True)]
