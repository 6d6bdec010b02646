"""A merged network in TensorFlow's basic operations: what Essentia reads, and what LiteRT's is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundscene_train.merging import MergedBlock, MergedNetwork

__all__ = ["build_graph", "convolved", "joined", "rectified", "scored"]


def build_graph(network: MergedNetwork, patches: Any) -> Any:
    """Compute scores, all weights constant.

    Parameters
    ----------
    network : MergedNetwork
        What is shipped.
    patches : tf.Tensor [shape=(batch, bands, frames, 3), float32]
        After `channel_scale` and `channel_offset`.

    Returns
    -------
    tf.Tensor [shape=(batch, labels)]
        Softmax scores; the operation is named "Softmax".
    """
    import tensorflow as tf

    x = patches
    for block in network.blocks:
        x = joined(_branches(x, block))
        if block.row.pooled:
            x = tf.nn.avg_pool2d(x, 2, 2, "VALID")
    return scored(x, network)


def scored(x: Any, network: MergedNetwork) -> Any:
    """Pool bands and frames away, and return the scores of that."""
    import tensorflow as tf

    if network.peak_signs is None:
        x = tf.reduce_mean(x, (1, 2))
    else:
        over_time = tf.reduce_mean(x, 1)
        if np.any(network.peak_signs < 0.0):
            over_time = over_time * network.peak_signs
        x = tf.reduce_mean(over_time, 1) + tf.reduce_max(over_time, 1)
    return tf.nn.softmax(tf.matmul(x, network.dense_kernel) + network.dense_bias, name="Softmax")


def joined(branches: Sequence[Any]) -> Any:
    """Return branches as the channels of one tensor."""
    import tensorflow as tf

    return tf.concat(branches, axis=-1) if len(branches) > 1 else branches[0]


def rectified(x: Any, kernel: NDArray[Any], bias: NDArray[Any]) -> Any:
    """Convolve, add a bias and rectify: what a runtime makes one operation of."""
    import tensorflow as tf

    return tf.nn.relu(convolved(x, kernel, bias))


def convolved(x: Any, kernel: NDArray[Any], bias: NDArray[Any], strides: tuple[int, int] = (1, 1)) -> Any:
    """Convolve, with zeros beyond the border, and add a bias."""
    import tensorflow as tf

    return tf.nn.bias_add(tf.nn.conv2d(x, kernel.astype(np.float32), strides, "SAME"), bias.astype(np.float32))


def _branches(x: Any, block: MergedBlock) -> list[Any]:
    """Scale, convolve, add the bias and rectify, branch by branch."""
    if block.affine is not None:
        scale, offset = block.affine
        x = x * scale + offset
    if not block.row.decomposed:
        return [rectified(x, block.kernels[0], block.bias)]
    near, first, second, every = block.kernels
    quarter, half = block.row.inputs // 4, block.row.inputs // 2
    bias = np.split(block.bias, 4)
    branches = ((x[..., :quarter], near), (x[..., :half], first), (x[..., half:], second), (x, every))
    return [rectified(part, kernel, b) for (part, kernel), b in zip(branches, bias, strict=True)]
