"""One cell is one training: a network, a time length, with or without augmentation, and a seed.

Tables share cells, so that a cell is trained once. Each has a run's folder and goes on where it was interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from soundscene.settings import NETWORK_NAMES, FrontEndSettings
from soundscene_train.assessment.assess import results_of
from soundscene_train.datasets import Selection
from soundscene_train.datasets.clips import digest_of
from soundscene_train.files import read_json, write_json, writing
from soundscene_train.fitting import Training, require_ingredients
from soundscene_train.network import CHANNEL_RESTRICTED_WIDTHS, CNN7_WIDTHS, NetworkSettings
from soundscene_train.plan import Plan
from soundscene_train.recipe import AugmentationSettings, Recipe
from soundscene_train.stages import Reporter, fit_runs, make_data, prepare_run, score_test

__all__ = ["LENGTHS", "NETWORKS", "Cell", "Results", "train_cells"]

LENGTHS: Final = {"1 s": "paper-1s", "2 s": "paper-2s", "5 s": "paper", "10 s": "paper-10s"}
"""The paper's names of its time lengths, and the presets that make them."""

NETWORKS: Final = {
    "DCASE baseline size class": NetworkSettings((12, 24, 24, 24, 48, 48), decomposed=False),
    "CNN-7": NetworkSettings(CNN7_WIDTHS, decomposed=False),
    "CR": NetworkSettings(CHANNEL_RESTRICTED_WIDTHS, decomposed=False),
    "CR + DC": NetworkSettings(CHANNEL_RESTRICTED_WIDTHS, decomposed=True),
}
"""Rows of Table IV. The first is CNN-7 narrowed to 45,322 parameters; the baseline itself has 46,246."""

_RESULT: Final = "result.json"
_PLAIN: Final = AugmentationSettings(mixup_alpha=0.0, frequency_mask_bands=0, time_mask_frames=0, roll=False)


@dataclass(frozen=True, slots=True)
class Cell:
    """What one training is of.

    Parameters
    ----------
    network : str
        A key of `NETWORKS`.
    length : str
        A key of `LENGTHS`.
    augmented : bool
        With the recipe's mixup and masks, or with none.
    inputs : tuple of str
        Which of `NETWORK_NAMES` are trained.
    """

    network: str = "CR + DC"
    length: str = "5 s"
    augmented: bool = True
    inputs: tuple[str, ...] = NETWORK_NAMES

    def folder(self, root: Path, seed: int) -> Path:
        """Return the cell's folder, the same for every table."""
        words = (self.network, self.length, "augmented" if self.augmented else "plain", f"seed-{seed}")
        return root / "-".join(words).lower().replace(" + ", "-").replace(" ", "-")

    def recipe(self, base: Recipe, seed: int) -> Recipe:
        """Lay the cell on a recipe."""
        return replace(
            base,
            seed=seed,
            front_end=FrontEndSettings.preset(LENGTHS[self.length]),
            network=replace(NETWORKS[self.network], dropout=base.network.dropout),
            augmentation=base.augmentation if self.augmented else _PLAIN,
        )


Results = Mapping[str, Any]
"""From classifiers to `Result.to_dict`: a cell's inputs and, where all three are trained, the rules that join them."""


def train_cells(
    cells: Collection[Cell],
    base: Plan,
    root: Path,
    seed: int,
    reporter: Reporter,
    *,
    finished: Callable[[Cell, Results], None],
    jobs: int = 1,
) -> None:
    """Train and test cells, or read what an earlier call found; networks of different cells train side by side.

    Parameters
    ----------
    cells : collection of Cell
        In the order in which they are begun.
    base : Plan
        What the cells are laid on.
    root : Path
        Gets a folder for each cell.
    seed : int
        Of all of them.
    reporter : Reporter
        Told how far it is.
    finished : callable
        Told each cell with its results, as soon as it is tested.
    jobs : int > 0
        Processes that train.

    Raises
    ------
    TrainingError
        The data leaves nothing to test, or a cell's folder belongs to another plan.
    """
    plans = {cell: replace(base, recipe=cell.recipe(base.recipe, seed)) for cell in cells}
    tests = {cell: _require_ready(plan, cell.folder(root, seed), reporter) for cell, plan in plans.items()}
    missing = []
    for cell, test in tests.items():
        if (held := _held(cell, cell.folder(root, seed), test)) is not None:
            finished(cell, held)
        else:
            missing.append(cell)
    work = [Training(plans[cell], cell.folder(root, seed), network) for cell in missing for network in cell.inputs]
    homes = {cell.folder(root, seed): cell for cell in missing}
    trained: Counter[Path] = Counter()

    def test_when_complete(training: Training) -> None:
        cell = homes[training.folder]
        trained[training.folder] += 1
        if trained[training.folder] == len(cell.inputs):
            finished(cell, _test(cell, training.plan, training.folder, reporter))

    fit_runs(work, reporter, jobs, test_when_complete)


def _require_ready(plan: Plan, folder: Path, reporter: Reporter) -> str:
    """Refuse, before anything is trained, what will not end in a tested cell; return the digest of its test."""
    require_ingredients(plan)
    make_data(plan, reporter)
    selection = plan.open()
    selection.require_test()
    plan.pinned(selection).require_free(folder)
    return _digest(selection)


def _digest(selection: Selection) -> str:
    return digest_of(selection.dataset.clips[index] for index in selection.test_clips)


def _held(cell: Cell, folder: Path, test: str) -> Results | None:
    """Return the figures that an earlier call found, if they are of these test clips and of all the cell's inputs."""
    path = folder / _RESULT
    held = read_json(path, "the figures of a cell", "remove it to test the cell again") if path.is_file() else {}
    results: Results = held["results"] if isinstance(held, dict) and held.get("test") == test else {}
    return results if set(cell.inputs) <= set(results) else None


def _test(cell: Cell, plan: Plan, folder: Path, reporter: Reporter) -> Results:
    """Test a trained cell and write its figures down."""
    selection, features = prepare_run(plan, reporter)
    scores = score_test(plan, folder, selection, features, cell.inputs)
    results = results_of(scores, plan.recipe.fusion.rule, cell.inputs)
    found = {name: result.to_dict() for name, result in results.items()}
    with writing(folder / _RESULT):
        write_json(folder / _RESULT, {"test": _digest(selection), "results": found})
    return found
