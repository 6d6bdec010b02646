"""The same network, trained several times faster on a CPU.

`FastNetwork` runs on the variables of the Keras model that `network.build_network` made, so that there is one set of
weights and the model as drawn stays the reference. What it does differently, and only for speed:

- batch norm is TensorFlow's fused operation, not a chain of elementwise ones;
- the three 1x1 branches of a decomposed convolution are one, its kernel padded with zeros where a branch sees nothing;
- channels are cut with `tf.split`, whose gradient is one concatenation;
- dropout masks are stretches of one fixed random table, taken at offsets that the caller draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from soundscene_train.network import (
    BATCH_NORM_EPSILON,
    BATCH_NORM_MOMENTUM,
    NetworkSettings,
    Row,
    convolution_names,
    table_of_rows,
)
from soundscene_train.recipe import FLOAT_BITS, StorageSettings

__all__ = ["FastNetwork"]

_ALIGNMENT: Final = 64
"""Offsets into the dropout table are multiples of it, so that a stretch is a view and not a copy."""
_OFFSETS: Final = 4096


@dataclass(frozen=True, slots=True)
class _Block:
    """Variables of one block of the Keras model."""

    row: Row
    norm_in: Any
    convolutions: tuple[Any, ...]
    norm_out: Any


class FastNetwork:
    """The forward pass and its statistics on a Keras model's variables.

    Parameters
    ----------
    model : keras.Model
        From `build_network` with the same settings.
    settings : NetworkSettings
        Those of the model.
    batch_size : int > 0, or None
        Largest batch that is trained on; it sizes the dropout table. None for inference alone.
    """

    def __init__(self, model: Any, settings: NetworkSettings, batch_size: int | None = None) -> None:
        self.model = model
        self.settings = settings
        self._blocks = tuple(
            _read_block(model, number, row) for number, row in enumerate(table_of_rows(settings), start=1)
        )
        self._dense = model.get_layer("scores")
        self._dropout_table = None if batch_size is None else _dropout_table(model, settings, batch_size)

    def draw_offsets(self, generator: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Draw the places in the dropout table for one training pass, one per block."""
        return generator.integers(0, _OFFSETS, len(self._blocks), dtype=np.int32) * _ALIGNMENT

    def forward(
        self, patches: Any, offsets: Any | None = None, storage: StorageSettings | None = None
    ) -> tuple[Any, list[tuple[Any, Any]]]:
        """Compute logits.

        Parameters
        ----------
        patches : tf.Tensor [shape=(batch, bands, frames, 3), float32]
            Static, delta, delta-delta.
        offsets : tf.Tensor [shape=(blocks,), int32] or None
            With offsets the pass trains: batch statistics and dropout. Without, it infers.
        storage : StorageSettings or None
            Take all kernels as they would be stored; gradients pass as if they were neither rounded nor pruned.

        Returns
        -------
        logits : tf.Tensor [shape=(batch, labels)]
        statistics : list of (variable, batch value)
            Moving statistics and what this batch says about them; empty in inference.
        """
        import tensorflow as tf

        training = offsets is not None
        statistics: list[tuple[Any, Any]] = []
        x = patches
        for number, block in enumerate(self._blocks):
            x = _batch_norm(x, block.norm_in, training, statistics)
            x = tf.nn.relu(_convolve(x, block, storage))
            x = _batch_norm(x, block.norm_out, training, statistics)
            if block.row.pooled:
                x = tf.nn.avg_pool2d(x, 2, 2, "VALID")
            if number == len(self._blocks) - 1:
                x = _pool_all(x, self.settings.head)
            if offsets is not None and self.settings.dropout > 0.0:
                x = x * _stretch(self._dropout_table, offsets[number], x)
        return tf.matmul(x, self._dense_kernel(storage)) + self._dense.bias, statistics

    def _dense_kernel(self, storage: StorageSettings | None) -> Any:
        """The last batch norm's scales are stored in the dense kernel, so it is rounded with them."""
        if storage is None:
            return self._dense.kernel
        import tensorflow as tf

        norm, kernel = self._blocks[-1].norm_out, tf.convert_to_tensor(self._dense.kernel)
        scale = norm.gamma * tf.math.rsqrt(norm.moving_variance + BATCH_NORM_EPSILON)
        scale = tf.where(scale == 0.0, 1.0, scale)[:, None]
        return kernel + tf.stop_gradient(_rounded(scale * kernel, storage.weight_bits) / scale - kernel)

    @staticmethod
    def update(statistics: list[tuple[Any, Any]], momentum: Any = BATCH_NORM_MOMENTUM) -> None:
        """Move the running statistics towards those of a batch."""
        for variable, value in statistics:
            variable.assign(momentum * variable + (1.0 - momentum) * value)


def _read_block(model: Any, number: int, row: Row) -> _Block:
    """Find a block's layers by name."""
    return _Block(
        row,
        model.get_layer(f"block{number}_norm_in"),
        tuple(model.get_layer(name) for name in convolution_names(number, row)),
        model.get_layer(f"block{number}_norm_out"),
    )


def _batch_norm(x: Any, layer: Any, training: bool, statistics: list[tuple[Any, Any]]) -> Any:
    """Normalise with the batch's statistics, noting them down, or with the running ones."""
    import tensorflow as tf

    mean, variance = layer.moving_mean.value, layer.moving_variance.value
    empty = tf.zeros((0,))
    outputs = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=layer.gamma,
        offset=layer.beta,
        mean=empty if training else mean,
        variance=empty if training else variance,
        epsilon=BATCH_NORM_EPSILON,
        is_training=training,
    )
    if training:
        count = tf.cast(tf.size(x) // tf.shape(x)[-1], tf.float32)
        biased = outputs.batch_variance * ((count - 1.0) / count)  # the fused operation reports the unbiased one
        statistics += [(mean, outputs.batch_mean), (variance, biased)]
    return outputs.y


def _convolve(x: Any, block: _Block, storage: StorageSettings | None) -> Any:
    """3x3 on the first quarter beside one 1x1 for the other three branches; or the plain convolution."""
    import tensorflow as tf

    kernels = [_as_stored(layer.kernel, storage) for layer in block.convolutions]
    bias = tf.concat([layer.bias for layer in block.convolutions], axis=0)
    if not block.row.decomposed:
        return tf.nn.bias_add(tf.nn.conv2d(x, kernels[0], 1, "SAME"), bias)
    near, first, second, every = kernels
    quarter = block.row.inputs // 4
    half = block.row.inputs // 2
    first_padded = tf.pad(first, ((0, 0), (0, 0), (0, half), (0, 0)))
    second_padded = tf.pad(second, ((0, 0), (0, 0), (half, 0), (0, 0)))
    kernel = tf.concat([first_padded, second_padded, every], axis=-1)
    neighbours, _ = tf.split(x, (quarter, block.row.inputs - quarter), axis=-1)
    together = [tf.nn.conv2d(neighbours, near, 1, "SAME"), tf.nn.conv2d(x, kernel, 1, "SAME")]
    return tf.nn.bias_add(tf.concat(together, axis=-1), bias)


def _as_stored(kernel: Any, storage: StorageSettings | None) -> Any:
    """Prune and round, with the gradient of the identity (Bengio et al., 2013)."""
    if storage is None:
        return kernel
    import tensorflow as tf

    kernel = tf.convert_to_tensor(kernel)
    stored = _rounded(_pruned(kernel, storage.pruned_share), storage.weight_bits)
    return kernel + tf.stop_gradient(stored - kernel)


def _pruned(kernel: Any, share: float) -> Any:
    """Prune as `storage.prune` does."""
    import tensorflow as tf

    count = int(share * kernel.shape.num_elements())
    if not count:
        return kernel
    magnitudes = tf.abs(kernel)
    return tf.where(magnitudes > tf.sort(tf.reshape(magnitudes, (-1,)))[count - 1], kernel, 0.0)


def _rounded(kernel: Any, weight_bits: int) -> Any:
    """Round as `storage.quantise` does."""
    if weight_bits == FLOAT_BITS:
        return kernel
    import tensorflow as tf

    largest = tf.reduce_max(tf.abs(kernel), axis=tuple(range(kernel.shape.rank - 1)))
    scale = tf.where(largest > 0.0, largest / (2.0 ** (weight_bits - 1) - 1.0), 1.0)
    pattern = tf.bitcast(scale, tf.int32)  # of its 24 significant bits, 16 stay
    scale = tf.bitcast(tf.bitwise.bitwise_and(pattern + 0x80, ~0xFF), tf.float32)
    return tf.round(kernel / scale) * scale


def _pool_all(x: Any, head: str) -> Any:
    """Pool bands and frames away as the settings say."""
    import tensorflow as tf

    if head == "mean":
        return tf.reduce_mean(x, (1, 2))
    over_time = tf.reduce_mean(x, 1)
    return tf.reduce_mean(over_time, 1) + tf.reduce_max(over_time, 1)


def _dropout_table(model: Any, settings: NetworkSettings, batch_size: int) -> Any:
    """Zeros and 1 / (1 - rate), long enough for the largest activation at any offset."""
    import tensorflow as tf

    if settings.dropout == 0.0:
        return None
    bands, frames = model.input_shape[1:3]
    largest = 0
    for row in table_of_rows(settings):
        if row.pooled:
            bands, frames = bands // 2, frames // 2
        largest = max(largest, bands * frames * row.outputs)
    length = largest * batch_size + _OFFSETS * _ALIGNMENT
    kept = np.random.default_rng(0).random(length, dtype=np.float32) >= settings.dropout
    return tf.constant(kept.astype(np.float32) / np.float32(1.0 - settings.dropout))


def _stretch(table: Any, offset: Any, like: Any) -> Any:
    """A mask of the shape of an activation."""
    import tensorflow as tf

    return tf.reshape(tf.slice(table, [offset], [tf.size(like)]), tf.shape(like))
