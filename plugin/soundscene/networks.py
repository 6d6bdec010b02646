"""Scoring one patch with one network, by LiteRT on one thread: the fastest of the runtimes measured at batch 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundscene._litert import make_interpreter
from soundscene.errors import BundleError, SettingsError
from soundscene.frontend.deltas import CHANNEL_COUNT
from soundscene.settings import FrontEndSettings

__all__ = ["Network", "patch_shape"]

_Scores = NDArray[np.float32]


def patch_shape(settings: FrontEndSettings) -> tuple[int, int, int]:
    """Shape of a network's input: (bands from low to high, frames, channels)."""
    return settings.band_count, settings.patch_frames, CHANNEL_COUNT


class Network:
    """One network, ready to score. Not for use by two threads at once.

    Parameters
    ----------
    name : str
        For messages.
    content : bytes
        The `.tflite` file.
    input_shape : tuple of int
        Shape of a patch, (bands, frames, channels).
    label_count : int
        Length of the output.

    Raises
    ------
    BundleError
        The content is not a LiteRT model, or its tensors are not those of a scene network.
    """

    def __init__(self, name: str, content: bytes, input_shape: tuple[int, int, int], label_count: int) -> None:
        self.name = name
        self._shape = input_shape
        try:
            self._interpreter = make_interpreter(content)
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"network {name!r} is not a readable LiteRT model: {error}; export it again") from error
        self._input = self._tensor("input", self._interpreter.get_input_details(), (1, *input_shape))
        self._output = self._tensor("output", self._interpreter.get_output_details(), (1, label_count))

    def score(self, patch: NDArray[np.float32]) -> _Scores:
        """Score one patch.

        Parameters
        ----------
        patch : np.ndarray [shape=(bands, frames, channels), float32]
            Standardised features.

        Returns
        -------
        np.ndarray [shape=(labels,), float32]
            Softmax scores in [0, 1] that sum to 1.

        Raises
        ------
        SettingsError
            The patch has another shape or type.
        """
        if patch.shape != self._shape or patch.dtype != np.float32:
            raise SettingsError(
                f"network {self.name!r} expects a float32 patch of shape {self._shape}, "
                f"got {patch.dtype} of shape {patch.shape}"
            )
        self._interpreter.set_tensor(self._input, patch[np.newaxis])  # (1, bands, frames, channels)
        self._interpreter.invoke()
        scores: _Scores = self._interpreter.get_tensor(self._output)[0]  # (labels,)
        return scores

    def _tensor(self, role: str, details: list[dict[str, object]], expected: tuple[int, ...]) -> object:
        """Index of the only input or output, after a check of its shape and type."""
        found = [(tuple(np.asarray(item["shape"]).tolist()), item["dtype"]) for item in details]
        if found != [(expected, np.float32)]:
            raise BundleError(
                f"network {self.name!r} needs one float32 {role} of shape {expected}, has {found}: "
                "the bundle's labels or front end belong to another network; export it again"
            )
        return details[0]["index"]
