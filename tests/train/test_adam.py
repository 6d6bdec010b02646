"""Our Adam takes the steps that Keras's takes."""

import numpy as np

from soundscene_train.adam import Adam
from soundscene_train.runtime import start_tensorflow


def test_steps_equal_keras() -> None:
    """Five steps on two variables, penalty included, end where `keras.optimizers.Adam` on the whole loss ends."""
    tf = start_tensorflow()
    import keras

    generator = np.random.default_rng(0)
    starts = [generator.standard_normal(shape).astype(np.float32) for shape in ((3, 4), (5,))]
    ours, theirs = ([tf.Variable(start) for start in starts] for _ in range(2))
    adam, reference = Adam(ours, weight_decay=0.1), keras.optimizers.Adam(0.02)
    for _ in range(5):
        gradients = [tf.constant(generator.standard_normal(v.shape).astype(np.float32)) for v in ours]
        expected_penalty = 0.05 * sum(float(tf.reduce_sum(v**2)) for v in ours)
        penalty = adam.apply(gradients, 0.02)
        np.testing.assert_allclose(penalty, expected_penalty, rtol=1e-5)
        reference.apply_gradients([(g + 0.1 * v, v) for g, v in zip(gradients, theirs, strict=True)])
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)
