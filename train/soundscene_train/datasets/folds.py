"""Folds that keep a group on one side and every class in every fold, as far as the groups allow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from soundscene_train.errors import DatasetError
from soundscene_train.listing import first_few

__all__ = ["DEFAULT_FOLD_COUNT", "assign_folds", "require_groups_apart"]

DEFAULT_FOLD_COUNT: Final = 5


def assign_folds(labels: Sequence[str], groups: Sequence[str], fold_count: int) -> tuple[str, ...]:
    """Give each clip a fold, "1" to the number of folds: the same clips always the same ones.

    Groups with many clips choose first; each goes where its classes are scarcest.

    Parameters
    ----------
    labels, groups : sequence of str
        Of each clip.
    fold_count : int >= 2
        How many.

    Raises
    ------
    DatasetError
        A class comes from fewer groups than there are folds.
    """
    members: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        members[group][label] += 1
    for label in sorted(set(labels)):
        found = [group for group, classes in members.items() if label in classes]
        if len(found) < fold_count:
            raise DatasetError(_too_few(label, found, fold_count))
    totals = Counter(labels)
    folds: list[Counter[str]] = [Counter() for _ in range(fold_count)]
    chosen = {}
    for group in sorted(members, key=lambda name: (-members[name].total(), name)):
        classes = members[group]
        fold = min(
            range(fold_count),
            key=lambda n: (sum(count * folds[n][label] / totals[label] for label, count in classes.items()), n),
        )
        folds[fold].update(classes)
        chosen[group] = str(fold + 1)
    return tuple(chosen[group] for group in groups)


def _too_few(label: str, groups: Sequence[str], fold_count: int) -> str:
    """Say what a class needs; from one group alone, no number of folds tests it by another."""
    if len(groups) == 1:
        return (
            f"class {label!r} comes from 1 group, {groups[0]!r}, and {fold_count} folds need as many: add recordings "
            "of another group, or leave the class out; correct its name if it is misspelt"
        )
    return (
        f"class {label!r} comes from {len(groups)} groups, and {fold_count} folds need as many: record it in more "
        "places, or take fewer with --folds (at least 2)"
    )


def require_groups_apart(groups: Sequence[str], folds: Sequence[str]) -> None:
    """Refuse folds that share a group.

    Raises
    ------
    DatasetError
        Naming the first few.
    """
    places: defaultdict[str, set[str]] = defaultdict(set)
    for group, fold in zip(groups, folds, strict=True):
        places[group].add(fold)
    shared = sorted(group for group, found in places.items() if len(found) > 1)
    if shared:
        raise DatasetError(
            f"groups in more than one fold: {first_few(shared)}; "
            "what a network was trained on would be tested: correct the column fold, or leave it out"
        )
