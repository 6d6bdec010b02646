"""The shipped frozen graphs run in Essentia's own TensorFlow and give the scores of LiteRT (`make essentia`)."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from scripts.pytest_services import unavailable
from soundscene.bundle import Bundle, load_bundle
from soundscene.frontend import FrontEnd, patch
from soundscene.settings import NETWORK_NAMES
from soundscene.synthesis import SCENE_NAMES, synthesise
from soundscene_train import graphs

ROOT = Path(__file__).resolve().parents[2]
OTHER_PYTHON = Path(os.environ.get("SOUNDSCENE_ESSENTIA_PYTHON", ROOT / ".venv-essentia" / "bin" / "python"))
PROGRAM = ROOT / "scripts" / "essentia_scores.py"

pytestmark = pytest.mark.slow
Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    """The bundle in the package."""
    return load_bundle()


@pytest.fixture(scope="module")
def patches(bundle: Bundle) -> dict[str, Array]:
    """Each network's input for ten scenes, made as the stream makes it."""
    front_end, settings = FrontEnd(bundle.front_end), bundle.front_end
    generator = np.random.default_rng(0)
    sounds = [
        synthesise(scene, settings.window_length_samples / settings.sample_rate_hz, settings.sample_rate_hz, generator)
        for scene in SCENE_NAMES
    ]
    spectra = [front_end.window_spectra(sound) for sound in sounds]
    return {
        name: patch(
            np.stack([getattr(window, name) for window in spectra]), settings, name, bundle.standardisation[name]
        )
        for name in NETWORK_NAMES
    }


def essentia_scores(graph: Path, description: Path, patches: Array, folder: Path) -> Array:
    """Score patches in a process of its own: two TensorFlow runtimes cannot share one."""
    if not OTHER_PYTHON.is_file():
        unavailable("essentia-tensorflow is in an environment of its own: `make essentia` makes it and runs this test")
    np.save(folder / "patches.npy", patches.astype(np.float32, order="C"))
    command = [str(OTHER_PYTHON), str(PROGRAM), str(graph), str(description)]
    command += [str(folder / "patches.npy"), str(folder / "scores.npy")]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    scores: Array = np.load(folder / "scores.npy")
    return scores


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_essentia_scores_the_shipped_graphs_as_litert(
    name: str, bundle: Bundle, patches: dict[str, Array], tmp_path: Path
) -> None:
    """Each `.pb` in the package gives in TensorflowPredict what its `.tflite` gives the worker, to 1e-5."""
    stem = bundle.directory / f"soundscene-{name}-esc10-6"
    found = essentia_scores(stem.with_suffix(".pb"), stem.with_suffix(".json"), patches[name], tmp_path)
    expected = graphs.run_litert(bundle.networks[name], patches[name], len(bundle.labels))
    assert np.ptp(expected, axis=0).max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-5)
