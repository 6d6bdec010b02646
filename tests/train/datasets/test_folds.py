"""Folds need as many groups of each class."""

from __future__ import annotations

import pytest

from soundscene_train.datasets.folds import assign_folds
from soundscene_train.errors import DatasetError


def test_a_class_of_one_group_is_told_what_helps() -> None:
    """No number of folds does: it names the group, and asks for another one; of two groups, fewer folds do."""
    labels, groups = ["rian", "rain", "rain", "rain"], ["yard/7.wav", "yard", "park", "road"]
    with pytest.raises(
        DatasetError, match=r"'rian' comes from 1 group, 'yard/7\.wav', .* another group, or leave"
    ) as told:
        assign_folds(labels, groups, 2)
    assert "--folds" not in str(told.value)
    with pytest.raises(DatasetError, match=r"'rain' comes from 3 groups, and 4 folds need as many: .* with --folds"):
        assign_folds(labels[1:], groups[1:], 4)
