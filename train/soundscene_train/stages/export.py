"""The last stage: a run becomes a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soundscene.bundle import Bundle
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.datasets import OWN_NAMES
from soundscene_train.errors import TrainingError
from soundscene_train.export import ExportNames, export_bundle
from soundscene_train.files import read_json
from soundscene_train.plan import Plan
from soundscene_train.run_folders import EVALUATION_NAME, how_to_test, require_one_run

__all__ = ["export_run", "require_score_of"]


def export_run(plan: Plan, folder: Path, target: Path, names: ExportNames, metrics_from: Path | None = None) -> Bundle:
    """Write a run's bundle, with the metrics of its own evaluation or of another run of the same recipe.

    Raises
    ------
    TrainingError
        `metrics_from` holds no evaluation, or one of another recipe or of other data; or a network is not trained;
        or the folder is a cross-validation's.
    """
    require_one_run(folder)
    if metrics_from is not None:
        require_score_of(plan, metrics_from)
    home = metrics_from or folder
    evaluation = _evaluation_in(home) if (home / EVALUATION_NAME).is_file() else None
    return export_bundle(plan, folder, target, names, evaluation)


def require_score_of(plan: Plan, folder: Path) -> None:
    """Refuse a run that does not say how well a plan's recipe does on its data.

    Raises
    ------
    TrainingError
        It is not there, has not been evaluated by this version, was trained by another recipe or on other data, or
        tested on clips or labels that are no longer there.
    """
    held = plan.load_kin(folder)
    is_own = plan.dataset_name in OWN_NAMES
    if held.dataset_name != plan.dataset_name or (is_own and held.data_dir != plan.data_dir):
        raise TrainingError(
            f"{folder} was trained on {held.dataset_name} in {held.data_dir}; its score says nothing about this run"
        )
    if not (folder / EVALUATION_NAME).is_file():
        raise TrainingError(f"{folder} has not been evaluated; {how_to_test(folder)}")
    _evaluation_in(folder)
    _require_clips_of(plan, folder)


def _require_clips_of(plan: Plan, folder: Path) -> None:
    """Refuse a score of clips or labels that are no longer, or not, those of a plan's data."""
    tested, dataset, is_own = ClipScores.load(folder), plan.dataset(), plan.dataset_name in OWN_NAMES

    def known_as(path: Path | str) -> str:
        return str(path) if is_own else Path(path).name  # a public data set may lie elsewhere today

    label_of = {known_as(clip.path): clip.label for clip in dataset.clips}
    was = {known_as(name): tested.labels[truth] for name, truth in zip(tested.names, tested.truth, strict=True)}
    changed = sorted(name for name, label in was.items() if label_of.get(name) != label)
    if tested.labels != dataset.labels or changed:
        what = f"labels {', '.join(tested.labels)}" if tested.labels != dataset.labels else f"another {changed[0]}"
        raise TrainingError(
            f"{folder} was tested on {what}; its score says nothing about {plan.data_dir} as it is: test it again"
        )


def _evaluation_in(folder: Path) -> dict[str, Any]:
    """Read what `evaluate` wrote, with all that a report is drawn of."""
    evaluation = read_json(folder / EVALUATION_NAME, "what `evaluate` wrote", how_to_test(folder))
    metrics = evaluation.get("metrics") if isinstance(evaluation, dict) else None
    if not isinstance(metrics, dict) or "classifiers" not in metrics:
        raise TrainingError(f"{folder / EVALUATION_NAME} was written by an earlier version; {how_to_test(folder)}")
    return dict(evaluation)
