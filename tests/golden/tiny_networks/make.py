"""Write three tiny networks with random weights, four labels, and the input of the real ones.

Run by hand where TensorFlow is installed: `python tests/golden/tiny_networks/make.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

PATCH_SHAPE = (1, 128, 128, 3)
LABELS = 4
FILTERS = 6


def make_network(seed: int) -> bytes:
    generator = np.random.default_rng(seed)
    kernel = tf.constant(generator.normal(0.0, 0.4, (3, 3, 3, FILTERS)).astype(np.float32))
    weights = tf.constant(generator.normal(0.0, 2.0, (FILTERS, LABELS)).astype(np.float32))

    def score(patch: tf.Tensor) -> tf.Tensor:
        activations = tf.nn.relu(tf.nn.conv2d(patch, kernel, 4, "SAME"))  # (1, 32, 32, filters)
        return tf.nn.softmax(tf.reduce_mean(activations, (1, 2)) @ weights)  # (1, labels)

    signature = [tf.TensorSpec(PATCH_SHAPE, tf.float32, name="patch")]
    function = tf.function(score, input_signature=signature).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    return bytes(converter.convert())


if __name__ == "__main__":
    for seed, name in enumerate(("mel", "gammatone", "cqt")):
        (Path(__file__).parent / f"{name}.tflite").write_bytes(make_network(seed))
