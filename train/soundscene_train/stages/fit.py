"""The second stage: the networks are trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from soundscene.settings import NETWORK_NAMES
from soundscene_train.datasets import Selection
from soundscene_train.errors import TrainingError
from soundscene_train.fitting import Training, fit_networks, require_ingredients
from soundscene_train.machines import Machines, join
from soundscene_train.network import multiply_add_count
from soundscene_train.plan import Plan
from soundscene_train.recipe import Recipe
from soundscene_train.run_folders import require_one_run
from soundscene_train.runtime import start_keras
from soundscene_train.stages.prepare import prepare_run
from soundscene_train.stages.reporter import Reporter
from soundscene_train.stages.workload import Workload
from soundscene_train.teaching import require_teacher

__all__ = ["fit_run", "fit_runs"]


def fit_run(
    plan: Plan, folder: Path, reporter: Reporter, networks: Sequence[str] = NETWORK_NAMES, jobs: int = 1
) -> None:
    """Train the networks of a run, going on where it stopped.

    Raises
    ------
    TrainingError
        As `fit_runs`, or the folder is a cross-validation's.
    MissingExtraError
        Keras or its backend is not installed.
    """
    require_one_run(folder)
    fit_runs([Training(plan, folder, network) for network in networks], reporter, jobs)


def fit_runs(
    work: Sequence[Training],
    reporter: Reporter,
    jobs: int = 1,
    finished: Callable[[Training], None] | None = None,
) -> None:
    """Train networks of one run or of several side by side, going on where they stopped.

    Of several machines, the others wait for the first, so that what is missing is made once. `finished` is told each
    network once it is trained, as by `fit_networks`.

    Raises
    ------
    TrainingError
        A folder belongs to another run, or is not the one that the first machine sees; or training cannot go on.
    MissingExtraError
        Keras or its backend is not installed.
    """
    runs = {training.folder: training.plan for training in work}
    for training in work:
        training.plan.require_free(training.home)
    begun = {folder: _begin(plan, folder, reporter, jobs) for folder, plan in runs.items()}
    work = [replace(training, plan=begun[training.folder][0]) for training in work]
    workload = Workload(work, [begun[training.folder][1] for training in work], jobs)

    def tell(training: Training, done: int, loss: float) -> None:
        name = training.network if len(runs) == 1 else f"{training.folder.name} {training.network}"
        reporter.epoch(name, done, training.plan.recipe.fit.epochs, loss)
        workload.advance(training, done)
        if len(work) > 1 and (seconds_left := workload.seconds_left()) is not None:
            reporter.whole(len(work), workload.percent, seconds_left)

    fit_networks(work, jobs, tell, finished)


def _begin(plan: Plan, folder: Path, reporter: Reporter, jobs: int) -> tuple[Plan, int]:
    """Prepare what a run is trained on, write its plan down, and return it, pinned, and its multiply-adds an epoch.

    What ends the preparation leaves no plan behind: the command that mends it may be another plan.
    """
    machines = Machines.from_environment()
    if machines.count > 1 and plan.recipe.fit.devices == "one":
        raise TrainingError("several machines train together with --engine keras --devices all only")
    if plan.recipe.fit.engine == "keras":
        start_keras()  # a backend that is missing should not be found out after hours of spectrograms
    require_ingredients(plan)
    if machines.is_first:
        plan.require_free(folder)
    else:
        join(machines)
        plan.require_in(folder)  # the first has written it, or this is another folder
    selection, features = prepare_run(plan, reporter, jobs=jobs)
    if plan.teacher_dir is not None:
        require_teacher(plan.teacher_dir, selection)
    pinned = plan.pinned(selection)
    if machines.is_first:
        pinned.save(folder)
        join(machines)
    else:
        pinned.require_in(folder)
    return pinned, _multiply_adds(plan.recipe, selection, len(features.windows_of(selection.train_clips)))


def _multiply_adds(recipe: Recipe, selection: Selection, window_count: int) -> int:
    """Count those of one network in one epoch, forwards."""
    bands, frames = recipe.front_end.band_count, recipe.augmentation.crop_frames or recipe.front_end.patch_frames
    return window_count * multiply_add_count(recipe.network, len(selection.dataset.labels), bands, frames)
