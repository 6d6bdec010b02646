"""Training a run's networks, one after the other or side by side in processes, with progress anyone can read."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from soundscene.settings import NETWORK_NAMES
from soundscene_train.batches import TrainingWindows
from soundscene_train.datasets import Selection
from soundscene_train.errors import TrainingError
from soundscene_train.fast_trainer import FastTrainer
from soundscene_train.features import Features, measure_standardisation
from soundscene_train.files import write_json, writing
from soundscene_train.keras_trainer import KerasTrainer
from soundscene_train.machines import Machines
from soundscene_train.noises import band_noises
from soundscene_train.plan import Plan
from soundscene_train.processes import process_pool
from soundscene_train.responses import band_responses, responses_to_train_with
from soundscene_train.teaching import taught_targets
from soundscene_train.trainer import Trainer

__all__ = ["EpochReport", "fit_networks", "one_hot_targets", "require_ingredients"]

EpochReport = Callable[[str, int, float], None]
"""Called with network, epochs done and training loss."""

_POLL_SECONDS: Final = 0.3
_CHECKPOINT_EPOCHS: Final = 5
_CHECKPOINT_NAME: Final = "checkpoint.npz"
_HISTORY_NAME: Final = "history.jsonl"
_MAKE_ROOM: Final = "make room and run the same command again: it goes on from the last checkpoint"


def require_ingredients(plan: Plan) -> None:
    """Look for what a recipe needs beside the data, before hours are spent on these.

    Raises
    ------
    TrainingError
        The recipe asks for a teacher and none is named, or the other way round; or a folder is not what it should be.
    """
    recipe = plan.recipe
    if (recipe.fit.teacher_share > 0.0) != (plan.teacher_dir is not None):
        raise TrainingError("a recipe with teacher_share above 0 needs --teacher, a run's folder; others take none")
    if plan.teacher_dir is not None:
        Plan.load(plan.teacher_dir)
    if recipe.augmentation.response_probability > 0.0 and plan.responses_dir is not None:
        responses_to_train_with(plan.responses_dir, recipe.augmentation.held_out_responses)


def fit_networks(
    plan: Plan,
    folder: Path,
    networks: Sequence[str] = NETWORK_NAMES,
    jobs: int = 1,
    report: EpochReport | None = None,
) -> None:
    """Train networks to their last epoch, going on from the checkpoints that are there.

    Parameters
    ----------
    plan : Plan
        Already saved in `folder`, its features prepared.
    folder : Path
        The run's folder.
    networks : sequence of str
        Which of `NETWORK_NAMES`.
    jobs : int > 0
        Processes; each takes one core.
    report : callable or None
        Told each epoch.

    Raises
    ------
    TrainingError
        Training cannot go on.
    """
    if jobs > 1 and plan.recipe.fit.devices != "one":
        raise TrainingError("several jobs would each take all devices; leave out --jobs or --devices")
    if jobs == 1:
        for network in networks:
            fit_network(plan, folder, network, report)
        return
    seen = dict.fromkeys(networks, 0)
    with process_pool(jobs) as pool:
        work = [pool.submit(fit_network, plan, folder, network) for network in networks]
        _follow(work, folder, seen, report)


def fit_network(plan: Plan, folder: Path, network: str, report: EpochReport | None = None) -> None:
    """Train one network to its last epoch; of several machines, the first writes what is kept."""
    home = folder / network
    selection = plan.open()
    trainer = _make_trainer(plan, selection, plan.features(selection), network)
    trainer.resume(home / _CHECKPOINT_NAME)
    writes = Machines.from_environment().is_first
    with writing(home, advice=_MAKE_ROOM):
        home.mkdir(parents=True, exist_ok=True)
        if writes:
            _write_beginning(trainer, home)
    while not trainer.is_done:
        loss = trainer.train_epoch()
        if writes:
            with writing(home, advice=_MAKE_ROOM):
                _write_epoch(trainer, home)
        if report is not None:
            report(network, trainer.epochs_done, loss)


def one_hot_targets(selection: Selection, features: Features, windows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Targets of some windows [shape=(n, labels), float32]."""
    labels = selection.dataset.labels
    position = np.array([labels.index(clip.label) for clip in selection.dataset.clips])
    rows: NDArray[np.float32] = np.eye(len(labels), dtype=np.float32)[position[features.clip_of_window[windows]]]
    return rows


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
    write_json(home / "standardisation.json", trainer.material.standardisation.to_dict())
    lines = [_history_line(epoch, loss) for epoch, loss in enumerate(trainer.history, start=1)]
    (home / _HISTORY_NAME).write_text("".join(lines), encoding="utf-8")


def _write_epoch(trainer: Trainer, home: Path) -> None:
    """Add an epoch to the history, and from time to time write the checkpoint."""
    with (home / _HISTORY_NAME).open("a", encoding="utf-8") as stream:
        stream.write(_history_line(trainer.epochs_done, trainer.history[-1]))
    if trainer.epochs_done % _CHECKPOINT_EPOCHS == 0 or trainer.is_done:
        trainer.save(home / _CHECKPOINT_NAME)


def _history_line(epoch: int, loss: float) -> str:
    return json.dumps({"epoch": epoch, "loss": loss}) + "\n"


def _follow(work: list[Future[None]], folder: Path, seen: dict[str, int], report: EpochReport | None) -> None:
    """Read the histories that the processes write until all are done; stop at the first error."""
    pending: Any = set(work)
    while pending:
        done, pending = wait(pending, _POLL_SECONDS)
        for network, count in list(seen.items()):
            seen[network] = _report_new_lines(folder / network / _HISTORY_NAME, network, count, report)
        for future in done:
            future.result()


def _report_new_lines(path: Path, network: str, seen: int, report: EpochReport | None) -> int:
    """Report the epochs after `seen`; return how many there are by now."""
    if not path.is_file():
        return seen
    lines = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    for line in lines[seen:]:
        entry = json.loads(line)
        if report is not None:
            report(network, entry["epoch"], entry["loss"])
    return max(seen, len(lines))
