"""The paper's network, drawn as its Table I draws it: a table of rows and a short loop.

Each block is batch norm, convolution, ReLU, batch norm, average pooling where the row says so, dropout; the last block
ends in global average pooling and a softmax layer. Two savings make CNN-7 small: *channel restriction* (narrower rows)
and *decomposed convolution*, which replaces a convolution of Cin to Cout channels by four of Cout/4 each:

    3x3 on the first quarter of the channels, 1x1 on the first half, 1x1 on the second half, 1x1 on all of them

The model made here is the reference. `soundscene_train.fast` computes the same functions on the same variables faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from soundscene.errors import SettingsError

__all__ = [
    "BATCH_NORM_EPSILON",
    "BATCH_NORM_MOMENTUM",
    "CHANNEL_RESTRICTED_WIDTHS",
    "CNN7_WIDTHS",
    "INPUT_CHANNELS",
    "NetworkSettings",
    "Row",
    "build_network",
    "convolution_names",
    "merged_parameter_count",
    "multiply_add_count",
    "table_of_rows",
]

CNN7_WIDTHS: Final = (32, 32, 64, 64, 128, 128)
CHANNEL_RESTRICTED_WIDTHS: Final = (16, 32, 32, 32, 64, 64)
HEADS: Final = ("mean", "mean+max")
INPUT_CHANNELS: Final = 3
BATCH_NORM_EPSILON: Final = 1e-3
BATCH_NORM_MOMENTUM: Final = 0.9
"""Share of the running statistics that a batch leaves as it is."""


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """Which of the paper's networks: CNN-7, CR and CR + DC of its Table IV are three settings of this class.

    Parameters
    ----------
    widths : six ints > 0
        Output channels of the six convolutions.
    decomposed : bool
        Decompose every convolution but the first, whose three input channels do not divide by four.
    pool_after : ints in 1..5
        Convolutions followed by 2x2 average pooling.
    dropout : float in [0, 1)
        Share of activations dropped after each block.
    head : {"mean", "mean+max"}
        Global average pooling as drawn; or the average over bands, of which mean and maximum over time are added.

    Raises
    ------
    SettingsError
        A field is outside its range, or a decomposed width does not divide by four.
    """

    widths: tuple[int, ...] = CHANNEL_RESTRICTED_WIDTHS
    decomposed: bool = True
    pool_after: tuple[int, ...] = (2, 4, 5)
    dropout: float = 0.1
    head: str = "mean"

    def __post_init__(self) -> None:
        """Check every range."""
        if len(self.widths) != 6 or min(self.widths, default=0) < 1:
            raise SettingsError(f"widths must be six positive numbers, got {self.widths}")
        if self.decomposed and any(width % 4 for width in self.widths):
            raise SettingsError(f"decomposed convolution needs widths that divide by 4, got {self.widths}")
        if not set(self.pool_after) <= {1, 2, 3, 4, 5}:
            raise SettingsError(f"pool_after must name convolutions 1 to 5, got {self.pool_after}")
        if not 0.0 <= self.dropout < 1.0:
            raise SettingsError(f"dropout must lie in [0, 1), got {self.dropout}")
        if self.head not in HEADS:
            raise SettingsError(f"head must be one of {', '.join(HEADS)}, got {self.head!r}")


@dataclass(frozen=True, slots=True)
class Row:
    """One block of Table I."""

    inputs: int
    outputs: int
    decomposed: bool
    pooled: bool

    @property
    def kernel_weights(self) -> int:
        """Weights of the convolution, biases left out."""
        product = self.inputs * self.outputs
        return 17 * product // 16 if self.decomposed else 9 * product


def convolution_names(number: int, row: Row) -> tuple[str, ...]:
    """Names of the layers that make a block's convolution: four branches, or one."""
    branches = ("near", "first_half", "second_half", "all") if row.decomposed else ("conv",)
    return tuple(f"block{number}_{branch}" for branch in branches)


def table_of_rows(settings: NetworkSettings) -> tuple[Row, ...]:
    """Table I for these settings, first block first."""
    inputs = (INPUT_CHANNELS, *settings.widths[:-1])
    return tuple(
        Row(before, after, settings.decomposed and number > 1, number in settings.pool_after)
        for number, (before, after) in enumerate(zip(inputs, settings.widths, strict=True), start=1)
    )


def merged_parameter_count(settings: NetworkSettings, label_count: int) -> int:
    """Parameters of the exported network: neighbouring affine maps merged into one in front of each convolution.

    The first of them belongs to the front end's standardisation and the last to the dense layer, so neither counts
    here: 10,922 for the default settings and ten labels, 80,010 undecomposed, 288,938 for CNN-7.
    """
    rows = table_of_rows(settings)
    convolutions = sum(row.kernel_weights + row.outputs for row in rows)
    affine_maps = sum(2 * row.inputs for row in rows[1:])
    return convolutions + affine_maps + (settings.widths[-1] + 1) * label_count


def multiply_add_count(settings: NetworkSettings, label_count: int, bands: int = 128, frames: int = 128) -> int:
    """Multiply-adds of convolutions and dense layer for one patch, the measure of the DCASE challenge."""
    total = 0
    for row in table_of_rows(settings):
        total += row.kernel_weights * bands * frames
        if row.pooled:
            bands, frames = bands // 2, frames // 2
    return total + settings.widths[-1] * label_count


def build_network(settings: NetworkSettings, label_count: int, bands: int = 128, frames: int = 128) -> Any:
    """Build the network as drawn.

    Parameters
    ----------
    settings : NetworkSettings
        Widths, decomposition, pooling, dropout.
    label_count : int > 1
        Outputs.
    bands, frames : int
        Size of a patch.

    Returns
    -------
    keras.Model
        (batch, bands, frames, 3) to (batch, label_count) probabilities. Weights come from Keras's global generator:
        call `keras.utils.set_random_seed` first.
    """
    import keras

    layers = keras.layers
    patch = x = keras.Input((bands, frames, INPUT_CHANNELS), name="patch")
    for number, row in enumerate(table_of_rows(settings), start=1):
        x = _batch_norm(f"block{number}_norm_in")(x)
        x = _convolution(x, row, f"block{number}")
        x = layers.ReLU(name=f"block{number}_relu")(x)
        x = _batch_norm(f"block{number}_norm_out")(x)
        if row.pooled:
            x = layers.AveragePooling2D(2, name=f"block{number}_pool")(x)
        if number == 6:
            x = _head(x, settings.head)
        x = layers.Dropout(settings.dropout, name=f"block{number}_dropout")(x)
    scores = layers.Dense(label_count, activation="softmax", name="scores")(x)
    return keras.Model(patch, scores, name="cnn7")


def _batch_norm(name: str) -> Any:
    import keras

    return keras.layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM, name=name)


def _head(x: Any, head: str) -> Any:
    """Pool bands and frames away."""
    import keras

    if head == "mean":
        return keras.layers.GlobalAveragePooling2D(name="global_pool")(x)
    over_time = keras.ops.mean(x, axis=1)  # (batch, frames, channels)
    return keras.ops.mean(over_time, axis=1) + keras.ops.max(over_time, axis=1)


def _convolution(x: Any, row: Row, name: str) -> Any:
    """One plain 3x3, or the four branches of its decomposition."""
    import keras

    layers = keras.layers
    if not row.decomposed:
        return layers.Conv2D(row.outputs, 3, padding="same", name=f"{name}_conv")(x)
    quarter, half, share = row.inputs // 4, row.inputs // 2, row.outputs // 4
    branches = [
        layers.Conv2D(share, 3, padding="same", name=f"{name}_near")(x[..., :quarter]),
        layers.Conv2D(share, 1, name=f"{name}_first_half")(x[..., :half]),
        layers.Conv2D(share, 1, name=f"{name}_second_half")(x[..., half:]),
        layers.Conv2D(share, 1, name=f"{name}_all")(x),
    ]
    return layers.Concatenate(name=f"{name}_conv")(branches)
