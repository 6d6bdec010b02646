"""Cross-validation: each part is tested by networks that were trained on all the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from soundscene.settings import NETWORK_NAMES
from soundscene_train.assessment.assess import AssessmentSettings, assess_scores, results_of
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.summary import cross_fitted_calibration, join_robustness
from soundscene_train.errors import TrainingError
from soundscene_train.fitting import Training, require_ingredients
from soundscene_train.plan import Plan
from soundscene_train.report import Evaluation, write_report
from soundscene_train.run_folders import fold_folder
from soundscene_train.stages import Reporter, evaluate_run, fit_runs, make_data, prepare_assessment, prepare_run

__all__ = ["cross_validate", "join_scores"]


def cross_validate(
    plan: Plan,
    folder: Path,
    reporter: Reporter,
    jobs: int = 1,
    settings: AssessmentSettings = AssessmentSettings(),  # noqa: B008  # frozen
) -> Evaluation:
    """Train and test a run per part, going on where it stopped, and judge all test clips together.

    The networks of all parts are trained side by side.

    Parameters
    ----------
    plan : Plan
        Its `train_parts` are the parts taken in turn; None takes all.
    folder : Path
        Gets `fold-PART` for each run, and a report over all of them.
    reporter : Reporter
        Told how far it is.
    jobs : int > 0
        Processes that train.
    settings : AssessmentSettings
        What is measured beside the plain tests.

    Raises
    ------
    TrainingError
        There are fewer than two parts, what `settings` name is not there, or a training cannot go on.
    """
    require_ingredients(plan)
    distortions = prepare_assessment(plan, settings)
    make_data(plan, reporter)
    selection = replace(plan, test_parts=()).open()
    parts = plan.train_parts or selection.dataset.parts
    if len(parts) < 2:
        raise TrainingError(f"cross-validation needs at least two parts, and there is {', '.join(parts)}")
    plan = replace(plan, train_parts=tuple(parts), test_parts=())
    plan.require_free(folder)
    runs = {fold_folder(folder, part): _leaving_out(part, plan, parts) for part in parts}
    for one in runs.values():
        one.open()  # what a fold lacks is told before anything is computed or written down
    prepare_run(plan, reporter, jobs=jobs)
    plan.save(folder)
    fit_runs([Training(one, home, network) for home, one in runs.items() for network in NETWORK_NAMES], reporter, jobs)
    scores, robustness = [], []
    for home in runs:
        tested = evaluate_run(Plan.load(home), home, reporter, settings=settings, jobs=jobs)
        scores.append(ClipScores.load(home))
        robustness.append((len(scores[-1].truth), tested.summary.get("robustness", {})))
    return _judge(plan, folder, scores, robustness if distortions else [])


def _leaving_out(part: str, plan: Plan, parts: Sequence[str]) -> Plan:
    """Return the plan that trains on all other parts, with the teacher that has done so too."""
    others = tuple(other for other in parts if other != part)
    teacher = None if plan.teacher_dir is None else fold_folder(plan.teacher_dir, part)
    return replace(plan, train_parts=others, test_parts=(part,), teacher_dir=teacher)


def join_scores(scores: list[ClipScores]) -> ClipScores:
    """Put the clips of several tests behind each other."""
    counts = [len(one.truth) for one in scores]
    firsts = np.cumsum([0, *counts[:-1]])
    return ClipScores(
        np.concatenate([one.windows for one in scores], axis=1),
        np.concatenate([first + one.clip_of_window for first, one in zip(firsts, scores, strict=True)]),
        np.concatenate([one.truth for one in scores]),
        scores[0].labels,
        sum((one.devices for one in scores), ()),
        sum((one.groups for one in scores), ()),
        sum((one.parts for one in scores), ()),
        sum((one.names for one in scores), ()),
    )


def _judge(
    plan: Plan, folder: Path, scores: list[ClipScores], robustness: Sequence[tuple[int, Mapping[str, Any]]]
) -> Evaluation:
    joined, rule = join_scores(scores), plan.recipe.fusion.rule
    joined.save(folder)
    summary = assess_scores(joined, rule)
    summary["calibration"] |= cross_fitted_calibration(scores, rule)
    folds = {one.parts[0]: results_of(one, rule)[rule] for one in scores}
    summary["by_part"] = {
        part: {"correct_count": result.correct_count, "clip_count": result.clip_count} for part, result in folds.items()
    }
    if robustness:
        summary["robustness"] = join_robustness(joined, robustness, rule)
    evaluation = Evaluation(results_of(joined, rule), {}, rule, joined.labels, summary)
    name = plan.open().dataset.name
    write_report(
        folder,
        evaluation,
        f"{plan.recipe.name} on {name}, cross-validated",
        f"{name}: each of the parts {', '.join(joined.parts)} by the same recipe trained on the others",
        tested_on=joined.parts,
        trained_on=joined.parts,
        folds={part: result.to_dict() for part, result in folds.items()},
    )
    return evaluation
