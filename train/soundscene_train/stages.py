"""The four stages of a run, as the command line calls them: prepare, fit, evaluate, export."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundscene.bundle import Bundle
from soundscene.settings import NETWORK_NAMES
from soundscene_train.datasets import Selection, build_city
from soundscene_train.errors import TrainingError
from soundscene_train.evaluation import Result, evaluate_all
from soundscene_train.export import ExportNames, export_bundle
from soundscene_train.features import Features
from soundscene_train.fitting import fit_networks
from soundscene_train.plan import Plan
from soundscene_train.report import headline, write_report
from soundscene_train.scoring import score_windows

__all__ = ["Evaluation", "Reporter", "evaluate_run", "export_run", "fit_run", "prepare_run"]


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
    """

    results: dict[str, Result]
    by_gain: dict[float, dict[str, Result]]
    rule: str
    labels: tuple[str, ...]

    def metrics(self, test: str) -> dict[str, Any]:
        """Return what a manifest says about a model tested on `test`."""
        gains = {f"{gain:+g} dB": results[self.rule].correct_count for gain, results in self.by_gain.items()}
        return {"tested_on": test, **headline(self.results, self.rule), "correct_count_at_gain": gains}


def prepare_run(plan: Plan, reporter: Reporter, gain_db: float = 0.0) -> tuple[Selection, Features]:
    """Make or open the data set and compute what is missing of its spectrograms."""
    if plan.dataset_name == "synthetic":
        build_city(plan.data_dir, plan.city, _step(reporter, "synthetic city"))
    selection = plan.open()
    stage = "spectrograms" if not gain_db else f"spectrograms at {gain_db:+g} dB"
    return selection, plan.features(selection, gain_db, _step(reporter, stage))


def fit_run(
    plan: Plan, folder: Path, reporter: Reporter, networks: Sequence[str] = NETWORK_NAMES, jobs: int = 1
) -> None:
    """Train the networks of a run, going on where it stopped."""
    plan.save(folder)
    prepare_run(plan, reporter)
    total = plan.recipe.fit.epochs
    fit_networks(plan, folder, networks, jobs, lambda network, done, loss: reporter.epoch(network, done, total, loss))


def evaluate_run(plan: Plan, folder: Path, reporter: Reporter, gains_db: Sequence[float] = ()) -> Evaluation:
    """Test a run and write its report.

    Raises
    ------
    TrainingError
        There is nothing to test on, or a network is not trained.
    """
    selection, features = prepare_run(plan, reporter)
    if not selection.test_parts:
        raise TrainingError("this run trained on every part; there is nothing left to test it on")
    results = _results(plan, folder, selection, features)
    by_gain = {
        gain: _results(plan, folder, selection, prepare_run(plan, reporter, gain)[1]) for gain in gains_db if gain
    }
    evaluation = Evaluation(results, by_gain, plan.recipe.fusion.rule, selection.dataset.labels)
    extra = {
        "tested_on": list(selection.test_parts),
        "trained_on": list(selection.train_parts),
        "metrics": evaluation.metrics(_describe_test(selection)),
        "by_gain_db": {f"{gain:+g}": {k: r.to_dict() for k, r in found.items()} for gain, found in by_gain.items()},
    }
    write_report(folder, results, selection.dataset.labels, evaluation.rule, extra)
    return evaluation


def export_run(plan: Plan, folder: Path, target: Path, names: ExportNames, metrics_from: Path | None = None) -> Bundle:
    """Write a run's bundle, with the metrics of its own evaluation or of another run of the same recipe.

    Raises
    ------
    TrainingError
        `metrics_from` holds no evaluation, or one of another recipe; or a network is not trained.
    """
    if metrics_from is not None and Plan.load(metrics_from).recipe != plan.recipe:
        raise TrainingError(f"{metrics_from} was trained by another recipe; its score says nothing about this run")
    report = (metrics_from or folder) / "evaluation.json"
    if metrics_from is not None and not report.is_file():
        raise TrainingError(f"{metrics_from} has not been evaluated; run `soundscene-train evaluate` on it first")
    metrics = json.loads(report.read_text(encoding="utf-8"))["metrics"] if report.is_file() else {}
    return export_bundle(plan, folder, target, names, metrics)


def _describe_test(selection: Selection) -> str:
    """Say what was tested on what, for a manifest."""
    train, test = ", ".join(selection.train_parts), ", ".join(selection.test_parts)
    return f"{selection.dataset.name}: the same recipe trained on {train} and tested on {test}"


def _results(plan: Plan, folder: Path, selection: Selection, features: Features) -> dict[str, Result]:
    """Score the test clips and compare."""
    dataset = selection.dataset
    windows = features.windows_of(selection.test_clips)
    scores = score_windows(plan, folder, features, windows, len(dataset.labels))
    clips = [dataset.clips[index] for index in selection.test_clips]
    truth: NDArray[np.int64] = np.array([dataset.labels.index(clip.label) for clip in clips])
    devices = [clip.device for clip in clips] if any(clip.device for clip in clips) else []
    return evaluate_all(scores, features.clip_of_window[windows], truth, dataset.labels, devices)


def _step(reporter: Reporter, stage: str) -> Callable[[int, int], None]:
    return lambda done, total: reporter.step(stage, done, total)
