"""The four stages of a run, as the command line calls them: prepare, fit, evaluate, export."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

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
from soundscene_train.datasets import OWN_NAMES, Selection, build_city, open_dataset
from soundscene_train.datasets.inspection import ClipFacts, inspect_clips, require_readable, unreadable
from soundscene_train.datasets.sources import download, require_whole
from soundscene_train.errors import TrainingError
from soundscene_train.evaluation import Result
from soundscene_train.export import ExportNames, export_bundle
from soundscene_train.features import Features
from soundscene_train.files import make_folder, read_json
from soundscene_train.fitting import fit_networks, require_ingredients
from soundscene_train.machines import Machines, join
from soundscene_train.plan import Plan
from soundscene_train.recipe import Recipe
from soundscene_train.report import headline, write_report
from soundscene_train.runtime import start_keras
from soundscene_train.scoring import score_windows

__all__ = [
    "Evaluation",
    "Reporter",
    "download_run",
    "evaluate_bundle",
    "evaluate_run",
    "export_run",
    "fit_run",
    "inspect_run",
    "prepare_run",
    "require_score_of",
    "scores_of_test",
    "without_unreadable",
]


_EVALUATION: Final = "evaluation.json"
_MEBIBYTE: Final = 1 << 20


class Reporter:
    """Told how far a stage is; this one says nothing."""

    def step(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` units of a stage are finished."""

    def epoch(self, network: str, done: int, total: int, loss: float) -> None:
        """A network has trained `done` of `total` epochs."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Results at the recorded level and at others.

    Parameters
    ----------
    results : dict of classifier to Result
        At the recorded level.
    by_gain : dict of gain in dB to dict of classifier to Result
        The same clips louder or quieter.
    rule : str
        The recipe's way to join networks.
    labels : tuple of str
    summary : dict
        Intervals, calibration, selective accuracy and robustness, as `assessment.summary` makes them.
    """

    results: dict[str, Result]
    by_gain: dict[float, dict[str, Result]]
    rule: str
    labels: tuple[str, ...]
    summary: dict[str, Any]

    def metrics(self, test: str) -> dict[str, Any]:
        """Return what a manifest says about a model tested on `test`."""
        gains = {f"{gain:+g} dB": results[self.rule].correct_count for gain, results in self.by_gain.items()}
        return {"tested_on": test, **headline(self.results, self.rule), "correct_count_at_gain": gains, **self.summary}


def prepare_run(
    plan: Plan, reporter: Reporter, gain_db: float = 0.0, *, jobs: int = 1, is_inspected: bool = False
) -> tuple[Selection, Features]:
    """Make or open the data set and compute what is missing of its spectrograms.

    A user's own recordings are all read once before, unless that has been done: hours of work should not meet a file
    that cannot be read.
    """
    if plan.dataset_name == "synthetic":
        build_city(plan.data_dir, plan.city, _step(reporter, "synthetic city"))
    selection = plan.open()
    if plan.dataset_name in OWN_NAMES and not is_inspected and not plan.has_features(selection):
        require_readable(inspect_run(plan, reporter, jobs))
    stage = "spectrograms" if not gain_db else f"spectrograms at {gain_db:+g} dB"
    return selection, plan.features(selection, gain_db, _step(reporter, stage), jobs)


def download_run(plan: Plan, reporter: Reporter, address: str | None = None) -> None:
    """Fetch what is missing of a public data set, going on where it stopped, and hold it to what was published.

    Raises
    ------
    DatasetError
        It is not public, cannot be fetched, or is not what was published.
    """

    def tell(name: str, done_bytes: int, total_bytes: int) -> None:
        reporter.step(f"{name} (MiB)", -(-done_bytes // _MEBIBYTE), -(-total_bytes // _MEBIBYTE))

    download(plan.dataset_name, plan.data_dir, tell, address)
    require_whole(plan.dataset_name, plan.open().dataset)


def inspect_run(plan: Plan, reporter: Reporter, jobs: int = 1) -> list[ClipFacts]:
    """Decode every clip of a plan's data set once, to know what is in it."""
    return inspect_clips(plan.open().dataset, jobs, _step(reporter, "looking at the clips"))


def without_unreadable(plan: Plan, reporter: Reporter, jobs: int = 1) -> Plan:
    """Return the plan without the clips that cannot be read."""
    bad = unreadable(inspect_run(plan, reporter, jobs))
    return replace(plan, skipped=tuple(one.path for one in bad))


def fit_run(
    plan: Plan, folder: Path, reporter: Reporter, networks: Sequence[str] = NETWORK_NAMES, jobs: int = 1
) -> None:
    """Train the networks of a run, going on where it stopped.

    Of several machines, the others wait for the first, so that what is missing is made once.

    Raises
    ------
    TrainingError
        The folder belongs to another run, or is not the one that the first machine sees; or training cannot go on.
    MissingExtraError
        Keras or its backend is not installed.
    """
    machines = Machines.from_environment()
    if machines.count > 1 and plan.recipe.fit.devices == "one":
        raise TrainingError("several machines train together with --engine keras --devices all only")
    if plan.recipe.fit.engine == "keras":
        start_keras()  # a backend that is missing should not be found out after hours of spectrograms
    require_ingredients(plan)
    if machines.is_first:
        plan.save(folder)
    else:
        join(machines)
        plan.require_in(folder)  # the first has written it, or this is another folder
    prepare_run(plan, reporter, jobs=jobs)
    if machines.is_first:
        join(machines)
    total = plan.recipe.fit.epochs
    fit_networks(plan, folder, networks, jobs, lambda network, done, loss: reporter.epoch(network, done, total, loss))


def evaluate_run(
    plan: Plan,
    folder: Path,
    reporter: Reporter,
    gains_db: Sequence[float] = (),
    settings: AssessmentSettings = AssessmentSettings(),  # noqa: B008  # frozen
) -> Evaluation:
    """Test a run and write its report.

    Raises
    ------
    TrainingError
        There is nothing to test on, what `settings` name is not there, or a network is not trained.
    """
    settings.require_sources()
    selection, features = prepare_run(plan, reporter)
    if not selection.test_parts:
        raise TrainingError("this run trained on every part; there is nothing left to test it on")
    rule = plan.recipe.fusion.rule
    settings = replace(settings, held_out_responses=plan.recipe.augmentation.held_out_responses)
    scores = _scores(plan, folder, selection, features)
    scores.save(folder)
    summary = assess_scores(scores, rule, settings)
    if settings.distortions():
        summary["robustness"] = _robustness(plan, folder, scores, settings, reporter)
    results = results_of(scores)
    by_gain = {
        gain: results_of(_scores(plan, folder, selection, prepare_run(plan, reporter, gain)[1]))
        for gain in gains_db
        if gain
    }
    evaluation = Evaluation(results, by_gain, rule, selection.dataset.labels, summary)
    extra = {
        "title": f"{plan.recipe.name} on {selection.dataset.name}",
        "labels": list(selection.dataset.labels),
        "tested_on": list(selection.test_parts),
        "trained_on": list(selection.train_parts),
        "metrics": evaluation.metrics(_describe_test(selection)),
        "by_gain_db": {f"{gain:+g}": {k: r.to_dict() for k, r in found.items()} for gain, found in by_gain.items()},
    }
    write_report(folder, results, selection.dataset.labels, evaluation.rule, extra)
    return evaluation


def evaluate_bundle(
    bundle: Bundle, plan: Plan, folder: Path, reporter: Reporter, settings: AssessmentSettings
) -> Evaluation:
    """Test a finished bundle, as it is served, on the plan's data, and write its report into a folder.

    Raises
    ------
    TrainingError
        The bundle was trained on what it should be tested on, the labels differ, or what `settings` name is not there.
    """
    settings.require_sources()
    dataset = open_dataset(plan.dataset_name, plan.data_dir, plan.city, plan.fold_count)
    clips = clips_to_test(bundle, dataset, plan.test_parts)
    augmentation = bundle.provenance.get("recipe", {}).get("augmentation", {})
    settings = replace(settings, held_out_responses=tuple(augmentation.get("held_out_responses", ())))
    make_folder(folder)
    scores, summary = assess_bundle(bundle, clips, settings, reporter.step)
    evaluation = Evaluation(results_of(scores), {}, bundle.fusion.rule, bundle.labels, dict(summary))
    tested_on = f"{dataset.name}, part {', '.join(scores.parts)}"
    extra = {
        "title": f"{bundle.name} {bundle.version}",
        "bundle_hash": bundle.hash,
        "labels": list(bundle.labels),
        "tested_on": list(scores.parts),
        "trained_on": bundle.provenance.get("train_parts", []),
        "metrics": evaluation.metrics(tested_on),
    }
    scores.save(folder)
    cost = bundle.provenance.get("cost") or measure_processor_time(bundle)
    write_report(folder, evaluation.results, bundle.labels, evaluation.rule, extra, cost=cost)
    return evaluation


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


def _describe_test(selection: Selection) -> str:
    """Say what was tested on what, for a manifest."""
    train, test = ", ".join(selection.train_parts), ", ".join(selection.test_parts)
    return f"{selection.dataset.name}: the same recipe trained on {train} and tested on {test}"


def _scores(plan: Plan, folder: Path, selection: Selection, features: Features) -> ClipScores:
    """Score the test clips with the trained networks."""
    windows = features.windows_of(selection.test_clips)
    scores = score_windows(plan, folder, features, windows, len(selection.dataset.labels))
    return scores_of_test(scores, selection, features)


def scores_of_test(scores: NDArray[np.float64], selection: Selection, features: Features) -> ClipScores:
    """Put scores of the test clips' windows [shape=(networks, windows, labels)] together with what these clips are."""
    labels = selection.dataset.labels
    clips = [selection.dataset.clips[index] for index in selection.test_clips]
    owners = features.clip_of_window[features.windows_of(selection.test_clips)]
    return ClipScores(
        scores,
        np.searchsorted(np.asarray(selection.test_clips), owners),
        np.array([labels.index(clip.label) for clip in clips], np.int64),
        labels,
        tuple(clip.device for clip in clips),
        tuple(clip.group for clip in clips),
        selection.test_parts,
        tuple(str(clip.path) for clip in clips),
    )


def _robustness(
    plan: Plan, folder: Path, clean: ClipScores, settings: AssessmentSettings, reporter: Reporter
) -> dict[str, Any]:
    """Export to a temporary place and test what would be served."""
    selection = plan.open()
    clips = [selection.dataset.clips[index] for index in selection.test_clips]
    with tempfile.TemporaryDirectory(prefix="soundscene-") as temporary:
        bundle = export_bundle(plan, folder, Path(temporary) / "bundle", ExportNames("tested"))
        return assess_robustness(bundle, clips, clean, settings, reporter.step)


def _step(reporter: Reporter, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: reporter.step(stage, done, total)
