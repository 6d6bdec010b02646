"""What a network's folder holds decides what is left to train."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from soundscene_train.errors import TrainingError
from soundscene_train.export import ExportNames
from soundscene_train.plan import Plan
from soundscene_train.stages import Reporter, evaluate_run, export_run, fit_run


@pytest.mark.parametrize("damage", [b"", b"{", b"{}"])
def test_damaged_constants_of_a_trained_network_are_measured_again(
    esc_plan: Plan, esc_run: Path, damage: bytes
) -> None:
    """`fit` writes a damaged standardisation.json anew, as it was, and trains nothing again."""
    path, checkpoint = esc_run / "mel" / "standardisation.json", esc_run / "mel" / "checkpoint.npz"
    before, trained = path.read_bytes(), checkpoint.read_bytes()
    path.write_bytes(damage)
    fit_run(esc_plan, esc_run, Reporter(), ["mel"])
    assert path.read_bytes() == before
    assert checkpoint.read_bytes() == trained


@pytest.mark.parametrize(
    "stage",
    [
        lambda plan, run: fit_run(plan, run, Reporter()),
        lambda plan, run: evaluate_run(plan, run, Reporter()),
        lambda plan, run: export_run(plan, run, run / "bundle", ExportNames("swapped")),
    ],
    ids=["fit", "evaluate", "export"],
)
def test_the_checkpoint_of_another_network_is_refused(
    esc_plan: Plan, esc_run: Path, stage: Callable[[Plan, Path], object]
) -> None:
    """Every stage names a checkpoint that was copied from another network of the same shapes."""
    shutil.copy(esc_run / "mel" / "checkpoint.npz", esc_run / "gammatone")
    with pytest.raises(
        TrainingError, match=r"gammatone/checkpoint.npz: not .* \(it is of the network mel, not gammatone\); remove it"
    ):
        stage(esc_plan, esc_run)


def test_a_checkpoint_that_does_not_say_whose_it_is_counts_as_trained(esc_plan: Plan, esc_run: Path) -> None:
    """Runs of earlier versions, whose checkpoints name no network, are neither trained again nor refused."""
    path = esc_run / "mel" / "checkpoint.npz"
    with np.load(path) as held:
        np.savez(path, **{name: held[name] for name in held.files if name != "network"})
    before = path.read_bytes()
    fit_run(esc_plan, esc_run, Reporter(), ["mel"])
    assert path.read_bytes() == before
    evaluate_run(esc_plan, esc_run, Reporter())
