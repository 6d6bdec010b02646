"""A finished bundle whose scores mean how often they are right: a temperature put in, nothing trained again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from soundscene.bundle import Bundle, rewrite_bundle
from soundscene.classifier import SceneClassifier
from soundscene.fusion import TEMPERATURES, Calibration
from soundscene_train.assessment.assess import clips_to_test
from soundscene_train.assessment.calibration import fit_temperature
from soundscene_train.assessment.clip_scores import score_clips
from soundscene_train.assessment.page import render
from soundscene_train.errors import TrainingError
from soundscene_train.evaluation import apply_temperature, log_loss
from soundscene_train.plan import Plan
from soundscene_train.run_folders import REPORT_NAME
from soundscene_train.stages import Reporter, make_data, require_clips

__all__ = ["calibrated_bundle", "calibration_from_clips", "calibration_from_metrics"]


def calibration_from_metrics(bundle: Bundle) -> Calibration:
    """Return the temperature that the evaluation in a bundle's manifest has fitted.

    Raises
    ------
    TrainingError
        None was fitted, or it says nothing.
    """
    found = bundle.metrics.get("calibration", {})
    if "temperature" not in found:
        raise TrainingError(
            f"bundle {bundle.name} {bundle.version} was exported without a temperature: evaluate its run with "
            "--calibrate-from and export it again, export it with --metrics-from of a cross-validation, or give clips "
            "it was not trained on with --dataset and --data-dir"
        )
    if "fitted_on" in found:
        parts = ", ".join(found["fitted_on"]["parts"])
        clips = f"{found['fitted_on']['clips']} clips held out of its training, part {parts}"
    else:
        clips = f"{bundle.metrics['clip_count']} clips: {bundle.metrics['tested_on']}"
    return _useful(found["temperature"], clips)


def calibration_from_clips(bundle: Bundle, plan: Plan, reporter: Reporter) -> tuple[Calibration, float, float]:
    """Fit a temperature on clips that a bundle was not trained on, scored as it is served.

    Parameters
    ----------
    bundle : Bundle
        As it is; a calibration it may have is replaced, not added to.
    plan : Plan
        Its data set and `test_parts` name the clips; None takes all parts that the bundle was not trained on.
    reporter : Reporter
        Told how far it is.

    Returns
    -------
    calibration : Calibration
    before, after : float
        Log loss of these clips as they were scored, and with the temperature; the second is optimistic.

    Raises
    ------
    TrainingError
        A clip was trained on, has a label the bundle does not know, or there are too few to tell.
    DatasetError
        Some of a user's own recordings cannot be read.
    """
    make_data(plan, reporter)
    dataset = plan.dataset()
    clips = clips_to_test(bundle, dataset, plan.test_parts)
    require_clips(plan, clips, reporter)
    scores = score_clips(SceneClassifier(bundle), clips, None, lambda done, total: reporter.step("clips", done, total))
    fused = scores.fused(bundle.fusion.rule)
    change = fit_temperature(fused, scores.truth)
    name = f"{len(clips)} clips of {dataset.name}, part {', '.join(scores.parts)}"
    after = log_loss(apply_temperature(fused, change), scores.truth)
    return _useful(round(change * scores.temperature, 4), name), log_loss(fused, scores.truth), after


def calibrated_bundle(
    bundle: Bundle,
    calibration: Calibration,
    target: Path,
    version: str,
    command: str = "",
    *,
    unsure_below: float | None = None,
) -> Bundle:
    """Write a bundle with a calibration: the same networks and metrics under another version; the report says so.

    Parameters
    ----------
    bundle : Bundle
        Stays as it is, unless it is written over.
    calibration : Calibration
        Replaces the one it may have.
    target : Path
        The new bundle's folder.
    version : str
        Of the new bundle.
    command : str
        What made it, for the record.
    unsure_below : float in [0, 1), or None
        Windows whose best score is lower are declared not assessable; None leaves the bundle's threshold.

    Raises
    ------
    SettingsError
        The threshold is none.
    BundleError
        The bundle does not score a known sound as it did where it was made, or cannot be written.
    """
    fusion = bundle.fusion if unsure_below is None else replace(bundle.fusion, unsure_below=unsure_below)
    changes = {
        "version": version,
        "calibration": calibration.to_dict(),
        "fusion": fusion.to_dict(),
        "provenance": {**bundle.provenance, "calibrated_by": command, "uncalibrated_hash": bundle.hash},
    }
    if "classifiers" not in bundle.metrics:  # never tested, or by a version that drew its report of something else
        return rewrite_bundle(bundle, target, changes)
    title, cost, threshold = f"{bundle.name} {version}", bundle.provenance.get("cost"), fusion.unsure_below
    page = render(title, bundle.labels, bundle.metrics, cost, calibration.to_dict(), unsure_below=threshold)
    return rewrite_bundle(bundle, target, changes, {REPORT_NAME: page.encode()})


def _useful(temperature: float, clips: str) -> Calibration:
    """Refuse a temperature at its limit, where the clips do not tell."""
    low, high = TEMPERATURES
    if not 1.01 * low < temperature < 0.99 * high:
        raise TrainingError(
            f"a temperature of {temperature:g} is at its limit: {clips} have too few wrong answers, or too many, "
            "to calibrate on"
        )
    return Calibration(temperature, clips)
