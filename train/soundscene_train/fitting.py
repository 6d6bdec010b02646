"""Training a run's networks, one after the other or side by side in processes, with progress anyone can read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundscene_train.batches import TrainingWindows
from soundscene_train.checkpoints import reading_checkpoint
from soundscene_train.datasets import Selection
from soundscene_train.errors import TrainingError
from soundscene_train.fast_trainer import FastTrainer
from soundscene_train.features import Features, measure_standardisation
from soundscene_train.files import write_json, writing
from soundscene_train.keras_trainer import KerasTrainer
from soundscene_train.machines import Machines
from soundscene_train.noises import band_noises
from soundscene_train.plan import Plan, read_standardisation
from soundscene_train.processes import process_pool
from soundscene_train.responses import band_responses, trained_responses
from soundscene_train.run_folders import CHECKPOINT_NAME, HISTORY_NAME, STANDARDISATION_NAME
from soundscene_train.teaching import taught_targets
from soundscene_train.trainer import Trainer

__all__ = ["Training", "epochs_kept", "fit_network", "fit_networks", "one_hot_targets", "require_ingredients"]

_POLL_SECONDS: Final = 0.3
_CHECKPOINT_EPOCHS: Final = 5
_LOCK_NAME: Final = ".lock"
_MAKE_ROOM: Final = "make room and run the same command again: it goes on from the last checkpoint"


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """One network to be trained.

    Parameters
    ----------
    plan : Plan
        Of its run.
    folder : Path
        The run's folder.
    network : str
        One of `NETWORK_NAMES`.
    """

    plan: Plan
    folder: Path
    network: str

    @property
    def home(self) -> Path:
        """The network's own folder."""
        return self.folder / self.network


EpochReport = Callable[[Training, int, float], None]
"""Called with what is trained, epochs done and training loss."""


def require_ingredients(plan: Plan) -> None:
    """Look for what a recipe needs beside the data, before hours are spent on these.

    Raises
    ------
    TrainingError
        The recipe asks for a teacher and none is named, or the other way round; or a folder is not what it should be;
        or Keras is to run on what the engine does not.
    """
    recipe = plan.recipe
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if recipe.fit.engine == "fast" and backend != "tensorflow":
        raise TrainingError(f"KERAS_BACKEND={backend} is for --engine keras; unset it, or name that engine")
    if (recipe.fit.teacher_share > 0.0) != (plan.teacher_dir is not None):
        raise TrainingError("a recipe with teacher_share above 0 needs --teacher, a run's folder; others take none")
    if plan.teacher_dir is not None:
        Plan.load(plan.teacher_dir)
    trained_responses(plan.responses_dir, recipe.augmentation)


def fit_networks(
    work: Sequence[Training],
    jobs: int = 1,
    report: EpochReport | None = None,
    finished: Callable[[Training], None] | None = None,
) -> None:
    """Train networks to their last epoch, of one run or of several, going on from the checkpoints that are there.

    Parameters
    ----------
    work : sequence of Training
        In the order in which they are begun. Their plans are saved and their features prepared.
    jobs : int > 0
        Processes; each trains one network at a time, on one core.
    report : callable or None
        Told each epoch.
    finished : callable or None
        Told each network once it is trained, first of all those that were before.

    Raises
    ------
    TrainingError
        Training cannot go on.
    """
    finished = finished or (lambda _: None)
    if jobs > 1 and any(training.plan.recipe.fit.devices != "one" for training in work):
        raise TrainingError("several jobs would each take all devices; leave out --jobs or --devices")
    left = []
    for training in work:
        if _is_trained(training):
            finished(training)
        else:
            left.append(training)
    if jobs == 1 or len(left) < 2:
        for training in left:
            fit_network(training, report)
            finished(training)
        return
    with process_pool(min(jobs, len(left))) as pool:
        _follow({pool.submit(fit_network, training): training for training in left}, report, finished)


def fit_network(training: Training, report: EpochReport | None = None) -> None:
    """Train one network to its last epoch; of several machines, the first writes what is kept.

    Raises
    ------
    TrainingError
        Another process trains it, or training cannot go on.
    """
    if not Machines.from_environment().is_first:
        _fit_network(training, report, writes=False)
        return
    with _alone_in(training.home):
        _fit_network(training, report, writes=True)


def _fit_network(training: Training, report: EpochReport | None, *, writes: bool) -> None:
    plan, home = training.plan, training.home
    selection = plan.open()
    trainer = _make_trainer(plan, selection, plan.features(selection), training.network)
    if writes:
        plan.save(home)
    trainer.resume(home / CHECKPOINT_NAME)
    if writes:
        with writing(home, advice=_MAKE_ROOM):
            _write_beginning(trainer, home)
    while not trainer.is_done:
        loss = trainer.train_epoch()
        if writes:
            with writing(home, advice=_MAKE_ROOM):
                _write_epoch(trainer, home)
        if report is not None:
            report(training, trainer.epochs_done, loss)


@contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """Make a network's folder, and keep other processes from training it; one that is killed lets go of it.

    Raises
    ------
    TrainingError
        Another process trains it, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(home / _LOCK_NAME, timeout=0)
    with writing(home, advice=_MAKE_ROOM):
        home.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise TrainingError(
                f"{home}: another process is training this network; wait for it, or train this one in another folder"
            ) from error
    try:
        yield
    finally:
        lock.release()


def one_hot_targets(selection: Selection, features: Features, windows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Targets of some windows [shape=(n, labels), float32]."""
    labels = selection.dataset.labels
    position = np.array([labels.index(clip.label) for clip in selection.dataset.clips])
    rows: NDArray[np.float32] = np.eye(len(labels), dtype=np.float32)[position[features.clip_of_window[windows]]]
    return rows


def epochs_kept(training: Training) -> int:
    """Return how many epochs a network has behind it, 0 where a file of it is missing, damaged or another's."""
    with suppress(TrainingError):
        read_standardisation(training.folder, training.network)
        with reading_checkpoint(training.home / CHECKPOINT_NAME, training.network, "") as state:
            return int(state["epochs"])
    return 0


def _is_trained(training: Training) -> bool:
    """Tell whether nothing is left to do; several machines go the whole way, to find out that they see one folder."""
    if Machines.from_environment().count > 1 or epochs_kept(training) < training.plan.recipe.fit.epochs:
        return False
    training.plan.save(training.home)  # a checkpoint of another plan may have the same shapes
    return True


def _make_trainer(plan: Plan, selection: Selection, features: Features, network: str) -> Trainer:
    """Measure the standardisation, and put together what is trained on."""
    front_end = plan.recipe.front_end
    windows = features.windows_of(selection.train_clips)
    standardisation = measure_standardisation(features.spectra[network], windows, front_end)
    material = TrainingWindows(
        features.spectra[network],
        windows,
        _targets(plan, selection, features, windows),
        standardisation,
        _responses(plan, network),
        band_noises(front_end)[network] if plan.recipe.augmentation.noise_probability > 0.0 else None,
    )
    engine = KerasTrainer if plan.recipe.fit.engine == "keras" else FastTrainer
    return engine(network, plan.recipe, material)


def _targets(plan: Plan, selection: Selection, features: Features, windows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the labels, or what a teacher makes of them."""
    targets = one_hot_targets(selection, features, windows)
    if plan.teacher_dir is None:
        return targets
    return taught_targets(targets, plan.teacher_dir, selection, features, plan.recipe.fit)


def _responses(plan: Plan, network: str) -> NDArray[np.float32] | None:
    settings = plan.recipe.augmentation
    if settings.response_probability == 0.0:
        return None
    return band_responses(plan.recipe.front_end, plan.responses_dir, settings.held_out_responses)[network]


def _write_beginning(trainer: Trainer, home: Path) -> None:
    """Write the constants of the network's input, and the epochs that are done already."""
    write_json(home / STANDARDISATION_NAME, trainer.material.standardisation.to_dict())
    lines = [_history_line(epoch, loss) for epoch, loss in enumerate(trainer.history, start=1)]
    (home / HISTORY_NAME).write_text("".join(lines), encoding="utf-8")


def _write_epoch(trainer: Trainer, home: Path) -> None:
    """Add an epoch to the history, and from time to time write the checkpoint."""
    with (home / HISTORY_NAME).open("a", encoding="utf-8") as stream:
        stream.write(_history_line(trainer.epochs_done, trainer.history[-1]))
    if trainer.epochs_done % _CHECKPOINT_EPOCHS == 0 or trainer.is_done:
        trainer.save(home / CHECKPOINT_NAME)


def _history_line(epoch: int, loss: float) -> str:
    return json.dumps({"epoch": epoch, "loss": loss}) + "\n"


def _follow(
    work: Mapping[Future[None], Training], report: EpochReport | None, finished: Callable[[Training], None]
) -> None:
    """Read the histories that the processes write until all are done; stop at the first error."""
    seen = {training: len(_history(training)) for training in work.values()}
    pending = set(work)
    while pending:
        done, pending = wait(pending, _POLL_SECONDS)
        for training, count in list(seen.items()):
            lines = _history(training)  # fewer than before where a training has gone back to its checkpoint
            seen[training] = len(lines)
            for line in lines[count:]:
                entry = json.loads(line)
                if report is not None:
                    report(training, entry["epoch"], entry["loss"])
        for future in done:
            future.result()
            finished(work[future])


def _history(training: Training) -> list[str]:
    """Lines that are written to their end."""
    path = training.home / HISTORY_NAME
    if not path.is_file():
        return []
    return [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
