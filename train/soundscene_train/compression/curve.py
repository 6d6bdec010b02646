"""Bytes against accuracy: trained networks tested again with fewer bits a weight, and with the smallest weights gone.

Nothing is trained again. What is tested is what `pack` would store, so bytes and accuracy belong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.fusion import RULES
from soundscene.settings import NETWORK_NAMES
from soundscene_train.assessment.calibration import log_loss
from soundscene_train.assessment.cost import nonzero_bytes
from soundscene_train.errors import TrainingError
from soundscene_train.evaluation import fuse_clips
from soundscene_train.fast import FastNetwork
from soundscene_train.features import Features
from soundscene_train.merging import merge
from soundscene_train.network import NetworkSettings, table_of_rows
from soundscene_train.plan import Plan, read_standardisation
from soundscene_train.scoring import load_weights, score_model
from soundscene_train.stages import Reporter, prepare_run
from soundscene_train.storage import pack, store_in_model, unpack

__all__ = ["POINTS", "Point", "Setting", "find_runs", "prune", "trade_off"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to store a network.

    Parameters
    ----------
    weight_bits : int
        As in `StorageSettings`.
    pruned_share : float in [0, 1)
        Of each convolution's weights, the smallest, that are set to zero.
    """

    weight_bits: int
    pruned_share: float = 0.0


POINTS: Final = (
    *(Setting(bits) for bits in (32, 8, 6, 5, 4, 3)),
    *(Setting(8, share) for share in (0.25, 0.5, 0.75)),
)


@dataclass(frozen=True, slots=True)
class Point:
    """What a setting costs and what it gives, over all three networks and all test clips.

    Parameters
    ----------
    setting : Setting
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

    setting: Setting
    stored_bytes: int
    nonzero_bytes: int
    clip_count: int
    correct_count: int
    log_loss: float
    correct_by_network: dict[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Test:
    """Scores of one run's test clips: (networks, windows, labels), and what they are of."""

    windows: NDArray[np.float64]
    clip_of_window: NDArray[np.int64]
    truth: NDArray[np.int64]
    stored_bytes: int
    nonzero_bytes: int


def find_runs(folder: Path) -> list[Path]:
    """Return the runs in a folder: itself, or the folds of a cross-validation.

    Raises
    ------
    TrainingError
        There is none, or one has nothing to test on.
    """
    runs = sorted(folder.glob("fold-*")) or [folder]
    for run in runs:
        if not Plan.load(run).open().test_parts:
            raise TrainingError(f"{run} trained on every part; name a run that has clips left to test on")
    return runs


def trade_off(folder: Path, reporter: Reporter, settings: Sequence[Setting] = POINTS) -> list[Point]:
    """Test a run, or all folds of a cross-validation, under each setting.

    Parameters
    ----------
    folder : Path
        A folder of `fit` or of `cross-validate`.
    reporter : Reporter
        Told how far it is.
    settings : sequence of Setting
        What is tried.

    Raises
    ------
    TrainingError
        There is no trained run, or nothing to test it on.
    """
    runs = find_runs(folder)
    tests: dict[Setting, list[_Test]] = {setting: [] for setting in settings}
    for number, run in enumerate(runs):
        plan = Plan.load(run)
        for done, (setting, test) in enumerate(_test_run(plan, run, reporter, settings), start=1):
            tests[setting].append(test)
            reporter.step("storing and testing", number * len(settings) + done, len(runs) * len(settings))
    rule = Plan.load(runs[0]).recipe.fusion.rule
    return [_judge(setting, found, rule) for setting, found in tests.items()]


def prune(model: Any, settings: NetworkSettings, share: float) -> None:
    """Set the smallest weights of each convolution to zero (magnitude pruning, Han et al., 2015)."""
    for number, row in enumerate(table_of_rows(settings), start=1):
        for name in ("near", "first_half", "second_half", "all") if row.decomposed else ("conv",):
            kernel = model.get_layer(f"block{number}_{name}").kernel
            values = np.asarray(kernel).copy()
            smallest = np.argsort(np.abs(values), axis=None)[: int(share * values.size)]
            values.reshape(-1)[smallest] = 0.0
            kernel.assign(values)


def _test_run(
    plan: Plan, run: Path, reporter: Reporter, settings: Sequence[Setting]
) -> Iterator[tuple[Setting, _Test]]:
    selection, features = prepare_run(plan, reporter)
    labels = selection.dataset.labels
    windows = features.windows_of(selection.test_clips)
    owners = np.searchsorted(np.asarray(selection.test_clips), features.clip_of_window[windows])
    truth = np.array([labels.index(selection.dataset.clips[clip].label) for clip in selection.test_clips], np.int64)
    networks = [_Stored(plan, run, name, len(labels)) for name in NETWORK_NAMES]
    for setting in settings:
        sizes = np.sum([network.store(setting) for network in networks], axis=0)
        scores = np.stack([network.score(features, windows) for network in networks])
        yield setting, _Test(scores, owners, truth, int(sizes[0]), int(sizes[1]))


class _Stored:
    """A trained network that is stored in one way after another."""

    def __init__(self, plan: Plan, run: Path, name: str, label_count: int) -> None:
        self._recipe, self._name = plan.recipe, name
        self._standardisation = read_standardisation(run, name)
        self._model = load_weights(plan, run, name, label_count)
        self._trained = [np.asarray(variable).copy() for variable in self._model.weights]
        self._network = FastNetwork(self._model, plan.recipe.network, batch_size=1)

    def store(self, setting: Setting) -> tuple[int, int]:
        """Give the network the values it would be stored with; return its bytes, and those that are not 0."""
        for variable, value in zip(self._model.weights, self._trained, strict=True):
            variable.assign(value)
        prune(self._model, self._recipe.network, setting.pruned_share)
        store_in_model(self._model, self._recipe.network, setting.weight_bits)
        merged = merge(self._model, self._recipe.network)
        content = pack(merged, setting.weight_bits)
        return len(content), nonzero_bytes(unpack(content, merged, setting.weight_bits), setting.weight_bits)

    def score(self, features: Features, windows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores of some windows: (windows, labels)."""
        spectra = features.spectra[self._name]
        return score_model(self._network, spectra, windows, self._recipe.front_end, self._standardisation)


def _judge(setting: Setting, tests: Sequence[_Test], rule: str) -> Point:
    truth = np.concatenate([test.truth for test in tests])

    def joined(rows: slice, by: str) -> NDArray[np.float64]:
        return np.concatenate([fuse_clips(test.windows[rows], test.clip_of_window, by) for test in tests])

    fused = joined(slice(None), rule)
    alone = {name: joined(slice(row, row + 1), RULES[0]) for row, name in enumerate(NETWORK_NAMES)}
    return Point(
        setting,
        tests[0].stored_bytes,
        round(float(np.mean([test.nonzero_bytes for test in tests]))),
        len(truth),
        int((fused.argmax(axis=1) == truth).sum()),
        round(log_loss(fused, truth), 4),
        {name: int((scores.argmax(axis=1) == truth).sum()) for name, scores in alone.items()},
    )
