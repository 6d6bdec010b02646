"""Data sets as lists of clips: what a file holds, where it was recorded, by which device."""

from __future__ import annotations

from soundscene_train.datasets.city import CitySettings, build_city
from soundscene_train.datasets.clips import Clip, Dataset, Selection
from soundscene_train.datasets.folds import DEFAULT_FOLD_COUNT
from soundscene_train.datasets.own import own_name
from soundscene_train.datasets.registry import DATASET_NAMES, OWN_NAMES, open_dataset, require_known

__all__ = [
    "DATASET_NAMES",
    "DEFAULT_FOLD_COUNT",
    "OWN_NAMES",
    "CitySettings",
    "Clip",
    "Dataset",
    "Selection",
    "build_city",
    "open_dataset",
    "own_name",
    "require_known",
]
