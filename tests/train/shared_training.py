"""Run as a process of its own: train a tiny network with Keras and print its losses and a digest of its weights."""

import dataclasses
import json
import sys

import numpy as np

from soundscene_train.keras_trainer import KerasTrainer
from soundscene_train.machines import Machines, join
from tests.train.conftest import TINY_FRONT_END, TINY_NETWORK, make_tiny_recipe
from tests.train.helpers import make_three_kinds


def main(devices: str, virtual_cpus: int) -> None:
    """Train two epochs, together with other machines where Keras's variables say so."""
    join(Machines.from_environment())
    if virtual_cpus > 1:
        import tensorflow as tf

        (processor,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * virtual_cpus)
    recipe = make_tiny_recipe()
    fit = dataclasses.replace(recipe.fit, engine="keras", devices=devices)
    network = dataclasses.replace(TINY_NETWORK, dropout=0.0)
    recipe = dataclasses.replace(recipe, fit=fit, network=network, front_end=TINY_FRONT_END)
    trainer = KerasTrainer("mel", recipe, make_three_kinds())
    losses = [trainer.train_epoch() for _ in range(2)]
    weights = float(sum(np.abs(np.asarray(variable)).sum() for variable in trainer.model.trainable_variables))
    print(json.dumps({"losses": losses, "weights": weights}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
