"""Models for tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from soundscene.frontend import Standardisation
from soundscene_train.batches import TrainingWindows
from soundscene_train.network import NetworkSettings, build_network
from soundscene_train.runtime import start_tensorflow
from tests.train.conftest import TINY_FRONT_END

ON_JAX = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
}
"""Environment of a process that trains with JAX; compiling tiny networks well takes longer than running them badly."""


def lively_model(settings: NetworkSettings, labels: int = 5, bands: int = 32, frames: int = 24) -> Any:
    """Build a model whose norms, biases and statistics are as uneven as training makes them."""
    start_tensorflow()
    import keras

    keras.utils.set_random_seed(3)
    model = build_network(settings, labels, bands, frames)
    generator = np.random.default_rng(4)
    for variable in model.weights:
        if "seed" in variable.path:
            continue
        shape = variable.shape
        if "moving_variance" in variable.path or "gamma" in variable.path:
            variable.assign(generator.uniform(0.4, 2.0, shape))
        elif "kernel" in variable.path:
            variable.assign(variable.numpy() * generator.uniform(0.8, 1.6, shape))
        else:
            variable.assign(generator.normal(0.0, 0.15, shape))
    return model


def make_material(spectra: Any, targets: Any) -> TrainingWindows:
    """All windows, with constants that change nothing."""
    return TrainingWindows(spectra, np.arange(len(spectra)), targets, Standardisation.identity())


def make_three_kinds(count: int = 24) -> TrainingWindows:
    """Three classes, each with energy in bands of its own."""
    generator = np.random.default_rng(0)
    classes = np.arange(count) % 3
    spectra = generator.standard_normal((count, TINY_FRONT_END.window_frames, 32)).astype(np.float32)
    for index, kind in enumerate(classes):
        spectra[index, :, 10 * kind : 10 * kind + 6] += 2.0
    return make_material(spectra, np.eye(3, dtype=np.float32)[classes])
