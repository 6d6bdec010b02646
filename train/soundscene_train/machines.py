"""Several machines that train one network together, each on its share of every batch.

Keras's own distribution connects them, as its environment variables say, with a backend that can: JAX, today. All
machines see one run folder, of which the first writes what is kept.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from soundscene_train.errors import TrainingError
from soundscene_train.runtime import start_keras

__all__ = ["Machines", "join", "require_alone", "require_same_file"]

_COUNT: Final = "KERAS_DISTRIBUTION_NUM_PROCESSES"
_INDEX: Final = "KERAS_DISTRIBUTION_PROCESS_ID"
_ADDRESSES: Final = "KERAS_DISTRIBUTION_JOB_ADDRESSES"


@dataclass(frozen=True, slots=True)
class Machines:
    """Where a process stands among those that train together.

    Parameters
    ----------
    index : int in [0, count)
    count : int > 0

    Raises
    ------
    TrainingError
        There is none, or the index is outside.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise TrainingError(f"{_COUNT} must be at least 1, got {self.count}")
        if not 0 <= self.index < self.count:
            raise TrainingError(f"{_INDEX} must be 0 to {self.count - 1}, below {_COUNT}, got {self.index}")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Machines:
        """Read Keras's own variables; without them there is one machine.

        Raises
        ------
        TrainingError
            One of them is missing or no whole number.
        """
        if _COUNT not in environment:
            return cls()
        for name in (_INDEX, _ADDRESSES):
            if not environment.get(name):
                raise TrainingError(f"{_COUNT} is set, so {name} is needed too")
        try:
            return cls(int(environment[_INDEX]), int(environment[_COUNT]))
        except ValueError as error:
            raise TrainingError(f"{_COUNT} and {_INDEX} must be whole numbers: {error}") from error

    @property
    def is_first(self) -> bool:
        """Whether this one writes what is kept."""
        return self.index == 0

    def share_of(self, batch_size: int) -> slice:
        """Return the rows of each batch that are this machine's."""
        own = batch_size // self.count
        return slice(self.index * own, (self.index + 1) * own)


def join(machines: Machines) -> None:
    """Wait until all machines are connected; for a single one do nothing.

    JAX waits five minutes for one that does not come, and then ends the process itself with `DEADLINE_EXCEEDED`.

    Raises
    ------
    MissingExtraError
        Keras or its backend is not installed.
    TrainingError
        The backend cannot, or refuses the addresses.
    """
    if machines.count == 1:
        return
    keras = start_keras()
    if keras.backend.backend() != "jax":
        raise TrainingError(f"{machines.count} machines can train together with KERAS_BACKEND=jax only")
    try:
        keras.distribution.initialize()
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"the {machines.count} machines could not be connected: {error}") from error


def require_alone(machines: Machines, stage: str) -> None:
    """Refuse a stage that several machines would each do whole.

    Raises
    ------
    TrainingError
        There is more than one.
    """
    if machines.count > 1:
        raise TrainingError(
            f"{stage} is for one machine: train with `fit` on all {machines.count}, then `evaluate` and `export` on one"
        )


def require_same_file(path: Path, machines: Machines) -> None:
    """Hold all machines to one content of a file, or to its absence; for a single one do nothing.

    Raises
    ------
    TrainingError
        They differ.
    """
    if machines.count == 1:
        return
    keras = start_keras()
    digest = zlib.crc32(path.read_bytes()) if path.is_file() else 0
    halves = np.array([digest >> 16, digest & 0xFFFF], np.float32)
    try:
        keras.Variable(halves, trainable=False)  # a variable that all share must start from the same value everywhere
    except AssertionError as error:
        raise TrainingError(
            f"{path} is not the same on all {machines.count} machines; --run must name one folder that all see"
        ) from error
