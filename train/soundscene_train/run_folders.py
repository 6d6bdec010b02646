"""What lies where in the folder that `--run` names, of one run or of a cross-validation.

plan.json                            recipe, data set, parts and command
<network>/plan.json                  the same once more
<network>/standardisation.json       constants of the network's input
<network>/checkpoint.npz             all state of its training
<network>/history.jsonl              its loss by epoch
evaluation.json, evaluation.txt      the test
report.html, confusion.png           the same, drawn
scores.npz                           scores of the test's windows
distorted/                           the same under each distortion that was asked for
bundle/                              what is served, unless `--out` names another folder

A cross-validation's has a plan, a test over all parts, and for each part the folder of a run, `fold-PART`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from soundscene_train.errors import TrainingError

__all__ = [
    "BUNDLE_NAME",
    "CHECKPOINT_NAME",
    "DISTORTED_NAME",
    "EVALUATION_NAME",
    "HISTORY_NAME",
    "PLAN_NAME",
    "REPORT_NAME",
    "SCORES_NAME",
    "STANDARDISATION_NAME",
    "fold_folder",
    "folds_in",
    "how_to_test",
    "require_one_run",
    "trained_file",
]

PLAN_NAME: Final = "plan.json"
STANDARDISATION_NAME: Final = "standardisation.json"
CHECKPOINT_NAME: Final = "checkpoint.npz"
HISTORY_NAME: Final = "history.jsonl"
EVALUATION_NAME: Final = "evaluation.json"
REPORT_NAME: Final = "report.html"
"""In a bundle too."""
SCORES_NAME: Final = "scores.npz"
DISTORTED_NAME: Final = "distorted"
BUNDLE_NAME: Final = "bundle"


def fold_folder(folder: Path, part: str) -> Path:
    """Return the folder of a part's run, beside all others and of its own whatever the part is called."""
    return folder / f"fold-{part.replace('%', '%25').replace('/', '%2F')}"


def folds_in(folder: Path) -> list[Path]:
    """Return the folders of a cross-validation's runs; none of one run's."""
    return sorted(path.parent for path in folder.glob(f"fold-*/{PLAN_NAME}"))


def trained_file(folder: Path, network: str, name: str) -> Path:
    """Return a file that `fit` has left of a network.

    Raises
    ------
    TrainingError
        It is not there.
    """
    path = folder / network / name
    if not path.is_file():
        raise TrainingError(f"{folder} holds no trained {network} network; run `soundscene-train fit` first")
    return path


def require_one_run(folder: Path) -> None:
    """Refuse a cross-validation's folder where the folder of one run is needed.

    Raises
    ------
    TrainingError
        It is one.
    """
    if folds := folds_in(folder):
        raise TrainingError(
            f"{folder} is a cross-validation's folder, with a run for each part in "
            f"{', '.join(fold.name for fold in folds)}; name one of these, as {folds[0]}, or give the command of "
            "`cross-validate` again"
        )


def how_to_test(folder: Path) -> str:
    """Return what makes a folder's test, or makes it anew, as the end of a message."""
    if folds_in(folder):
        return "give the command of `cross-validate` again, which keeps what is trained"
    return "run `soundscene-train evaluate` on this folder"
