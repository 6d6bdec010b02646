"""The stages that the command line's others stand on: prepare, fit, evaluate, export."""

from __future__ import annotations

from soundscene_train.stages.evaluate import (
    evaluate_bundle,
    evaluate_run,
    prepare_assessment,
    score_test,
    scores_of_test,
)
from soundscene_train.stages.export import export_run, require_score_of
from soundscene_train.stages.fit import fit_run, fit_runs
from soundscene_train.stages.prepare import (
    download_run,
    inspect_run,
    make_data,
    prepare_run,
    require_clips,
    without_unreadable,
)
from soundscene_train.stages.reporter import Reporter

__all__ = [
    "Reporter",
    "download_run",
    "evaluate_bundle",
    "evaluate_run",
    "export_run",
    "fit_run",
    "fit_runs",
    "inspect_run",
    "make_data",
    "prepare_assessment",
    "prepare_run",
    "require_clips",
    "require_score_of",
    "score_test",
    "scores_of_test",
    "without_unreadable",
]
