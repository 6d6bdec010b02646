"""A run's networks score what each was trained to hear, and only once they are trained to the end."""

from pathlib import Path

import numpy as np
import pytest

from soundscene.frontend import patch
from soundscene.settings import NETWORK_NAMES
from soundscene_train.errors import TrainingError
from soundscene_train.plan import Plan, read_standardisation
from soundscene_train.scoring import load_trained, load_weights, score_windows


def test_scores_are_those_of_the_networks_as_they_are_drawn(esc_plan: Plan, esc_run: Path) -> None:
    """Any windows, in any order and number, are scored by each network from its own spectrograms and constants."""
    features = esc_plan.features(esc_plan.open())
    windows = np.random.default_rng(0).permutation(features.window_count)[:35]
    expected = {}
    for name in NETWORK_NAMES:
        constants = read_standardisation(esc_run, name)
        patches = patch(features.spectra[name][windows], esc_plan.recipe.front_end, name, constants)
        expected[name] = np.asarray(load_weights(esc_plan, esc_run, name, 3)(patches, training=False))
    found = score_windows(esc_plan, esc_run, features, windows, 3)
    np.testing.assert_allclose(found, [expected[name] for name in NETWORK_NAMES], atol=1e-5)
    some = score_windows(esc_plan, esc_run, features, windows, 3, networks=("cqt", "mel"))
    np.testing.assert_allclose(some, [expected["cqt"], expected["mel"]], atol=1e-5)


def test_a_network_that_is_half_trained_is_not_scored(esc_plan: Plan, esc_run: Path) -> None:
    """A checkpoint of two epochs of three is no result: the line says how far it is and how to go on."""
    longer = Plan(esc_plan.recipe.with_fit(epochs=3), "esc10", esc_plan.data_dir, esc_plan.cache_dir)
    for load in (load_trained, load_weights):
        with pytest.raises(TrainingError, match="mel stands at epoch 2 of 3; run `fit` again to go on"):
            load(longer, esc_run, "mel", 3)
