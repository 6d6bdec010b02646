"""What a network is trained on is what it will be shown."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from soundscene.frontend import Standardisation, level_proof, patch, with_deltas
from soundscene.settings import NETWORK_NAMES
from soundscene_train.augmentation import Array, crop_windows, recoloured, with_noise
from soundscene_train.batches import Batches, TrainingWindows
from soundscene_train.recipe import AugmentationSettings, Recipe
from tests.train.conftest import TINY_FRONT_END
from tests.train.helpers import make_three_kinds


@pytest.mark.parametrize("network", NETWORK_NAMES)
def test_without_augmentation_batches_are_the_patches_that_are_served(network: str) -> None:
    """Each network's own steps are taken in training as they are in serving: here gammatone loses its band means."""
    nothing = AugmentationSettings(mixup_alpha=0.0, frequency_mask_bands=0, time_mask_frames=0)
    material = make_three_kinds()
    recipe = Recipe(front_end=TINY_FRONT_END, augmentation=nothing)
    recipe = dataclasses.replace(recipe, fit=dataclasses.replace(recipe.fit, batch_size=len(material)))
    ((patches, targets, _),) = Batches(network, recipe, material).epoch(0)
    served = patch(material.spectra[:], TINY_FRONT_END, network, material.standardisation)
    found = [int(np.abs(served - item).max(axis=(1, 2, 3)).argmin()) for item in patches]
    assert sorted(found) == list(range(len(material)))
    np.testing.assert_allclose(patches, served[found], atol=1e-5)
    np.testing.assert_array_equal(targets, material.targets[found])


NOTHING = AugmentationSettings(mixup_alpha=0.0, frequency_mask_bands=0, time_mask_frames=0)
FRAMES, BANDS = TINY_FRONT_END.window_frames, TINY_FRONT_END.band_count
CONSTANTS = Standardisation(0.3, 2.0, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def make_recipe(batch_size: int, seed: int = 0, **augmentation: Any) -> Recipe:
    recipe = Recipe(front_end=TINY_FRONT_END, seed=seed, augmentation=dataclasses.replace(NOTHING, **augmentation))
    return dataclasses.replace(recipe, fit=dataclasses.replace(recipe.fit, batch_size=batch_size))


def make_some_windows(**others: Array) -> TrainingWindows:
    """Ten of 24 windows, of which each has a target of its own."""
    spectra = np.random.default_rng(0).standard_normal((24, FRAMES, BANDS)).astype(np.float32)
    windows = np.array([23, 1, 4, 8, 9, 11, 14, 16, 17, 20])
    return TrainingWindows(spectra, windows, np.eye(10, dtype=np.float32), CONSTANTS, **others)


def items_of(batches: Batches, epoch: int) -> list[int]:
    return [int(item) for _, targets, _ in batches.epoch(epoch) for item in targets.argmax(axis=1)]


def test_windows_come_with_their_own_targets_and_constants() -> None:
    """Of windows that are some of those that are stored, each patch is the one served, beside its own target."""
    material = make_some_windows()
    ((patches, targets, _),) = Batches("mel", make_recipe(10), material).epoch(0)
    served = patch(np.asarray(material.spectra[material.windows]), TINY_FRONT_END, "mel", CONSTANTS)
    np.testing.assert_allclose(patches, served[targets.argmax(axis=1)], atol=1e-5)


def test_an_epoch_takes_no_window_twice_and_the_next_another_order() -> None:
    """Two full batches of four out of ten, others by epoch, network and seed, and the same again."""
    material = make_some_windows()
    batches = Batches("mel", make_recipe(4), material)
    first, second = items_of(batches, 0), items_of(batches, 1)
    assert batches.count == 2
    assert len(first) == len(set(first)) == 8
    assert first != second
    assert first not in (sorted(first), items_of(Batches("cqt", make_recipe(4), material), 0))
    assert first != items_of(Batches("mel", make_recipe(4, seed=1), material), 0)
    assert items_of(batches, 0) == first
    assert sorted(items_of(Batches("mel", make_recipe(64), material), 0)) == list(range(10))


def test_other_devices_and_noise_come_as_the_recipe_asks() -> None:
    """Each with its own probability, spread and ratios, drawn in that order before all else."""
    responses = np.linspace(-1.0, 1.0, 3 * BANDS, dtype=np.float32).reshape(3, BANDS)
    noises = np.full((1, FRAMES, BANDS), -np.log(BANDS), np.float32)
    material = make_some_windows(responses=responses, noises=noises)
    asked: dict[str, Any] = {"response_probability": 0.8, "response_spread": 0.5, "noise_probability": 0.3}
    recipe = make_recipe(10, **asked, noise_min_snr_db=-3.0, noise_max_snr_db=9.0)
    ((patches, targets, _),) = Batches("mel", recipe, material).epoch(0)
    generator = np.random.default_rng([0, NETWORK_NAMES.index("mel"), 1])
    order = generator.permutation(10)
    spectra = np.asarray(material.spectra[material.windows[order]])
    heard = recoloured(spectra, responses, 0.8, generator, spread=0.5)
    heard = with_noise(heard, noises, 0.3, (-3.0, 9.0), generator)
    np.testing.assert_array_equal(targets.argmax(axis=1), order)
    np.testing.assert_allclose(patches, patch(heard, TINY_FRONT_END, "mel", CONSTANTS), atol=1e-5)


@pytest.mark.parametrize("roll", [False, True])
def test_crops_are_of_the_sound_of_their_own_window(roll: bool) -> None:
    """Where sound is four frames, early in odd windows and late in even ones, two of them at least are in each crop."""
    material = make_some_windows()
    sound = {0: range(30, 34), 1: range(6, 10)}
    spectra = np.full((24, FRAMES, BANDS), -12.0, np.float32)
    spectra += np.random.default_rng(1).standard_normal(spectra.shape).astype(np.float32)
    for number, window in enumerate(spectra):
        window[list(sound[number % 2])] += 12.0
    material = dataclasses.replace(material, spectra=spectra)
    recipe = make_recipe(10, crop_frames=16, roll=roll)
    ((patches, _, _),) = Batches("mel", recipe, material).epoch(0)
    generator = np.random.default_rng([0, NETWORK_NAMES.index("mel"), 1])
    windows = material.windows[generator.permutation(10)]
    starts = np.zeros((10, FRAMES), np.bool_)
    for allowed, window in zip(starts, windows, strict=True):
        for first in range(FRAMES if roll else FRAMES - 24 + 1):
            allowed[first] = sum((first + frame) % FRAMES in sound[window % 2] for frame in range(24)) >= 2
    levelled = level_proof(spectra[windows], TINY_FRONT_END, "mel", CONSTANTS.mean, CONSTANTS.scale)
    crops = crop_windows(levelled, starts, 24, generator)
    np.testing.assert_allclose(patches, with_deltas(crops, recipe.training_front_end), atol=1e-5)
