"""Scores of a run's trained networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.frontend import patch
from soundscene.settings import NETWORK_NAMES
from soundscene_train.checkpoints import assign, reading_checkpoint
from soundscene_train.errors import TrainingError
from soundscene_train.fast import FastNetwork
from soundscene_train.feature_cache import StoredSpectra
from soundscene_train.features import Features
from soundscene_train.network import build_network
from soundscene_train.plan import Plan, read_standardisation
from soundscene_train.run_folders import CHECKPOINT_NAME, trained_file
from soundscene_train.runtime import start_tensorflow
from soundscene_train.storage import store_in_model

__all__ = ["load_trained", "load_weights", "score_model", "score_windows", "scoring_function"]

Array = NDArray[np.float32]

_BATCH: Final = 16


def load_trained(plan: Plan, folder: Path, network: str, label_count: int) -> Any:
    """Build a network and give it the weights of its last epoch, as the recipe stores them.

    Raises
    ------
    TrainingError
        It is not fully trained, or the checkpoint is damaged or another network's.
    """
    model = load_weights(plan, folder, network, label_count)
    store_in_model(model, plan.recipe.network, plan.recipe.storage)
    return model


def load_weights(plan: Plan, folder: Path, network: str, label_count: int) -> Any:
    """Build a network and give it the weights of its last epoch, in all their bits.

    Raises
    ------
    TrainingError
        It is not fully trained, or the checkpoint is damaged or another network's.
    """
    start_tensorflow()
    path = trained_file(folder, network, CHECKPOINT_NAME)
    recipe = plan.recipe
    model = build_network(recipe.network, label_count, recipe.front_end.band_count, recipe.front_end.patch_frames)
    with reading_checkpoint(path, network, "remove it and train again") as state:
        if int(state["epochs"]) < recipe.fit.epochs:
            raise TrainingError(
                f"{network} stands at epoch {int(state['epochs'])} of {recipe.fit.epochs}; run `fit` again to go on"
            )
        assign("weight", model.weights, state)
    return model


def score_windows(
    plan: Plan,
    folder: Path,
    features: Features,
    windows: NDArray[np.int64],
    label_count: int,
    *,
    networks: Sequence[str] = NETWORK_NAMES,
) -> NDArray[np.float64]:
    """Score windows with all three networks, or with some.

    Returns
    -------
    np.ndarray [shape=(networks, windows, labels), float64]
        Softmax scores in the order of `networks`.
    """
    rows = []
    for name in networks:
        model = load_trained(plan, folder, name, label_count)
        forward = scoring_function(FastNetwork(model, plan.recipe.network))
        to_patches = partial(
            patch, settings=plan.recipe.front_end, network=name, standardisation=read_standardisation(folder, name)
        )
        rows.append(score_model(forward, features.spectra[name], windows, to_patches))
    return np.stack(rows)


def scoring_function(network: FastNetwork) -> Callable[[Array], Any]:
    """Compile a network with the values its variables have now: patches in, softmax scores out.

    Only TensorFlow's own variables would tell it of other values; those of another backend are constants here.
    """
    tf = start_tensorflow()
    compiled = tf.function(lambda patches: tf.nn.softmax(network.forward(patches)[0]), autograph=False)
    return lambda patches: compiled(tf.constant(patches))


def score_model(
    forward: Callable[[Array], Any],
    spectra: StoredSpectra,
    windows: NDArray[np.int64],
    to_patches: Callable[[Array], Array],
) -> NDArray[np.float64]:
    """Score windows, whose spectrograms `to_patches` makes patches of, with one network's `scoring_function`.

    Returns
    -------
    np.ndarray [shape=(windows, labels), float64]
        Softmax scores.
    """
    parts = []
    for first in range(0, len(windows), _BATCH):
        part = windows[first : first + _BATCH]
        parts.append(np.asarray(forward(to_patches(spectra[part]))))
    return np.concatenate(parts).astype(np.float64)
