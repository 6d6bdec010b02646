"""A merged network in the operations that LiteRT runs fastest at batch 1: the same function, in 55 % of the time.

Its convolutions work in registers of 16 numbers: a convolution of 8 outputs wastes half of each, and each operation
reads and writes memory once more than it would have to. It is paid for with zeros that are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene_train.merging import MergedBlock, MergedNetwork
from soundscene_train.plain_graph import convolved, joined, rectified, scored

__all__ = ["build_serving_graph"]

_REGISTER_FLOATS: Final = 16

_Affine = tuple[NDArray[Any], NDArray[Any]] | None


def build_serving_graph(network: MergedNetwork, patches: Any) -> Any:
    """Compute what `build_graph` computes.

    Parameters
    ----------
    network : MergedNetwork
        What is shipped.
    patches : tf.Tensor [shape=(1, bands, frames, 3), float32]
        After `channel_scale` and `channel_offset`.

    Returns
    -------
    tf.Tensor [shape=(1, labels)]
        Softmax scores.
    """
    x, near, affine = patches, None, network.blocks[0].affine
    for block, following in zip_longest(network.blocks, network.blocks[1:]):
        branches = _decomposed(x, near, block, affine) if block.row.decomposed else [_plain(x, block, affine)]
        affine = None if following is None else following.affine
        if block.row.pooled:  # pooling takes the map that follows it along, and joins less when it comes first
            branches, affine = _pooled(branches, affine), None
        near = branches[0] if block.row.decomposed else None
        x = joined(branches)
    return scored(x, network)


def _plain(x: Any, block: MergedBlock, affine: _Affine) -> Any:
    if affine is not None:
        x = x * affine[0] + affine[1]
    return rectified(x, block.kernels[0], block.bias)


def _decomposed(x: Any, near: Any | None, block: MergedBlock, affine: _Affine) -> list[Any]:
    """Compute a decomposed block with two convolutions, the affine map inside.

    One 1x1 convolution serves three branches; having no border, it takes the map into its weights. The 3x3 sees the
    first quarter of the channels: `near`, the first branch of the decomposed block before. Where it must be picked or
    mapped, a 1x1 convolution in front does it.
    """
    quarter, half, share = block.row.inputs // 4, block.row.inputs // 2, block.row.outputs // 4
    neighbours, first, second, every = (kernel.astype(np.float64) for kernel in block.kernels)
    points = np.zeros((block.row.inputs, 3 * share))
    points[:half, :share] = first[0, 0]
    points[half:, share : 2 * share] = second[0, 0]
    points[:, 2 * share :] = every[0, 0]
    scale, offset = (np.ones(block.row.inputs), np.zeros(block.row.inputs)) if affine is None else affine
    if near is None or affine is not None:
        source = x if near is None else near
        picked = np.eye(source.shape[-1], quarter) * scale[:quarter]
        near = convolved(source, picked[None, None], offset[:quarter])
    return [
        _neighbours(near, neighbours, block.bias[:share]),
        rectified(x, (scale[:, None] * points)[None, None], block.bias[share:] + offset @ points),
    ]


def _neighbours(x: Any, kernel: NDArray[Any], bias: NDArray[Any]) -> Any:
    """Convolve with a 3x3 kernel; where its outputs fill half a register or less, for two frames at once."""
    import tensorflow as tf

    height, width, inputs, outputs = kernel.shape
    bands, frames = x.shape[1:3]
    if 2 * outputs > _REGISTER_FLOATS or frames % 2:
        return rectified(x, kernel, bias)
    pair = np.zeros((height, width + 1, inputs, 2 * outputs))
    pair[:, :-1, :, :outputs] = kernel
    pair[:, 1:, :, outputs:] = kernel
    both = tf.nn.relu(convolved(x, pair, np.tile(bias, 2), (1, 2)))
    return tf.reshape(both, (1, bands, frames, outputs))


def _pooled(branches: Sequence[Any], affine: _Affine) -> list[Any]:
    """Average 2x2 and map, by convolutions of each channel for itself: LiteRT's average pooling is slower."""
    import tensorflow as tf

    counts = [branch.shape[-1] for branch in branches]
    scale, offset = (np.ones(sum(counts)), np.zeros(sum(counts))) if affine is None else affine
    ends = np.cumsum(counts)[:-1]
    pooled = []
    for branch, gain, shift in zip(branches, np.split(scale, ends), np.split(offset, ends), strict=True):
        kernel = np.broadcast_to((gain / 4)[:, None], (2, 2, len(gain), 1)).astype(np.float32)
        averaged = tf.nn.depthwise_conv2d(branch, kernel, (1, 2, 2, 1), "VALID")
        pooled.append(tf.nn.bias_add(averaged, shift.astype(np.float32)))
    return pooled
