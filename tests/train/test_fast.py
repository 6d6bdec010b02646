"""The fast network and the one drawn by Table I are the same functions of the same variables."""

from typing import Any

import numpy as np
import pytest

from soundscene_train.fast import FastNetwork
from soundscene_train.network import NetworkSettings, build_network
from soundscene_train.recipe import StorageSettings
from soundscene_train.runtime import start_tensorflow
from soundscene_train.storage import store_in_model
from tests.train.helpers import lively_model

SETTINGS = [
    pytest.param(NetworkSettings((8, 8, 12, 8, 8, 8), dropout=0.0), id="decomposed"),
    pytest.param(NetworkSettings((4, 6, 4, 4, 6, 4), decomposed=False, pool_after=(1, 3), dropout=0.0), id="plain"),
    pytest.param(
        NetworkSettings((8, 8, 12, 8, 8, 8), pool_after=(1, 2, 4), head="mean+max", dropout=0.0), id="mean+max"
    ),
]


@pytest.fixture
def patches() -> Any:
    return np.random.default_rng(1).standard_normal((6, 32, 24, 3)).astype(np.float32)


@pytest.mark.parametrize("settings", SETTINGS)
def test_inference_equals_the_drawing(settings: NetworkSettings, patches: Any) -> None:
    """Without training both give the same scores to 1e-5."""
    tf = start_tensorflow()
    model = lively_model(settings)
    logits, statistics = FastNetwork(model, settings, 6).forward(patches)
    scores = np.asarray(model(patches, training=False))
    assert np.ptp(scores, axis=0).max() > 0.01, "the model must react to its input"
    np.testing.assert_allclose(tf.nn.softmax(logits), scores, atol=1e-5)
    assert not statistics


@pytest.mark.parametrize("settings", SETTINGS)
def test_training_equals_the_drawing(settings: NetworkSettings, patches: Any) -> None:
    """With batch statistics both give the same loss and gradients, and move the running statistics alike."""
    tf = start_tensorflow()
    model, twin = lively_model(settings), lively_model(settings)
    targets = np.eye(5, dtype=np.float32)[np.arange(6) % 5]
    fast = FastNetwork(twin, settings, 6)
    with tf.GradientTape() as tape:
        drawn_loss = -tf.reduce_mean(tf.reduce_sum(targets * tf.math.log(model(patches, training=True)), axis=1))
    drawn = tape.gradient(drawn_loss, [variable.value for variable in model.trainable_variables])
    with tf.GradientTape() as tape:
        logits, statistics = fast.forward(patches, tf.zeros(6, tf.int32))
        loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(targets, logits))
    gradients = tape.gradient(loss, [variable.value for variable in twin.trainable_variables])
    fast.update(statistics)

    assert float(loss) == pytest.approx(float(drawn_loss), abs=1e-5)
    scale = max(float(tf.reduce_max(tf.abs(gradient))) for gradient in drawn)
    for variable, expected, found in zip(model.trainable_variables, drawn, gradients, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-4 * scale, err_msg=variable.path)
    for one, other in zip(model.non_trainable_variables, twin.non_trainable_variables, strict=True):
        if "moving" in one.path:
            np.testing.assert_allclose(other.numpy(), one.numpy(), rtol=1e-4, atol=1e-5, err_msg=one.path)


def test_dropout_follows_its_offsets(patches: Any) -> None:
    """The same offsets drop the same activations, others drop others, and the rate is the one asked for."""
    settings = NetworkSettings((4, 4, 4, 4, 4, 4), dropout=0.25)
    tf = start_tensorflow()
    network = FastNetwork(build_network(settings, 5, 32, 24), settings, 6)
    generator = np.random.default_rng(0)
    first, second = network.draw_offsets(generator), network.draw_offsets(generator)
    one, again, other = (np.asarray(network.forward(patches, tf.constant(o))[0]) for o in (first, first, second))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    table = np.asarray(network._dropout_table)
    assert np.mean(table == 0.0) == pytest.approx(0.25, abs=0.01)
    assert np.mean(table) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("storage", [StorageSettings(8), StorageSettings(3, 0.75), StorageSettings(32, 0.5)])
@pytest.mark.parametrize("settings", SETTINGS)
def test_weights_are_seen_as_they_will_be_stored(
    settings: NetworkSettings, patches: Any, storage: StorageSettings
) -> None:
    """Scores are those of the stored network; the gradient at the stored weights is passed through."""
    tf = start_tensorflow()
    model, twin = lively_model(settings), lively_model(settings)
    store_in_model(twin, settings, storage)
    networks = FastNetwork(model, settings, 6), FastNetwork(twin, settings, 6)
    found = []
    for network, seen in zip(networks, (storage, None), strict=True):
        with tf.GradientTape() as tape:
            logits, _ = network.forward(patches, tf.zeros(6, tf.int32), seen)
            loss = tf.reduce_sum(logits[:, 0])
        variables = [variable.value for variable in network.model.trainable_variables]
        found.append((np.asarray(logits), tape.gradient(loss, variables)))
    (logits, gradients), (expected, expected_gradients) = found
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    for one, other in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-3)
