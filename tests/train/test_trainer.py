"""Training can stop anywhere and go on to the same weights."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundscene.frontend import patch
from soundscene_train.errors import TrainingError
from soundscene_train.fast_trainer import FastTrainer
from soundscene_train.network import build_network
from soundscene_train.noises import band_noises
from soundscene_train.recipe import FitSettings, Recipe, StorageSettings
from soundscene_train.schedule import learning_rate_at
from soundscene_train.storage import store_in_model
from tests.train.conftest import TINY_FRONT_END
from tests.train.helpers import make_three_kinds


def make_recipe(tiny: Recipe, **fit: Any) -> Recipe:
    return dataclasses.replace(tiny, fit=dataclasses.replace(tiny.fit, **fit))


@pytest.mark.parametrize("average", [0.0, 0.6])
def test_an_interrupted_run_ends_with_the_same_weights(tiny_recipe: Recipe, tmp_path: Path, average: float) -> None:
    """Four epochs at a stretch, and three, a new process's worth of objects, and one more are equal to the last bit."""
    recipe = make_recipe(tiny_recipe, epochs=4, schedule="cosine", warm_up_share=0.2, average_last_share=average)
    straight = FastTrainer("cqt", recipe, make_three_kinds())
    for _ in range(3):
        straight.train_epoch()
    straight.save(tmp_path / "checkpoint.npz")
    straight.train_epoch()

    second = FastTrainer("cqt", recipe, make_three_kinds())
    second.restore(tmp_path / "checkpoint.npz")
    assert second.epochs_done == 3
    assert not second.is_done
    second.train_epoch()

    assert second.is_done
    assert second.history == straight.history
    for one, other in zip(straight.model.weights, second.model.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.path)


def test_networks_and_seeds_differ(tiny_recipe: Recipe) -> None:
    """The first weights and the first loss follow from the seed and the network's name: no two start alike."""
    weights, losses = set[float](), set[float]()
    for network, seed in (("mel", 0), ("mel", 1), ("gammatone", 0), ("mel", 0)):
        trainer = FastTrainer(network, dataclasses.replace(tiny_recipe, seed=seed), make_three_kinds())
        weights.add(float(np.asarray(trainer.model.trainable_variables[2]).sum()))
        losses.add(trainer.train_epoch())
    assert len(weights) == len(losses) == 3


def test_it_learns(tiny_recipe: Recipe) -> None:
    """Separable classes are learnt: the running statistics, too, since inference is what is checked."""
    recipe = make_recipe(tiny_recipe, epochs=20, learning_rate=1e-2, weight_decay=0.0)
    material = make_three_kinds(48)
    trainer = FastTrainer("mel", recipe, material)
    losses = [trainer.train_epoch() for _ in range(20)]
    assert losses[-1] < 0.6 * losses[0]
    patches = patch(material.spectra[:], TINY_FRONT_END, "mel", material.standardisation)
    logits, _ = trainer.network.forward(patches)
    assert np.mean(np.argmax(np.asarray(logits), axis=1) == material.targets.argmax(axis=1)) > 0.9


def test_averaged_weights_are_the_mean_of_the_last_epochs(tiny_recipe: Recipe) -> None:
    """With half of four epochs averaged, the final weights are the mean of the third's and the fourth's."""
    recipe = make_recipe(tiny_recipe, epochs=4, average_last_share=0.5)
    trainer = FastTrainer("mel", recipe, make_three_kinds())
    kept = []
    for _ in range(3):
        trainer.train_epoch()
        kept.append([variable.numpy() for variable in trainer.model.trainable_variables])
    plain = FastTrainer("mel", make_recipe(tiny_recipe, epochs=4), make_three_kinds())
    for _ in range(4):
        plain.train_epoch()
    trainer.train_epoch()
    for found, third, fourth in zip(
        trainer.model.trainable_variables, kept[2], plain.model.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(found.numpy(), (third + fourth.numpy()) / 2, atol=1e-6)


def test_a_diverged_run_says_so(tiny_recipe: Recipe) -> None:
    """A loss that is no number ends training with advice."""
    material = make_three_kinds()
    broken = dataclasses.replace(material, spectra=material.spectra[:] * np.float32(np.nan))
    trainer = FastTrainer("mel", tiny_recipe, broken)
    with pytest.raises(TrainingError, match="lower learning_rate"):
        trainer.train_epoch()


def test_a_run_that_diverges_in_its_last_step_says_so(tiny_recipe: Recipe) -> None:
    """Weights that make no number of any score end training with the same advice, though every loss was one."""
    trainer = FastTrainer(
        "mel", make_recipe(tiny_recipe, epochs=1, batch_size=1000, learning_rate=1e30), make_three_kinds()
    )
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 1; lower learning_rate"):
        trainer.train_epoch()


def test_a_foreign_checkpoint_is_refused(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """A damaged file and one of another network are named, not loaded."""
    trainer = FastTrainer("mel", tiny_recipe, make_three_kinds())
    damaged = tmp_path / "damaged.npz"
    trainer.save(damaged)
    for content in (b"nothing", b"", damaged.read_bytes()[:-100]):
        damaged.write_bytes(content)
        with pytest.raises(TrainingError, match=r"damaged.npz: not a checkpoint of this recipe .* remove it"):
            trainer.restore(damaged)
    other = dataclasses.replace(tiny_recipe, network=dataclasses.replace(tiny_recipe.network, decomposed=False))
    FastTrainer("mel", other, make_three_kinds()).save(damaged)
    with pytest.raises(TrainingError, match=r"damaged.npz: not a checkpoint of this recipe"):
        trainer.restore(damaged)


def test_the_cosine_schedule_warms_up_and_falls() -> None:
    """The rate rises to its highest, falls to one hundredth, and never leaves the range between."""
    settings = FitSettings(schedule="cosine", warm_up_share=0.1, learning_rate=1e-2)
    rates = [learning_rate_at(step, 200, settings) for step in range(200)]
    assert max(rates) == pytest.approx(1e-2)
    assert int(np.argmax(rates)) in {19, 20}
    assert rates[0] == pytest.approx(1e-2 / 20)
    assert rates[20] == pytest.approx(1e-2)
    assert rates[110] == pytest.approx((1e-2 + 1e-4) / 2), "half way down, half way through what follows"
    assert rates[-1] == pytest.approx(1e-4, rel=0.05)
    assert all(a >= b for a, b in itertools.pairwise(rates[20:]))
    assert learning_rate_at(5, 10, FitSettings(learning_rate=3.0)) == 3.0


def test_a_network_trained_on_crops_takes_whole_patches(tiny_recipe: Recipe) -> None:
    """Crops, other devices' colours and noise are learnt from, and the weights fit the network that is served."""
    settings = dataclasses.replace(
        tiny_recipe.augmentation,
        crop_frames=16,
        roll=True,
        response_probability=0.5,
        noise_probability=0.5,
        noise_min_snr_db=10.0,
        style_probability=0.5,
    )
    recipe = dataclasses.replace(
        make_recipe(tiny_recipe, epochs=40, learning_rate=1e-2, schedule="cosine"), augmentation=settings
    )
    material = dataclasses.replace(
        make_three_kinds(48),
        responses=np.eye(4, 32, dtype=np.float32),
        noises=band_noises(TINY_FRONT_END)["mel"],
    )
    trainer = FastTrainer("mel", recipe, material)
    losses = [trainer.train_epoch() for _ in range(40)]
    assert losses[-1] < 0.7 * losses[0]
    whole = build_network(recipe.network, 3, 32, TINY_FRONT_END.patch_frames)
    for served, trained in zip(whole.weights, trainer.model.weights, strict=True):
        served.assign(trained)
    scores = np.asarray(whole(patch(material.spectra[:], TINY_FRONT_END, "mel", material.standardisation)))
    assert np.mean(scores.argmax(axis=1) == material.targets.argmax(axis=1)) > 0.9


@pytest.mark.parametrize("storage", [StorageSettings(2), StorageSettings(32, 0.6)])
def test_training_as_stored_loses_less(tiny_recipe: Recipe, storage: StorageSettings) -> None:
    """In 2 bits, or pruned, a network that was trained so at last fits its data twice as well as one that was not."""
    losses = {}
    for share in (0.0, 0.5):
        recipe = make_recipe(tiny_recipe, epochs=30, learning_rate=1e-2, schedule="cosine")
        recipe = dataclasses.replace(recipe, seed=2, storage=storage)  # this seed has learnt it by then
        material = make_three_kinds(48)
        trainer = FastTrainer("mel", recipe.with_fit(quantise_last_share=share), material)
        for _ in range(30):
            trainer.train_epoch()
        store_in_model(trainer.model, recipe.network, storage)
        scores = np.asarray(trainer.model(patch(material.spectra[:], TINY_FRONT_END, "mel", material.standardisation)))
        losses[share] = -np.log(scores[material.targets == 1.0]).mean()
    assert losses[0.5] < 0.5 * losses[0.0]


def test_weights_are_seen_as_stored_in_the_last_share_of_the_epochs_alone(tiny_recipe: Recipe) -> None:
    """With half of four epochs asked for, the first two are those of a plain run, and the others are not."""
    recipe = make_recipe(dataclasses.replace(tiny_recipe, storage=StorageSettings(2)), epochs=4)
    losses = []
    for share in (0.0, 0.5):
        trainer = FastTrainer("mel", recipe.with_fit(quantise_last_share=share), make_three_kinds())
        losses.append([trainer.train_epoch() for _ in range(4)])
    assert [one == other for one, other in zip(*losses, strict=True)] == [True, True, False, False]


def test_averaged_weights_get_statistics_of_whole_epochs(tiny_recipe: Recipe) -> None:
    """What the first norm knows of its input are plain means over all batches of three further epochs."""
    trainer = FastTrainer("mel", make_recipe(tiny_recipe, epochs=1, average_last_share=0.5), make_three_kinds())
    trainer.train_epoch()
    means, variances = [], []
    for epoch in (1, 2, 3):
        for patches, _, generator in trainer.batches.epoch(epoch):
            means.append(patches.mean(axis=(0, 1, 2), dtype=np.float64))
            variances.append(patches.var(axis=(0, 1, 2), dtype=np.float64))
            trainer.network.draw_offsets(generator)
    norm = trainer.model.get_layer("block1_norm_in")
    np.testing.assert_allclose(np.asarray(norm.moving_mean), np.mean(means, axis=0), atol=1e-5)
    np.testing.assert_allclose(np.asarray(norm.moving_variance), np.mean(variances, axis=0), rtol=1e-4)
