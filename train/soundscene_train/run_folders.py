"""What kind of folder `--run` names: that of one run, or of a cross-validation, which holds one run a fold."""

from __future__ import annotations

from pathlib import Path

from soundscene_train.errors import TrainingError

__all__ = ["how_to_test", "require_one_run"]


def require_one_run(folder: Path) -> None:
    """Refuse a cross-validation's folder where the folder of one run is needed.

    Raises
    ------
    TrainingError
        It is one.
    """
    if folds := _folds_in(folder):
        raise TrainingError(
            f"{folder} is a cross-validation's folder, with a run for each part in {', '.join(folds)}; "
            f"name one of these, as {folder / folds[0]}, or give the command of `cross-validate` again"
        )


def how_to_test(folder: Path) -> str:
    """Return what makes a folder's test, or makes it anew, as the end of a message."""
    if _folds_in(folder):
        return "give the command of `cross-validate` again, which keeps what is trained"
    return "run `soundscene-train evaluate` on this folder"


def _folds_in(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in folder.glob("fold-*/plan.json"))
