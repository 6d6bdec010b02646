"""Training by Keras alone: any of its backends, a GPU or several, at its own speed.

Data, loss, schedule and averaging are those of every `Trainer`; the network is the one drawn. Keras's environment
variable `KERAS_BACKEND` names the backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from soundscene_train.batches import Batches, TrainingWindows
from soundscene_train.errors import TrainingError
from soundscene_train.machines import Machines, require_same_file
from soundscene_train.recipe import Recipe
from soundscene_train.runtime import start_keras
from soundscene_train.trainer import SETTLING_PASSES, Array, Trainer

__all__ = ["KerasTrainer"]


class KerasTrainer(Trainer):
    """A `Trainer` that leaves every step to `keras.Model.fit`.

    Raises
    ------
    MissingExtraError
        Keras or its backend is not installed.
    TrainingError
        The devices cannot share a batch evenly.
    """

    def __init__(self, network_name: str, recipe: Recipe, material: TrainingWindows) -> None:
        super().__init__(network_name, recipe, material)
        fit = recipe.fit
        self._machines = Machines.from_environment()
        with _device_scope(fit.devices, self.batches.size):
            import keras

            self.model = _penalised_model(self._first_model(), 0.0 if fit.decoupled_decay else fit.weight_decay)
            weights = {id(variable) for variable in self.model.weights}
            self._seeds = [variable for variable in self.model.variables if id(variable) not in weights]
            rates = self.rates() + [0.0] * (SETTLING_PASSES * self.batches.count)
            shrinking = fit.weight_decay if fit.decoupled_decay else None
            optimizer = keras.optimizers.Adam(_scheduled(rates), weight_decay=shrinking)
            optimizer.build(self.model.trainable_variables)
            self.model.compile(optimizer, loss="kl_divergence")

    def resume(self, checkpoint: Path) -> None:
        """Go on from a checkpoint, if there is one, on all machines or on none."""
        require_same_file(checkpoint, self._machines)
        super().resume(checkpoint)

    def _train(self, epoch: int) -> float:
        history = self.model.fit(_dataset(self.batches, epoch, self._machines), shuffle=False, verbose=0)
        return float(history.history["loss"][-1])

    def _settle(self) -> None:
        """Train some epochs at a learning rate of 0: the weights stay, the running statistics follow."""
        for epoch in range(self.epochs_done, self.epochs_done + SETTLING_PASSES):
            self._train(epoch)

    def _test(self) -> float:
        batches = _dataset(self.batches, self.epochs_done - 1, self._machines)
        return float(self.model.evaluate(batches, steps=1, verbose=0))

    def _state(self) -> Sequence[Any]:
        return [*self._seeds, *self.model.optimizer.variables]


def _device_scope(choice: str, batch_size: int) -> AbstractContextManager[Any]:
    """Return the scope in which to build a model whose batches are to be shared among all devices of all machines."""
    keras = start_keras()
    if choice == "one":
        return nullcontext()
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.MirroredStrategy().scope()  # type: ignore[no-any-return]  # TensorFlow has no types
    device_count = keras.distribution.get_device_count()
    if batch_size % device_count:
        raise TrainingError(f"batches of {batch_size} cannot be shared by {device_count} devices; change batch_size")
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    return nullcontext()


def _dataset(batches: Batches, epoch: int, machines: Machines) -> Any:
    """Return this machine's share of an epoch as Keras asks for it: by number, in order, the first one repeatedly."""
    import keras

    own = machines.share_of(batches.size)

    class Epoch(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
        def __len__(self) -> int:
            return batches.count

        def __getitem__(self, index: int) -> tuple[Array, Array]:
            if index == 0:
                self._rest = batches.epoch(epoch)
            patches, targets, _ = next(self._rest)
            return patches[own], targets[own]

    return Epoch()


def _penalised_model(drawn: Any, weight_decay: float) -> Any:
    """Return the network with the paper's penalty, lambda / 2 * ||theta||^2 over all trained variables, in its loss."""
    import keras

    class Penalised(keras.Model):  # type: ignore[misc]  # Keras has no types
        def compute_loss(self, *arguments: Any, **named: Any) -> Any:
            squares = [keras.ops.sum(keras.ops.square(variable)) for variable in self.trainable_variables]
            return super().compute_loss(*arguments, **named) + 0.5 * weight_decay * sum(squares)

    return Penalised(drawn.inputs, drawn.outputs, name=drawn.name)


def _scheduled(rates: Sequence[float]) -> Any:
    """Return a Keras schedule that reads a table of learning rates, one for each step."""
    import keras

    table = np.asarray(rates, np.float32)

    class Table(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras has no types
        def __call__(self, step: Any) -> Any:
            last = keras.ops.minimum(step, len(table) - 1)
            return keras.ops.take(keras.ops.convert_to_tensor(table), keras.ops.cast(last, "int32"))

        def get_config(self) -> dict[str, Any]:
            return {"rates": table.tolist()}

    return Table()
