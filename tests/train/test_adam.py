"""Our Adam takes the steps that Keras's takes."""

import numpy as np
import pytest

from soundscene_train.adam import Adam
from soundscene_train.runtime import start_tensorflow


@pytest.mark.parametrize("decoupled", [False, True])
def test_steps_equal_keras(decoupled: bool) -> None:
    """Five steps on two variables end where Keras's Adam on the whole loss, or its AdamW, ends."""
    tf = start_tensorflow()
    import keras

    generator = np.random.default_rng(0)
    starts = [generator.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (5,))]
    ours, theirs = ([tf.Variable(start) for start in starts] for _ in range(2))
    adam = Adam(ours, weight_decay=0.1, decoupled=decoupled)
    reference = keras.optimizers.AdamW(0.02, weight_decay=0.1) if decoupled else keras.optimizers.Adam(0.02)
    penalty_decay = 0.0 if decoupled else 0.1
    for _ in range(5):
        gradients = [tf.constant(generator.standard_normal(v.shape).astype(np.float32)) for v in ours]
        expected_penalty = penalty_decay / 2 * sum(float(tf.reduce_sum(v**2)) for v in ours)
        penalty = adam.apply(gradients, 0.02)
        np.testing.assert_allclose(penalty, expected_penalty, rtol=1e-5)
        reference.apply_gradients([(g + penalty_decay * v, v) for g, v in zip(gradients, theirs, strict=True)])
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)
