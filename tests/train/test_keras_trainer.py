"""Keras's own training is the same training: same data, loss, schedule and averaging, on any backend and devices."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from soundscene_train.errors import TrainingError
from soundscene_train.fast_trainer import FastTrainer
from soundscene_train.fitting import Training, fit_networks
from soundscene_train.keras_trainer import KerasTrainer
from soundscene_train.plan import Plan
from soundscene_train.recipe import AugmentationSettings, Recipe
from soundscene_train.runtime import start_tensorflow
from soundscene_train.trainer import Trainer
from tests.train.helpers import ON_JAX, make_three_kinds

NO_AUGMENTATION = AugmentationSettings(mixup_alpha=0.0, frequency_mask_bands=0, time_mask_frames=0)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Other tests of this process count on one thread, to the last bit; the first operation settles it."""
    start_tensorflow().zeros(1)


def keras_recipe(recipe: Recipe, dropout: float = 0.1, *, decomposed: bool = False, **fit: Any) -> Recipe:
    network = dataclasses.replace(recipe.network, dropout=dropout, decomposed=decomposed)
    return dataclasses.replace(recipe.with_fit(engine="keras", **fit), network=network)


def on_jax_devices(count: int) -> dict[str, str]:
    return ON_JAX | {"XLA_FLAGS": f"{ON_JAX['XLA_FLAGS']} --xla_force_host_platform_device_count={count}"}


def train_apart(
    *choices: str, virtual_cpus: int = 1, environment: Mapping[str, str] = MappingProxyType({})
) -> list[tuple[list[float], float]]:
    """Train in a process with its own backend and devices; return losses and the sum of the weights' sizes for each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.shared_training", str(virtual_cpus), *choices],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()[-len(choices) :]]
    return [(one["losses"], one["weights"]) for one in found]


def squared_norm(trainer: Trainer) -> float:
    return float(sum(np.square(np.asarray(weights)).sum() for weights in trainer.model.trainable_variables))


@pytest.mark.parametrize("decoupled", [False, True])
def test_it_trains_as_the_fast_engine_does(tiny_recipe: Recipe, decoupled: bool) -> None:
    """Without chance in batches and dropout, losses, final weights and how far these shrink are the same.

    Adam makes whole steps of gradients that are nothing but rounding, so that single weights differ by some steps. The
    sum of their squares, from which the decoupled decay of this training takes 3 in 1000, differs by 1 in 10,000.
    """
    recipe = keras_recipe(
        tiny_recipe, 0.0, decomposed=True, epochs=3, schedule="cosine", warm_up_share=0.2, weight_decay=0.1
    )
    recipe = dataclasses.replace(recipe.with_fit(decoupled_decay=decoupled), augmentation=NO_AUGMENTATION)
    by_keras, fast = (kind("mel", recipe, make_three_kinds()) for kind in (KerasTrainer, FastTrainer))
    for _ in range(3):
        assert by_keras.train_epoch() == pytest.approx(fast.train_epoch(), rel=2e-4)
    for one, other in zip(by_keras.model.weights, fast.model.weights, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-2, err_msg=other.path)
    assert squared_norm(by_keras) == pytest.approx(squared_norm(fast), rel=1e-3)


def test_its_loss_is_the_divergence_from_soft_targets(tiny_recipe: Recipe) -> None:
    """Where targets are soft, as a teacher leaves them, it reports what the fast engine does, no cross-entropy."""
    recipe = keras_recipe(tiny_recipe, 0.0, decomposed=True, epochs=1)
    recipe, material = dataclasses.replace(recipe, augmentation=NO_AUGMENTATION), make_three_kinds()
    material = dataclasses.replace(material, targets=0.7 * material.targets + np.float32(0.1))
    by_keras, fast = (kind("mel", recipe, material) for kind in (KerasTrainer, FastTrainer))
    assert by_keras.train_epoch() == pytest.approx(fast.train_epoch(), rel=1e-3)


def test_an_interrupted_run_goes_on_to_the_same_weights(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """Dropout's, Adam's and the mean's state are kept too: four epochs at a stretch equal two and two but for rounding.

    The mean is that of epochs 2 to 4, so it is interrupted too.
    """
    recipe = keras_recipe(tiny_recipe, epochs=4, schedule="cosine", average_last_share=0.6)
    straight, second = (KerasTrainer("cqt", recipe, make_three_kinds()) for _ in range(2))
    straight.train_epoch()
    straight.train_epoch()
    straight.save(tmp_path / "checkpoint.npz")
    second.restore(tmp_path / "checkpoint.npz")
    for trainer in (straight, second):
        trainer.train_epoch()
        trainer.train_epoch()
    assert second.history == pytest.approx(straight.history, abs=1e-5)
    for one, other in zip(straight.model.weights, second.model.weights, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-4, err_msg=one.path)


def test_settling_keeps_the_averaged_weights(tiny_recipe: Recipe) -> None:
    """After the last epoch the weights are the mean of the averaged epochs, and the running statistics have moved."""
    recipe = keras_recipe(tiny_recipe, epochs=4, average_last_share=0.5)
    averaged = KerasTrainer("mel", recipe, make_three_kinds())
    plain = KerasTrainer("mel", recipe.with_fit(average_last_share=0.0), make_three_kinds())
    kept = []
    for _ in range(4):
        averaged.train_epoch()
        plain.train_epoch()
        kept.append([np.asarray(variable).copy() for variable in plain.model.trainable_variables])
    for found, third, fourth in zip(averaged.model.trainable_variables, kept[2], kept[3], strict=True):
        np.testing.assert_allclose(np.asarray(found), (third + fourth) / 2, atol=1e-5)
    moved = zip(averaged.model.non_trainable_variables, plain.model.non_trainable_variables, strict=True)
    assert any(not np.allclose(np.asarray(one), np.asarray(other)) for one, other in moved)


def test_a_run_that_diverges_in_its_last_step_says_so(tiny_recipe: Recipe) -> None:
    """Weights that make no number of any score end training here too, though every loss was one."""
    recipe = keras_recipe(tiny_recipe, epochs=1, batch_size=1000, learning_rate=1e30)
    trainer = KerasTrainer("mel", recipe, make_three_kinds())
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) in epoch 1; lower learning_rate"):
        trainer.train_epoch()


@pytest.mark.slow
def test_devices_share_each_batch() -> None:
    """Two devices see half a batch each, so that only batch norm, which is each device's own, tells them from one."""
    (alone, weights), (mirrored, mirrored_weights) = train_apart("one", "all")
    ((shared, shared_weights),) = train_apart("all", virtual_cpus=2)
    assert mirrored == pytest.approx(alone, abs=1e-4)
    assert mirrored_weights == pytest.approx(weights, rel=1e-4)
    assert shared == pytest.approx(alone, abs=0.1)
    assert shared != alone
    assert shared_weights == pytest.approx(weights, rel=0.01)


def test_another_backend_trains_on_one_device_and_on_two() -> None:
    """On JAX the loss falls, and two devices with a common batch norm agree with one."""
    (alone, weights), (shared, shared_weights) = train_apart("one", "all", environment=on_jax_devices(2))
    assert alone[1] < alone[0]
    assert shared == pytest.approx(alone, abs=1e-3)
    assert shared_weights == pytest.approx(weights, rel=1e-3)


def test_devices_that_cannot_share_a_batch_are_counted() -> None:
    """Three devices and batches of eight: one line says so, before anything is trained."""
    with pytest.raises(AssertionError, match="batches of 8 cannot be shared by 3 devices; change batch_size"):
        train_apart("all", environment=on_jax_devices(3))


def test_a_missing_backend_is_named(tmp_path: Path) -> None:
    """A backend that is not installed ends in one line that names it."""
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words = ["run", "--dataset", "synthetic", "--quick", "--engine", "keras", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "soundscene_train", *words],
        cwd=tmp_path,
        env=os.environ | {"KERAS_BACKEND": "torch", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2
    assert "torch" in done.stderr.splitlines()[-1]


def test_several_jobs_cannot_share_all_devices(esc_plan: Plan, tmp_path: Path) -> None:
    """Each process would take every device, so the combination is refused."""
    plan = dataclasses.replace(esc_plan, recipe=keras_recipe(esc_plan.recipe, devices="all"))
    with pytest.raises(TrainingError, match="leave out --jobs or --devices"):
        fit_networks([Training(plan, tmp_path, "mel")], jobs=2)
