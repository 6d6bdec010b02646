"""The last stage: a run becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from soundscene.bundle import Bundle
from soundscene_train.errors import TrainingError
from soundscene_train.export import ExportNames, export_bundle
from soundscene_train.files import read_json
from soundscene_train.plan import Plan
from soundscene_train.recipe import Recipe

__all__ = ["export_run", "require_score_of"]

_EVALUATION: Final = "evaluation.json"


def export_run(plan: Plan, folder: Path, target: Path, names: ExportNames, metrics_from: Path | None = None) -> Bundle:
    """Write a run's bundle, with the metrics of its own evaluation or of another run of the same recipe.

    Raises
    ------
    TrainingError
        `metrics_from` holds no evaluation, or one of another recipe; or a network is not trained.
    """
    if metrics_from is not None:
        require_score_of(plan.recipe, metrics_from)
    report = (metrics_from or folder) / _EVALUATION
    evaluation = read_json(report, "what `evaluate` wrote", "evaluate the run again") if report.is_file() else None
    return export_bundle(plan, folder, target, names, evaluation)


def require_score_of(recipe: Recipe, folder: Path) -> None:
    """Refuse a run that does not say how well a recipe does.

    Raises
    ------
    TrainingError
        It is not there, has not been evaluated, or was trained by another recipe.
    """
    if Plan.load(folder).recipe != recipe:
        raise TrainingError(f"{folder} was trained by another recipe; its score says nothing about this run")
    if not (folder / _EVALUATION).is_file():
        raise TrainingError(f"{folder} has not been evaluated; run `soundscene-train evaluate` on it first")
