"""What a network is trained on is what it will be shown."""

import dataclasses

import numpy as np
import pytest

from soundscene.frontend import patch
from soundscene.settings import NETWORK_NAMES
from soundscene_train.batches import Batches
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
