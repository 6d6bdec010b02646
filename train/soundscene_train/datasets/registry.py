"""Data sets by name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from soundscene_train.datasets.city import CitySettings, require_city
from soundscene_train.datasets.clips import Dataset
from soundscene_train.datasets.esc import open_esc10
from soundscene_train.datasets.folds import DEFAULT_FOLD_COUNT
from soundscene_train.datasets.own import open_csv, open_folder
from soundscene_train.datasets.tau import open_tau
from soundscene_train.errors import DatasetError

__all__ = ["DATASET_NAMES", "OWN_NAMES", "open_dataset", "require_known"]

DATASET_NAMES: Final = ("esc10", "tau2020", "synthetic", "folder", "csv")
OWN_NAMES: Final = ("folder", "csv")
"""The user's own recordings."""


def require_known(name: str) -> None:
    """Refuse a name that no data set has."""
    if name not in DATASET_NAMES:
        raise DatasetError(f"no data set {name!r}; there are {', '.join(DATASET_NAMES)}")


def open_dataset(
    name: str, folder: Path, city: CitySettings | None = None, fold_count: int = DEFAULT_FOLD_COUNT
) -> Dataset:
    """Open a data set that is there.

    Parameters
    ----------
    name : str
        One of `DATASET_NAMES`.
    folder : Path
        Where it lies.
    city : CitySettings or None
        What the synthetic city must be.
    fold_count : int >= 2
        Folds of the user's own recordings.

    Raises
    ------
    DatasetError
        The name is unknown, or the data is missing or damaged.
    """
    require_known(name)
    if name == "esc10":
        return open_esc10(folder)
    if name in OWN_NAMES:
        return (open_folder if name == "folder" else open_csv)(folder, fold_count)
    if name == "synthetic":
        require_city(folder, city or CitySettings())
        return open_tau(folder, "synthetic-city")
    return open_tau(folder)
