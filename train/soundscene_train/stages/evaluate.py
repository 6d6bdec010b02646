"""The third stage: a run or a bundle is tested."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundscene.bundle import Bundle
from soundscene.settings import NETWORK_NAMES
from soundscene_train.assessment.assess import (
    AssessmentSettings,
    assess_bundle,
    assess_robustness,
    assess_scores,
    clips_to_test,
    results_of,
)
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.cost import measure_processor_time
from soundscene_train.assessment.summary import require_held_out
from soundscene_train.datasets import Selection
from soundscene_train.distortions import Distortion
from soundscene_train.export import ExportNames, export_bundle
from soundscene_train.features import Features
from soundscene_train.files import make_folder
from soundscene_train.plan import Plan
from soundscene_train.report import Evaluation, write_report
from soundscene_train.responses import trained_responses
from soundscene_train.run_folders import require_one_run
from soundscene_train.scoring import score_windows
from soundscene_train.stages.prepare import make_data, prepare_run, require_clips
from soundscene_train.stages.reporter import Reporter

__all__ = ["evaluate_bundle", "evaluate_run", "prepare_assessment", "score_test", "scores_of_test"]


def prepare_assessment(plan: Plan, settings: AssessmentSettings) -> tuple[Distortion, ...]:
    """Look for what a run shall be assessed with, before hours are spent on what it shall assess.

    Returns
    -------
    tuple of Distortion
        What its clips shall be put through: of microphones those that the recipe keeps for tests.

    Raises
    ------
    TrainingError
        What the settings name is not there; or the run to calibrate from is of another recipe, or tests the same.
    """
    augmentation = plan.recipe.augmentation
    trained = () if settings.responses is None else trained_responses(plan.responses_dir, augmentation)
    distortions = settings.distortions(augmentation.held_out_responses, trained)
    if (check := settings.calibrate_from) is not None:
        held_out = ClipScores.load(check)
        plan.load_kin(check)
        selection = plan.open()
        clips = [selection.dataset.clips[index] for index in selection.test_clips]
        require_held_out(held_out, selection.dataset.labels, clips)
    return distortions


def evaluate_run(
    plan: Plan,
    folder: Path,
    reporter: Reporter,
    gains_db: Sequence[float] = (),
    settings: AssessmentSettings = AssessmentSettings(),  # noqa: B008  # frozen
    *,
    jobs: int = 1,
) -> Evaluation:
    """Test a run and write its report; a test under distortions goes on where it stopped.

    Raises
    ------
    TrainingError
        There is nothing to test on, what `settings` name is not there, or a network is not trained; or the folder is
        a cross-validation's.
    """
    require_one_run(folder)
    make_data(plan, reporter)
    distortions = prepare_assessment(plan, settings)
    selection, features = prepare_run(plan, reporter, jobs=jobs)
    selection.require_test()
    rule = plan.recipe.fusion.rule
    scores = score_test(plan, folder, selection, features)
    scores.save(folder)
    summary = assess_scores(scores, rule, settings.calibrate_from)
    if distortions:
        summary["robustness"] = _robustness(plan, folder, scores, distortions, reporter, jobs=jobs)
    by_gain = {
        gain: results_of(score_test(plan, folder, selection, prepare_run(plan, reporter, gain, jobs=jobs)[1]), rule)
        for gain in gains_db
        if gain
    }
    evaluation = Evaluation(results_of(scores, rule), by_gain, rule, selection.dataset.labels, summary)
    write_report(
        folder,
        evaluation,
        f"{plan.recipe.name} on {selection.dataset.name}",
        _describe_test(selection),
        tested_on=selection.test_parts,
        trained_on=selection.train_parts,
        by_gain_db={f"{gain:+g}": {k: r.to_dict() for k, r in found.items()} for gain, found in by_gain.items()},
    )
    return evaluation


def evaluate_bundle(
    bundle: Bundle, plan: Plan, folder: Path, reporter: Reporter, settings: AssessmentSettings, *, jobs: int = 1
) -> Evaluation:
    """Test a finished bundle, as it is served, on the plan's data, and write its report into a folder.

    Raises
    ------
    TrainingError
        The bundle was trained on what it should be tested on, the labels differ, or what `settings` name is not there.
    DatasetError
        Some of a user's own recordings cannot be read.
    """
    held_out = bundle.provenance.get("recipe", {}).get("augmentation", {}).get("held_out_responses", ())
    trained = bundle.provenance.get("train_responses", ())
    distortions = settings.distortions(held_out, trained)
    make_data(plan, reporter)
    dataset, rule = plan.dataset(), bundle.fusion.rule
    clips = clips_to_test(bundle, dataset, plan.test_parts)
    if settings.calibrate_from is not None:
        require_held_out(ClipScores.load(settings.calibrate_from), bundle.labels, clips)
    require_clips(plan, clips, reporter, jobs)
    make_folder(folder)
    scores, summary = assess_bundle(
        bundle, clips, distortions, folder, settings.calibrate_from, step=reporter.step, jobs=jobs
    )
    evaluation = Evaluation(results_of(scores, rule), {}, rule, bundle.labels, summary)
    scores.save(folder)
    write_report(
        folder,
        evaluation,
        f"{bundle.name} {bundle.version}",
        f"{dataset.name}, part {', '.join(scores.parts)}",
        tested_on=scores.parts,
        trained_on=bundle.provenance.get("train_parts", ()),
        cost=bundle.provenance.get("cost") or measure_processor_time(bundle),
        bundle_hash=bundle.hash,
    )
    return evaluation


def _describe_test(selection: Selection) -> str:
    """Say what was tested on what, for a manifest."""
    train, test = ", ".join(selection.train_parts), ", ".join(selection.test_parts)
    return f"{selection.dataset.name}: the same recipe trained on {train} and tested on {test}"


def score_test(
    plan: Plan, folder: Path, selection: Selection, features: Features, networks: Sequence[str] = NETWORK_NAMES
) -> ClipScores:
    """Score the test clips with a run's trained networks, or with some."""
    windows = features.windows_of(selection.test_clips)
    scores = score_windows(plan, folder, features, windows, len(selection.dataset.labels), networks=networks)
    return scores_of_test(scores, selection, features)


def scores_of_test(scores: NDArray[np.float64], selection: Selection, features: Features) -> ClipScores:
    """Put scores of the test clips' windows [shape=(networks, windows, labels)] together with what these clips are."""
    clips = [selection.dataset.clips[index] for index in selection.test_clips]
    owners = features.clip_of_window[features.windows_of(selection.test_clips)]
    position = np.searchsorted(np.asarray(selection.test_clips), owners)
    return ClipScores.of(scores, position, clips, selection.dataset.labels)


def _robustness(
    plan: Plan, folder: Path, clean: ClipScores, distortions: Sequence[Distortion], reporter: Reporter, *, jobs: int
) -> dict[str, Any]:
    """Export to a temporary place and test what would be served."""
    selection = plan.open()
    clips = [selection.dataset.clips[index] for index in selection.test_clips]
    with tempfile.TemporaryDirectory(prefix="soundscene-") as temporary:
        bundle = export_bundle(plan, folder, Path(temporary) / "bundle", ExportNames("tested"))
        return assess_robustness(bundle, clips, clean, distortions, folder, step=reporter.step, jobs=jobs)
