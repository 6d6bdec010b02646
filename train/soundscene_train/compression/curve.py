"""Bytes against accuracy: trained networks tested again with fewer bits a weight, and with the smallest weights gone.

Nothing is trained again. What is tested is what `pack` would store, so bytes and accuracy belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene.frontend import patch
from soundscene.settings import NETWORK_NAMES
from soundscene_train.assessment.assess import results_of
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.cost import nonzero_bytes
from soundscene_train.cross_validation import join_scores
from soundscene_train.errors import TrainingError
from soundscene_train.fast import FastNetwork
from soundscene_train.features import Features
from soundscene_train.listing import first_few
from soundscene_train.merging import merge
from soundscene_train.plan import Plan, read_standardisation
from soundscene_train.recipe import StorageSettings
from soundscene_train.run_folders import PLAN_NAME, fold_folder, folds_in, how_to_test
from soundscene_train.scoring import load_weights, score_model, scoring_function
from soundscene_train.stages import Reporter, make_data, prepare_run, scores_of_test
from soundscene_train.storage import pack, store_in_model, unpack

__all__ = ["Point", "trade_off"]

_POINTS: Final = (
    *(StorageSettings(bits) for bits in (32, 8, 6, 5, 4, 3, 2)),
    *(StorageSettings(8, share) for share in (0.25, 0.5, 0.75)),
)


@dataclass(frozen=True, slots=True)
class Point:
    """What a setting costs and what it gives, over all three networks and all test clips.

    Parameters
    ----------
    setting : StorageSettings
    stored_bytes : int
        Of the three networks' files.
    nonzero_bytes : int
        Of what is not 0 in them.
    clip_count, correct_count : int
        Test clips, and those that the fused decision gets right.
    log_loss : float
        Of the fused scores.
    correct_by_network : dict of network to int
        The same of each network alone.
    """

    setting: StorageSettings
    stored_bytes: int
    nonzero_bytes: int
    clip_count: int
    correct_count: int
    log_loss: float
    correct_by_network: dict[str, int]


def _find_runs(folder: Path, reporter: Reporter) -> list[Path]:
    """Return the runs in a folder, itself or the folds of a cross-validation, whose data is there.

    Raises
    ------
    TrainingError
        There is none, one has nothing to test on, or a cross-validation lacks the run of a part.
    """
    folds = folds_in(folder)
    if folds and (folder / PLAN_NAME).is_file():
        homes = [fold_folder(folder, part) for part in Plan.load(folder).train_parts or ()]
        if missing := [home.name for home in homes if home not in folds]:
            raise TrainingError(f"{folder} has no run in {first_few(missing)}; {how_to_test(folder)}")
    runs = folds or [folder]
    for run in runs:
        plan = Plan.load(run)
        make_data(plan, reporter)
        plan.open().require_test()
    return runs


def trade_off(folder: Path, reporter: Reporter, settings: Sequence[StorageSettings] = _POINTS) -> list[Point]:
    """Test a run, or all folds of a cross-validation, under each setting.

    Parameters
    ----------
    folder : Path
        A folder of `fit` or of `cross-validate`.
    reporter : Reporter
        Told how far it is.
    settings : sequence of StorageSettings
        What is tried.

    Raises
    ------
    TrainingError
        There is no trained run, or nothing to test it on.
    """
    runs = _find_runs(folder, reporter)
    scores: dict[StorageSettings, list[ClipScores]] = {setting: [] for setting in settings}
    sizes: dict[StorageSettings, list[tuple[int, int]]] = {setting: [] for setting in settings}
    for number, run in enumerate(runs):
        for done, (setting, size, found) in enumerate(_test_run(run, reporter, settings), start=1):
            scores[setting].append(found)
            sizes[setting].append(size)
            reporter.step("storing and testing", number * len(settings) + done, len(runs) * len(settings))
    rule = Plan.load(runs[0]).recipe.fusion.rule
    return [_judge(setting, sizes[setting], join_scores(scores[setting]), rule) for setting in settings]


def _test_run(
    run: Path, reporter: Reporter, settings: Sequence[StorageSettings]
) -> Iterator[tuple[StorageSettings, tuple[int, int], ClipScores]]:
    """Yield each setting, the bytes it stores and those that are not 0, and the scores of the test clips."""
    plan = Plan.load(run)
    selection, features = prepare_run(plan, reporter)
    windows = features.windows_of(selection.test_clips)
    networks = [_Stored(plan, run, name, len(selection.dataset.labels)) for name in NETWORK_NAMES]
    for setting in settings:
        stored, nonzero = (sum(size) for size in zip(*(network.store(setting) for network in networks), strict=True))
        scores = np.stack([network.score(features, windows) for network in networks])
        yield setting, (stored, nonzero), scores_of_test(scores, selection, features)


class _Stored:
    """A trained network that is stored in one way after another."""

    def __init__(self, plan: Plan, run: Path, name: str, label_count: int) -> None:
        self._recipe, self._name = plan.recipe, name
        self._to_patches = partial(
            patch, settings=plan.recipe.front_end, network=name, standardisation=read_standardisation(run, name)
        )
        self._model = load_weights(plan, run, name, label_count)
        self._trained = [np.asarray(variable).copy() for variable in self._model.weights]

    def store(self, setting: StorageSettings) -> tuple[int, int]:
        """Give the network the values it would be stored with; return its bytes, and those that are not 0."""
        for variable, value in zip(self._model.weights, self._trained, strict=True):
            variable.assign(value)
        store_in_model(self._model, self._recipe.network, setting)
        merged = merge(self._model, self._recipe.network)
        content = pack(merged, setting.weight_bits)
        return len(content), nonzero_bytes(unpack(content, merged, setting.weight_bits), setting.weight_bits)

    def score(self, features: Features, windows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of some windows: (windows, labels)."""
        forward = scoring_function(FastNetwork(self._model, self._recipe.network))
        return score_model(forward, features.spectra[self._name], windows, self._to_patches)


def _judge(setting: StorageSettings, sizes: Sequence[tuple[int, int]], scores: ClipScores, rule: str) -> Point:
    results = results_of(scores, rule)
    fused = results[rule]
    return Point(
        setting,
        sizes[0][0],
        round(float(np.mean([nonzero for _, nonzero in sizes]))),
        fused.clip_count,
        fused.correct_count,
        round(fused.log_loss, 4),
        {name: results[name].correct_count for name in NETWORK_NAMES},
    )
