"""Scores of clips cannot be read back as those of other windows, clips or labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.errors import TrainingError

_OWNER = np.repeat(np.arange(4), 3)


@pytest.fixture
def fields() -> dict[str, Any]:
    """Four clips of three windows each, with two labels."""
    names = ("a.wav", "b.wav", "c.wav", "d.wav")
    return {
        "windows": np.full((3, 12, 2), 0.5),
        "clip_of_window": _OWNER,
        "truth": np.array([0, 1, 0, 1]),
        "labels": ("bus", "tram"),
        "devices": ("",) * 4,
        "groups": names,
        "parts": ("1",),
        "names": names,
    }


def test_scores_are_read_back_as_they_were_written(fields: dict[str, Any], tmp_path: Path) -> None:
    """What `save` wrote, `load` gives."""
    scores = ClipScores(**fields, temperature=2.5)
    scores.save(tmp_path)
    back = ClipScores.load(tmp_path)
    for name in ClipScores.__slots__:
        np.testing.assert_array_equal(getattr(back, name), getattr(scores, name))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("windows", np.full((3, 11, 2), 0.5), "for 12 windows"),
        ("windows", np.full((2, 12, 2), 0.5), "of 2 networks, not of 3"),
        ("clip_of_window", _OWNER.clip(0, 2), "not those of 4 clips"),
        ("clip_of_window", _OWNER + 1, "not those of 4 clips"),
        ("names", ("a.wav",), "not those of 4 clips"),
        ("truth", np.array([0, 1, 0, 2]), "beyond the 2"),
    ],
)
def test_scores_that_do_not_fit_together_are_one_line(
    fields: dict[str, Any], tmp_path: Path, name: str, value: Any, reason: str
) -> None:
    """A file of other windows or clips is told, with what makes it anew, instead of failing in the middle of a test."""
    np.savez(tmp_path / "scores.npz", **(fields | {name: value}))
    with pytest.raises(TrainingError, match=reason) as refusal:
        ClipScores.load(tmp_path)
    assert "\n" not in str(refusal.value)
