"""A merged network as the bytes that are counted: weights in 32, 8 or fewer bits, everything else in float32.

Before that, the smallest weights of each convolution may be pruned; a zero takes as many bits as any other weight.

Convolution and dense kernels take `weight_bits`, symmetric, with one scale for each output channel; biases and affine
maps stay float32. A scale has so few significant bits that a weight, scale times whole number, is exact in float32:
what is unpacked and packed again is the same to the last bit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene_train.errors import TrainingError
from soundscene_train.merging import MergedBlock, MergedNetwork, affine_of
from soundscene_train.network import NetworkSettings, convolution_names, table_of_rows
from soundscene_train.recipe import FLOAT_BITS, StorageSettings

__all__ = ["pack", "prune", "quantise", "store_in_model", "unpack"]

Array = NDArray[np.float32]

_SCALE_BITS: Final = 16
"""Significant bits of a scale; with 8 of a weight they fit the 24 of a float32."""

_SMALLEST: Final = 1e-30
"""A channel whose weights all lie below is stored as zeros: its steps would have no place in a float32."""


def pack(network: MergedNetwork, weight_bits: int) -> bytes:
    """Write all numbers of a network, block by block: affine map, kernels, biases; then the dense layer.

    Parameters
    ----------
    network : MergedNetwork
        What is stored.
    weight_bits : int in 2..8, or 32
        Of each kernel weight; fewer than 8 are packed without gaps.

    Returns
    -------
    bytes
        Without any header: `unpack` is told the settings.
    """
    parts = []
    for block in network.blocks:
        parts += [values.tobytes() for values in block.affine or ()]
        parts += [_pack_kernel(kernel, weight_bits) for kernel in block.kernels]
        parts.append(block.bias.tobytes())
    parts += [_pack_kernel(network.dense_kernel, weight_bits), network.dense_bias.tobytes()]
    if network.peak_signs is not None:
        parts.append(np.packbits(network.peak_signs < 0.0).tobytes())
    return b"".join(parts)


def unpack(content: bytes, network: MergedNetwork, weight_bits: int) -> MergedNetwork:
    """Read the numbers back.

    Parameters
    ----------
    content : bytes
        From `pack`.
    network : MergedNetwork
        Any network of the same settings: its shapes, and its constants of the input, which belong to the front end.
    weight_bits : int
        As packed.

    Raises
    ------
    TrainingError
        The content is too long or too short.
    """
    reader = _Reader(content)
    blocks = tuple(_read_block(reader, block, weight_bits) for block in network.blocks)
    dense = _read_kernel(reader, network.dense_kernel.shape, weight_bits)
    bias = reader.floats(network.dense_bias.shape)
    signs = None
    if network.peak_signs is not None:
        count = network.peak_signs.size
        negative = np.unpackbits(np.frombuffer(reader.take((count + 7) // 8), np.uint8))[:count]
        signs = np.where(negative, -1.0, 1.0).astype(np.float32)
    reader.finish()
    return replace(network, blocks=blocks, dense_kernel=dense, dense_bias=bias, peak_signs=signs)


def store_in_model(model: Any, settings: NetworkSettings, storage: StorageSettings) -> None:
    """Give a model from `build_network` the kernels it has once its merged network was stored.

    The dense kernel is stored after the last batch norm's scales, so these are taken out of it again.
    """
    for number, row in enumerate(table_of_rows(settings), start=1):
        for name in convolution_names(number, row):
            kernel = model.get_layer(name).kernel
            kernel.assign(_on_grid(prune(np.asarray(kernel), storage.pruned_share), storage.weight_bits))
    if storage.weight_bits == FLOAT_BITS:
        return
    scale, _ = affine_of(model.get_layer("block6_norm_out"))
    scale = np.where(scale == 0.0, 1.0, scale)[:, None]
    kernel = model.get_layer("scores").kernel
    kernel.assign(_on_grid((scale * np.asarray(kernel)).astype(np.float32), storage.weight_bits) / scale)


def prune(kernel: Array, share: float) -> Array:
    """Set a share of a kernel's weights, the smallest, to zero (magnitude pruning, Han et al., 2015)."""
    count = int(share * kernel.size)
    if not count:
        return kernel
    magnitudes = np.abs(kernel)
    largest_gone = np.partition(magnitudes, count - 1, axis=None)[count - 1]
    return np.where(magnitudes > largest_gone, kernel, np.float32(0.0))


def quantise(kernel: Array, weight_bits: int) -> tuple[NDArray[np.int8], Array]:
    """Return whole numbers and the scale of each output channel.

    Parameters
    ----------
    kernel : np.ndarray [shape=(..., outputs), float32]
        Any kernel.
    weight_bits : int in 2..8
        Numbers lie in -(2^(bits-1) - 1) to 2^(bits-1) - 1.

    Returns
    -------
    numbers : np.ndarray [shape of kernel, int8]
    scale : np.ndarray [shape=(outputs,), float32]
    """
    highest = 2 ** (weight_bits - 1) - 1
    largest = np.abs(kernel.astype(np.float64)).reshape(-1, kernel.shape[-1]).max(axis=0)
    mantissa, exponent = np.frexp(np.where(largest > _SMALLEST, largest / highest, 1.0))
    scale = np.ldexp(np.round(mantissa * 2**_SCALE_BITS) / 2**_SCALE_BITS, exponent)
    numbers = np.clip(np.round(kernel / scale), -highest, highest)
    return numbers.astype(np.int8), scale.astype(np.float32)


def _on_grid(kernel: Array, weight_bits: int) -> Array:
    if weight_bits == FLOAT_BITS:
        return kernel
    numbers, scale = quantise(kernel, weight_bits)
    return np.asarray(numbers * scale, np.float32)


def _pack_kernel(kernel: Array, weight_bits: int) -> bytes:
    if weight_bits == FLOAT_BITS:
        return kernel.tobytes()
    numbers, scale = quantise(kernel, weight_bits)
    bits = np.unpackbits(numbers.reshape(-1, 1).view(np.uint8), axis=1)[:, 8 - weight_bits :]
    return scale.tobytes() + np.packbits(bits).tobytes()


def _read_kernel(reader: _Reader, shape: tuple[int, ...], weight_bits: int) -> Array:
    if weight_bits == FLOAT_BITS:
        return reader.floats(shape)
    scale = reader.floats(shape[-1:])
    count = int(np.prod(shape))
    content = np.frombuffer(reader.take((count * weight_bits + 7) // 8), np.uint8)
    bits = np.unpackbits(content)[: count * weight_bits].reshape(count, weight_bits)
    sign = np.repeat(bits[:, :1], 8 - weight_bits, axis=1)  # two's complement: the sign fills the bits above
    numbers = np.packbits(np.concatenate([sign, bits], axis=1), axis=1).view(np.int8).reshape(shape)
    return np.asarray(numbers * scale, np.float32)


def _read_block(reader: _Reader, block: MergedBlock, weight_bits: int) -> MergedBlock:
    affine = (
        None if block.affine is None else (reader.floats(block.affine[0].shape), reader.floats(block.affine[1].shape))
    )
    kernels = tuple(_read_kernel(reader, kernel.shape, weight_bits) for kernel in block.kernels)
    return replace(block, affine=affine, kernels=kernels, bias=reader.floats(block.bias.shape))


class _Reader:
    """Takes bytes from the front."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, count: int) -> bytes:
        part = self._content[self._at : self._at + count]
        if len(part) != count:
            raise TrainingError("the stored weights are shorter than the network; store them again")
        self._at += count
        return part

    def floats(self, shape: tuple[int, ...]) -> Array:
        return np.frombuffer(self.take(4 * int(np.prod(shape))), np.float32).reshape(shape)

    def finish(self) -> None:
        if self._at != len(self._content):
            raise TrainingError("the stored weights are longer than the network; they belong to another one")
