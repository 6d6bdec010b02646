"""Merging a trained network's batch norms without changing what it computes, borders included.

In inference a batch norm is an affine map per channel. Average pooling commutes with it and dropout is nothing, so the
norm that ends a block and the norm that begins the next are one affine map. It stays in front of the convolution: with
zero padding, folding its offset into the convolution's bias would be wrong along the border. The first norm belongs to
the front end's standardisation, the last one goes into the dense layer. A maximum over time commutes with a positive
scale only, so the head that takes one keeps the signs of the last norm's scales.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundscene_train.network import BATCH_NORM_EPSILON, NetworkSettings, Row, convolution_names, table_of_rows

__all__ = ["MergedBlock", "MergedNetwork", "affine_of", "merge"]

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class MergedBlock:
    """Affine map, convolution, ReLU, and pooling where the row says so.

    Parameters
    ----------
    row : Row
    affine : (scale, offset), each np.ndarray [shape=(inputs,)], or None
        None in the first block.
    kernels : tuple of np.ndarray [shape=(height, width, inputs of the branch, outputs of the branch)]
        One, or the four branches of a decomposed convolution.
    bias : np.ndarray [shape=(outputs,)]
    """

    row: Row
    affine: tuple[Array, Array] | None
    kernels: tuple[Array, ...]
    bias: Array

    @property
    def parameter_count(self) -> int:
        """Numbers stored for this block."""
        affine = 0 if self.affine is None else 2 * self.affine[0].size
        return affine + sum(kernel.size for kernel in self.kernels) + self.bias.size


@dataclass(frozen=True, slots=True, eq=False)
class MergedNetwork:
    """A network as it is shipped.

    Parameters
    ----------
    blocks : tuple of MergedBlock
    dense_kernel, dense_bias : np.ndarray [shape=(channels, labels) and (labels,)]
    channel_scale, channel_offset : np.ndarray [shape=(3,)]
        What the first batch norm does; it belongs to the standardisation of the input.
    peak_signs : np.ndarray [shape=(channels,)] or None
        Signs, 1 or -1, of the channels whose maximum over time joins the mean; None for the mean alone.
    """

    blocks: tuple[MergedBlock, ...]
    dense_kernel: Array
    dense_bias: Array
    channel_scale: Array
    channel_offset: Array
    peak_signs: Array | None = None

    @property
    def parameter_count(self) -> int:
        """Numbers stored; those of the standardisation and the signs, a bit each, left out."""
        return sum(block.parameter_count for block in self.blocks) + self.dense_kernel.size + self.dense_bias.size


def merge(model: Any, settings: NetworkSettings) -> MergedNetwork:
    """Merge the affine maps of a trained model from `build_network`.

    Parameters
    ----------
    model : keras.Model
        From `build_network` with the same settings.
    settings : NetworkSettings
        Its settings.

    Returns
    -------
    MergedNetwork
        The same function of patches that went through `channel_scale` and `channel_offset`.
    """
    blocks = []
    scale, offset = np.ones(3), np.zeros(3)  # of what a block receives, against what its first norm would see
    channel_scale, channel_offset = scale, offset
    for number, row in enumerate(table_of_rows(settings), start=1):
        gain, shift = affine_of(model.get_layer(f"block{number}_norm_in"))
        scale, offset = scale * gain, offset * gain + shift
        if number == 1:
            channel_scale, channel_offset = scale, offset
        affine = None if number == 1 else (scale.astype(np.float32), offset.astype(np.float32))
        layers = [model.get_layer(name) for name in convolution_names(number, row)]
        kernels = tuple(np.asarray(layer.kernel) for layer in layers)
        blocks.append(MergedBlock(row, affine, kernels, np.concatenate([np.asarray(layer.bias) for layer in layers])))
        scale, offset = affine_of(model.get_layer(f"block{number}_norm_out"))
    dense = model.get_layer("scores")
    kernel, bias = np.asarray(dense.kernel, np.float64), np.asarray(dense.bias, np.float64)
    peak_signs = None
    if settings.head == "mean+max":  # mean and maximum each bring the offset along
        peak_signs, offset = np.where(scale < 0.0, -1.0, 1.0).astype(np.float32), 2.0 * offset
        scale = np.abs(scale)
    return MergedNetwork(
        tuple(blocks),
        (scale[:, None] * kernel).astype(np.float32),
        (bias + offset @ kernel).astype(np.float32),
        channel_scale.astype(np.float32),
        channel_offset.astype(np.float32),
        peak_signs,
    )


def affine_of(layer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what a batch norm does in inference, as scale and offset."""
    gamma, beta, mean, variance = (
        np.asarray(variable, np.float64)
        for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
    )
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    return scale, beta - mean * scale
