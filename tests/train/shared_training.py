"""Run as a process of its own: train a tiny network with Keras and print its losses and a digest of its weights.

One line for each choice of devices, in the order they are named. The network is not decomposed: a third of the layers,
and so of the time that a backend takes to compile them.
"""

import dataclasses
import json
import sys

import numpy as np

from soundscene_train.keras_trainer import KerasTrainer
from soundscene_train.machines import Machines, join
from tests.train.conftest import TINY_NETWORK, make_tiny_recipe
from tests.train.helpers import make_three_kinds


def main(virtual_cpus: int, *choices: str) -> None:
    """Train two epochs on each choice of devices, together with other machines where Keras's variables say so."""
    join(Machines.from_environment())
    if virtual_cpus > 1:
        import tensorflow as tf

        (processor,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * virtual_cpus)
    for devices in choices:
        print(json.dumps(train_on(devices)), flush=True)


def train_on(devices: str) -> dict[str, object]:
    recipe = make_tiny_recipe()
    fit = dataclasses.replace(recipe.fit, engine="keras", devices=devices)
    network = dataclasses.replace(TINY_NETWORK, dropout=0.0, decomposed=False)
    recipe = dataclasses.replace(recipe, fit=fit, network=network)
    trainer = KerasTrainer("mel", recipe, make_three_kinds())
    losses = [trainer.train_epoch() for _ in range(2)]
    weights = float(sum(np.abs(np.asarray(variable)).sum() for variable in trainer.model.trainable_variables))
    return {"losses": losses, "weights": weights}


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
