"""Advice for a cross-validation's folder leads on, and is not that for a run."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.errors import TrainingError
from soundscene_train.export import ExportNames
from soundscene_train.plan import Plan
from soundscene_train.run_folders import fold_folder, folds_in
from soundscene_train.stages import Reporter, evaluate_run, export_run, fit_run, require_score_of


@pytest.fixture(name="folder")
def write_begun_cross_validation(esc_plan: Plan, tmp_path: Path) -> Path:
    """Leave what `cross-validate` writes before it trains."""
    folder = tmp_path / "check"
    parts = ("1", "2", "3")
    replace(esc_plan, train_parts=parts, test_parts=()).save(folder)
    for part in parts:
        others = tuple(other for other in parts if other != part)
        replace(esc_plan, train_parts=others, test_parts=(part,)).save(folder / f"fold-{part}")
    return folder


@pytest.mark.parametrize(
    "stage",
    [
        lambda plan, folder: fit_run(plan, folder, Reporter()),
        lambda plan, folder: evaluate_run(Plan.load(folder), folder, Reporter()),
        lambda plan, folder: export_run(Plan.load(folder), folder, folder / "bundle", ExportNames("all")),
    ],
    ids=["fit", "evaluate", "export"],
)
def test_a_stage_for_one_run_names_the_runs_that_are_there(
    esc_plan: Plan, folder: Path, stage: Callable[[Plan, Path], object]
) -> None:
    """The line says what the folder is, which runs it holds, and that `cross-validate` goes on with it."""
    with pytest.raises(TrainingError) as refusal:
        stage(esc_plan, folder)
    assert str(refusal.value) == (
        f"{folder} is a cross-validation's folder, with a run for each part in fold-1, fold-2, fold-3; "
        f"name one of these, as {folder / 'fold-1'}, or give the command of `cross-validate` again"
    )


def test_a_test_that_is_missing_or_damaged_is_made_by_the_same_command(esc_plan: Plan, folder: Path) -> None:
    """`--metrics-from`, `--calibrate-from` and `compare` send to `cross-validate`, not to `evaluate`."""
    for _ in range(2):
        with pytest.raises(TrainingError, match="give the command of `cross-validate` again"):
            require_score_of(esc_plan, folder)
        with pytest.raises(TrainingError, match="give the command of `cross-validate` again"):
            ClipScores.load(folder)
        (folder / "evaluation.json").write_text("{")
        (folder / "scores.npz").write_bytes(b"")


@pytest.mark.parametrize("part", ["1", "spring 2024", "2024/05", "../elsewhere", "nächte", "50 %"])
def test_every_part_has_a_folder_beside_the_others(part: str, tmp_path: Path) -> None:
    """Where `compress` and the messages look for them, whatever a table calls its folds."""
    fold = fold_folder(tmp_path, part)
    fold.mkdir()
    (fold / "plan.json").touch()
    assert folds_in(tmp_path) == [fold]


def test_no_two_parts_share_a_folder(tmp_path: Path) -> None:
    """Not even one that is called what a slash is written as in another's folder."""
    parts = ("a/b", "a%2Fb", "a%252Fb", "a%b", "ab")
    assert len({fold_folder(tmp_path, part) for part in parts}) == len(parts)
