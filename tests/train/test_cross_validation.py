"""Each part is tested by a run that has heard the others alone, and so has its teacher."""

from dataclasses import replace
from pathlib import Path

import pytest

from soundscene_train.cross_validation import cross_validate
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
