"""The file that holds all state of a network's training, so that it can go on; others read its weights.

weight_0, ...                  variables of the network
optimizer_0, ...               variables beside them that the next step depends on
average_0, ..., averaged       mean of the weights over the last epochs, and over how many
network, epochs, history       whose it is, epochs behind it, and their losses
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundscene_train.files import reading_arrays

__all__ = ["assign", "numbered", "reading_checkpoint"]

State = Mapping[str, NDArray[Any]]


@contextmanager
def reading_checkpoint(path: Path, network: str, advice: str) -> Iterator[State]:
    """Open the checkpoint of a network; that of another, whose arrays have the same shapes, is refused.

    Raises
    ------
    TrainingError
        The file is not there, damaged, of another recipe or of another network; earlier ones do not say whose they are.
    """
    with reading_arrays(path, "a checkpoint of this recipe", advice) as state:
        if "network" in state and (found := str(state["network"])) != network:
            raise ValueError(f"it is of the network {found}, not {network}")
        yield state


def numbered(kind: str, variables: Iterable[Any]) -> dict[str, NDArray[Any]]:
    """Return copies of variables' values under the names that a checkpoint gives them."""
    return {f"{kind}_{index}": np.asarray(variable).copy() for index, variable in enumerate(variables)}


def assign(kind: str, variables: Iterable[Any], state: State) -> None:
    """Give variables the values that a checkpoint holds of them."""
    for index, variable in enumerate(variables):
        variable.assign(state[f"{kind}_{index}"])
