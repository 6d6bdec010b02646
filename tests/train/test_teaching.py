"""A teacher's scores become targets, and a teacher that has seen the test is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundscene_train.errors import TrainingError
from soundscene_train.fitting import one_hot_targets
from soundscene_train.plan import Plan
from soundscene_train.scoring import score_windows
from soundscene_train.stages import Reporter, fit_run
from soundscene_train.teaching import require_teacher, taught_targets


@pytest.fixture
def teacher(esc_run: Path) -> Path:
    """A run on folds 1 and 2."""
    return esc_run


def test_targets_are_labels_and_the_mean_of_the_teachers_networks(esc_plan: Plan, teacher: Path) -> None:
    """At temperature 1 and a share of 0.7, a target is 0.3 label and 0.7 the teacher's score."""
    selection = esc_plan.open()
    features = esc_plan.features(selection)
    windows = features.windows_of(selection.train_clips)
    labels = one_hot_targets(selection, features, windows)
    fit = replace(esc_plan.recipe.fit, teacher_share=0.7, teacher_temperature=1.0)
    taught = taught_targets(labels, teacher, selection, features, fit)
    scores = score_windows(esc_plan, teacher, features, windows, 3).mean(axis=0)
    np.testing.assert_allclose(taught, 0.3 * labels + 0.7 * scores, atol=1e-6)
    np.testing.assert_allclose(taught.sum(axis=1), 1.0, atol=1e-6)


def test_a_target_is_of_its_own_window_at_the_temperature_that_is_asked_for(esc_plan: Plan, teacher: Path) -> None:
    """Trained on fold 2 alone, its windows are taught, by roots of the teacher's scores at temperature 2."""
    selection = replace(esc_plan, train_parts=("2",), test_parts=("3",)).open()
    features = esc_plan.features(selection)
    windows = features.windows_of(selection.train_clips)
    labels = one_hot_targets(selection, features, windows)
    fit = replace(esc_plan.recipe.fit, teacher_share=0.7, teacher_temperature=2.0)
    taught = taught_targets(labels, teacher, selection, features, fit)
    roots = np.sqrt(score_windows(esc_plan, teacher, features, windows, 3).mean(axis=0))
    np.testing.assert_allclose(taught, 0.3 * labels + 0.7 * roots / roots.sum(axis=1, keepdims=True), atol=1e-6)
    fewer = replace(features, clip_of_window=features.clip_of_window[:-1])
    with pytest.raises(TrainingError, match="cuts the clips into other windows"):
        taught_targets(labels, teacher, selection, fewer, fit)


def test_a_taught_run_trains_to_other_weights(esc_plan: Plan, teacher: Path, tmp_path: Path) -> None:
    """The same seed with a teacher ends elsewhere than without one; the plan remembers the teacher."""
    fit = replace(esc_plan.recipe.fit, teacher_share=0.9)
    plan = replace(esc_plan, recipe=replace(esc_plan.recipe, fit=fit), teacher_dir=teacher)
    fit_run(plan, tmp_path / "pupil", Reporter(), ["mel"])
    assert Plan.load(tmp_path / "pupil").teacher_dir == teacher
    with np.load(tmp_path / "pupil/mel/checkpoint.npz") as pupil, np.load(teacher / "mel/checkpoint.npz") as plain:
        assert not np.array_equal(pupil["weight_0"], plain["weight_0"])


def test_what_cannot_teach_is_refused(esc_plan: Plan, teacher: Path, tmp_path: Path) -> None:
    """A teacher that saw the test, one that no recipe asks for, none where one is needed, and one that is not there."""
    taught = replace(esc_plan.recipe, fit=replace(esc_plan.recipe.fit, teacher_share=0.5))
    cases = {
        "which will be tested here": replace(
            esc_plan, recipe=taught, teacher_dir=teacher, train_parts=("2", "3"), test_parts=("1",)
        ),
        "others take none": replace(esc_plan, teacher_dir=teacher),
        "needs --teacher": replace(esc_plan, recipe=taught),
        "holds no plan.json": replace(esc_plan, recipe=taught, teacher_dir=tmp_path / "nobody"),
    }
    for number, (message, plan) in enumerate(cases.items()):
        with pytest.raises(TrainingError, match=message):
            fit_run(plan, tmp_path / f"pupil-{number}", Reporter(), ["mel"])
    assert not list(tmp_path.glob("pupil-*")), "all of it is found before a folder is made"


def test_a_teacher_is_known_by_its_clips(esc_plan: Plan, teacher: Path) -> None:
    """A clip that it was trained on is refused in the test wherever it lies and whatever part it is in now."""
    selection = esc_plan.open()
    require_teacher(teacher, selection)
    for change in ({"labels": selection.dataset.labels[::-1]}, {"name": "folder-other"}):
        with pytest.raises(TrainingError, match="was trained on other data or labels"):
            require_teacher(teacher, replace(selection, dataset=replace(selection.dataset, **change)))
    clips = tuple(
        replace(clip, path=Path("/elsewhere") / clip.path.name, part={"2": "3", "3": "2"}.get(clip.part, clip.part))
        for clip in selection.dataset.clips
    )
    moved = replace(selection, dataset=replace(selection.dataset, clips=clips))
    with pytest.raises(TrainingError, match="was trained on clips of part 3, which will be tested here"):
        require_teacher(teacher, moved)
