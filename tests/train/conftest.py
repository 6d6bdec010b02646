"""A front end, a recipe and a data set so small that a whole run takes seconds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene.settings import FrontEndSettings
from soundscene_train.augmentation import Array
from soundscene_train.network import NetworkSettings
from soundscene_train.plan import Plan
from soundscene_train.recipe import AugmentationSettings, FitSettings, Recipe
from soundscene_train.stages import Reporter, fit_run

TINY_FRONT_END = FrontEndSettings(
    sample_rate_hz=16_000,
    window_size_samples=1024,
    fft_size_samples=2048,
    hop_size_samples=400,
    patch_frames=32,
    step_frames=16,
    band_count=32,
    cqt_min_frequency_hz=100.0,
    cqt_bins_per_octave=6,
    remove_band_means=("gammatone",),
)
"""A window is 16,624 samples, 1.04 s."""

TINY_NETWORK = NetworkSettings(widths=(4, 8, 8, 8, 8, 8))


def make_tiny_recipe() -> Recipe:
    return Recipe(
        name="tiny",
        front_end=TINY_FRONT_END,
        network=TINY_NETWORK,
        fit=FitSettings(epochs=2, batch_size=8, learning_rate=3e-3),
        augmentation=AugmentationSettings(frequency_mask_bands=4, time_mask_frames=4),
    )


@pytest.fixture
def tiny_recipe() -> Recipe:
    return make_tiny_recipe()


@pytest.fixture(scope="session")
def esc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ESC layout with three classes in three folds, four clips each: tones, noise and clicks."""
    folder = tmp_path_factory.mktemp("esc")
    write_esc(folder)
    return folder


@pytest.fixture
def esc_plan(esc_folder: Path) -> Plan:
    """Train on folds 1 and 2, test on fold 3; spectrograms are computed once for all tests of a process."""
    return Plan(make_tiny_recipe(), "esc10", esc_folder, esc_folder / "cache")


@pytest.fixture(scope="session")
def _trained(esc_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "run"
    fit_run(Plan(make_tiny_recipe(), "esc10", esc_folder, esc_folder / "cache"), folder, Reporter())
    return folder


@pytest.fixture
def esc_run(_trained: Path, tmp_path: Path) -> Path:
    """A test's own copy of what `fit` leaves of `esc_plan`, trained once for all tests of a process."""
    return Path(shutil.copytree(_trained, tmp_path / "esc-run"))


def write_esc(folder: Path, clips_per_fold: int = 4, seconds: float = 1.1) -> None:
    (folder / "audio").mkdir()
    (folder / "meta").mkdir()
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for target, (label, make) in enumerate(SOUNDS.items()):
        for fold in (1, 2, 3):
            for index in range(clips_per_fold):
                name = f"{fold}-{target}{index}-A-{target}.wav"
                generator = np.random.default_rng([target, fold, index])
                samples = 0.1 * make(round(16_000 * seconds), generator)
                soundfile.write(folder / "audio" / name, samples, 16_000, subtype="PCM_16")
                rows.append(f"{name},{fold},{target},{label},True,{target}{fold}{index},A")
    (folder / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")


def _tone(count: int, generator: np.random.Generator) -> Array:
    return np.asarray(np.sin(generator.uniform(0.1, 0.5) * np.arange(count)), np.float32)


def _noise(count: int, generator: np.random.Generator) -> Array:
    return generator.standard_normal(count).astype(np.float32).clip(-4, 4)


def _clicks(count: int, generator: np.random.Generator) -> Array:
    samples = 1e-3 * _noise(count, generator)
    samples[:: int(generator.integers(1000, 3000))] = 5.0
    return samples


SOUNDS: dict[str, Callable[[int, np.random.Generator], Array]] = {"clicks": _clicks, "noise": _noise, "tone": _tone}
