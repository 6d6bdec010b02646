"""Errors of the training pipeline.

SceneError
└── TrainingError      training cannot go on
    └── DatasetError   a data set is missing, incomplete or not in the expected layout
"""

from __future__ import annotations

from soundscene.errors import SceneError

__all__ = ["DatasetError", "TrainingError"]


class TrainingError(SceneError):
    """Training cannot go on; the message says why and what to do."""


class DatasetError(TrainingError):
    """A data set is missing, incomplete or not in the expected layout."""
