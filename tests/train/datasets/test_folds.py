"""Folds need as many groups of each class, and share them as evenly as these allow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

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


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"yard": {"x": 8}} | {f"place-{number}": {"x": 1} for number in range(8)}, [{"x": 8}, {"x": 8}]),
        (
            {"a": {"often": 10}, "b": {"often": 4, "seldom": 1}, "c": {"often": 1, "seldom": 1}},
            [{"often": 11, "seldom": 1}, {"often": 4, "seldom": 1}],
        ),
        (
            {"a": {"y": 10, "z": 1}, "b": {"x": 4, "z": 1}, "c": {"x": 3, "y": 1}, "d": {"y": 2}},
            [{"x": 3, "y": 11, "z": 1}, {"x": 4, "y": 2, "z": 1}],
        ),
    ],
    ids=["large groups choose first", "seldom classes weigh as much as frequent ones", "clips count, not groups"],
)
def test_uneven_groups_leave_no_fold_without_a_class(
    groups: Mapping[str, Mapping[str, int]], expected: list[dict[str, int]]
) -> None:
    """A group of many clips, and one of several classes, goes where these are scarcest, in whatever order they come."""
    clips = [(label, name) for name, classes in groups.items() for label in classes for _ in range(classes[label])]
    for rows in (clips, clips[::-1]):
        labels, names = zip(*rows, strict=True)
        folds = assign_folds(labels, names, 2)
        found = [Counter(label for label, fold in zip(labels, folds, strict=True) if fold == at) for at in "12"]
        assert found == expected
