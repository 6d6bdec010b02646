"""What a network's folder holds decides what is left to train."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene.settings import NETWORK_NAMES
from soundscene_train import fitting
from soundscene_train.errors import TrainingError
from soundscene_train.export import ExportNames
from soundscene_train.features import measure_standardisation
from soundscene_train.fitting import Training, epochs_kept, fit_networks
from soundscene_train.noises import band_noises
from soundscene_train.plan import Plan, read_standardisation
from soundscene_train.responses import band_responses
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


def test_the_constants_are_those_of_what_is_trained_on(esc_plan: Plan, esc_run: Path) -> None:
    """Each network's input is standardised by the windows of the training parts; nothing is learnt of the test."""
    selection = esc_plan.open()
    features = esc_plan.features(selection)
    for name in NETWORK_NAMES:
        trained, everything = (
            measure_standardisation(features.spectra[name], features.windows_of(clips), esc_plan.recipe.front_end)
            for clips in (selection.train_clips, range(len(selection.dataset.clips)))
        )
        assert read_standardisation(esc_run, name) == trained != everything


@pytest.mark.parametrize("network", ["gammatone", "cqt"])
def test_a_network_is_trained_with_noise_and_unlike_devices_in_its_own_bands(
    esc_plan: Plan, tmp_path: Path, network: str
) -> None:
    """Of the responses in a folder, those that are held out for tests are not trained with."""
    for seed, name in enumerate(("phone", "speaker", "unseen")):
        samples = np.random.default_rng(seed).standard_normal(32)
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000, subtype="FLOAT")
    asked = {"response_probability": 0.5, "held_out_responses": ("unseen",), "noise_probability": 0.5}
    augmentation = replace(esc_plan.recipe.augmentation, **asked)  # type: ignore[arg-type]
    plan = replace(esc_plan, recipe=replace(esc_plan.recipe, augmentation=augmentation), responses_dir=tmp_path)
    selection = plan.open()
    material = fitting._make_trainer(plan, selection, plan.features(selection), network).material
    front_end = plan.recipe.front_end
    every = band_responses(front_end, tmp_path)[network]
    assert material.responses is not None
    np.testing.assert_array_equal(material.responses, every[:2])
    assert material.noises is not None
    np.testing.assert_array_equal(material.noises, band_noises(front_end)[network])


def test_a_training_that_is_killed_loses_four_epochs_at_most(esc_plan: Plan, tmp_path: Path) -> None:
    """Every fifth epoch is kept; the next call goes on from it, and the history names each epoch once."""
    training = Training(replace(esc_plan, recipe=esc_plan.recipe.with_fit(epochs=7)), tmp_path / "run", "mel")

    def end(_: Training, epoch: int, loss: float) -> None:
        if epoch == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_networks([training], report=end)
    assert epochs_kept(training) == 5
    told: list[int] = []
    fit_networks([training], report=lambda _, epoch, loss: told.append(epoch))
    assert told == [6, 7]
    lines = (training.home / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 8))
