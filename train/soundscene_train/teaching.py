"""Distillation: targets from a system that is trained already (Hinton et al., 2015).

The teacher is a whole run, of larger networks or of the same: its three inputs say together what each training window
sounds like, so that a network of one input learns from what the others heard.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from soundscene_train.datasets import Clip, Selection
from soundscene_train.errors import TrainingError
from soundscene_train.evaluation import apply_temperature
from soundscene_train.features import Features
from soundscene_train.plan import Plan
from soundscene_train.recipe import FitSettings
from soundscene_train.scoring import score_windows

__all__ = ["require_teacher", "taught_targets"]

Array = NDArray[np.float32]


def taught_targets(
    targets: Array, teacher_dir: Path, selection: Selection, features: Features, settings: FitSettings
) -> Array:
    """Mix the labels of the training windows with what a teacher says of them.

    Parameters
    ----------
    targets : np.ndarray [shape=(windows, labels), float32]
        One-hot rows of the training windows.
    teacher_dir : Path
        Folder of a finished run.
    selection, features
        What is trained on.
    settings : FitSettings
        `teacher_share` and `teacher_temperature`.

    Returns
    -------
    np.ndarray [shape=(windows, labels), float32]
        Rows that sum to 1.

    Raises
    ------
    TrainingError
        The teacher is not trained, knows other labels, cuts other windows, or has seen what will be tested.
    """
    teacher, known = require_teacher(teacher_dir, selection)
    heard = teacher.features(known)
    if not np.array_equal(heard.clip_of_window, features.clip_of_window):
        raise TrainingError(f"{teacher_dir} cuts the clips into other windows; a teacher needs as many of each clip")
    windows = features.windows_of(selection.train_clips)
    scores = score_windows(teacher, teacher_dir, heard, windows, len(selection.dataset.labels))
    taught = apply_temperature(scores.mean(axis=0), settings.teacher_temperature)
    return np.asarray((1.0 - settings.teacher_share) * targets + settings.teacher_share * taught, np.float32)


def require_teacher(teacher_dir: Path, selection: Selection) -> tuple[Plan, Selection]:
    """Return a teacher's plan and what it was trained on, if it may teach a run on a selection.

    Raises
    ------
    TrainingError
        It knows other data or labels, or has seen what will be tested.
    """
    teacher = Plan.load(teacher_dir)
    known = teacher.open()
    if known.dataset.labels != selection.dataset.labels or known.dataset.name != selection.dataset.name:
        raise TrainingError(f"{teacher_dir} was trained on other data or labels; a teacher needs the same")
    taught_with = {_identity(known.dataset.clips[index]) for index in known.train_clips}
    tested = [selection.dataset.clips[index] for index in selection.test_clips]
    seen = sorted({clip.part for clip in tested if _identity(clip) in taught_with})
    if seen:
        raise TrainingError(
            f"the teacher {teacher_dir} was trained on clips of part {', '.join(seen)}, which will be tested here"
        )
    return teacher, known


def _identity(clip: Clip) -> tuple[str, ...]:
    """What a clip is known by, wherever it lies and whatever part it is in: folds can be made anew."""
    return clip.path.name, clip.label, clip.group
