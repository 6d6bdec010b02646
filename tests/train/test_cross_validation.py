"""Each part is tested by a run that has heard the others alone, and so has its teacher."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.cross_validation import cross_validate, join_scores
from soundscene_train.errors import TrainingError
from soundscene_train.plan import Plan
from soundscene_train.stages import Reporter


def test_each_fold_is_taught_by_the_same_fold_of_the_teacher(esc_plan: Plan, tmp_path: Path) -> None:
    """Of three folds that were begun, those with their own teacher go on, and one with another's is refused."""
    teacher, folds = tmp_path / "teacher", tmp_path / "folds"
    replace(esc_plan, train_parts=("1", "2", "3"), test_parts=()).save(teacher)
    taught = replace(esc_plan.recipe, fit=replace(esc_plan.recipe.fit, teacher_share=0.5))
    for part, others, taught_by in (("1", ("2", "3"), "1"), ("2", ("1", "3"), "2"), ("3", ("1", "2"), "2")):
        fold = replace(esc_plan, train_parts=others, test_parts=(part,))
        fold.save(teacher / f"fold-{part}")
        replace(fold, recipe=taught, teacher_dir=teacher / f"fold-{taught_by}").save(folds / f"fold-{part}")
    plan = replace(esc_plan, recipe=taught, train_parts=("1", "2", "3"), teacher_dir=teacher)
    with pytest.raises(TrainingError, match="fold-3 holds a run of another plan"):
        cross_validate(plan, folds, Reporter())


def test_joined_scores_are_those_of_each_test() -> None:
    """Of three tests of one, two and three clips, every clip keeps its windows, label, device, group, part and name."""
    generator, tests = np.random.default_rng(0), []
    for count in (1, 2, 3):
        owner = np.repeat(np.arange(count), 2)
        devices, groups, names = (tuple(f"{what} {count}-{clip}" for clip in range(count)) for what in "dgn")
        windows, truth = generator.dirichlet(np.ones(2), (3, 2 * count)), generator.integers(0, 2, count)
        tests.append(ClipScores(windows, owner, truth, ("a", "b"), devices, groups, (str(count),), names))
    joined = join_scores(tests)
    assert joined.parts == ("1", "2", "3")
    at = 0
    for test in tests:
        for clip, name in enumerate(test.names):
            assert (joined.names[at], joined.devices[at]) == (name, test.devices[clip])
            assert joined.groups[at] == test.groups[clip]
            assert joined.truth[at] == test.truth[clip]
            windows = joined.windows[:, joined.clip_of_window == at]
            np.testing.assert_array_equal(windows, test.windows[:, test.clip_of_window == clip])
            at += 1
    assert at == len(joined.names) == 6
