"""A bundle says how it scored a known sound, and a machine that scores it otherwise is found out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from soundscene.bundle import Bundle, load_bundle
from soundscene.classifier import SceneClassifier
from soundscene.cli import main
from soundscene.errors import BundleError
from soundscene.known_sound import known_sound, require_known_scores
from soundscene.settings import NETWORK_NAMES, FrontEndSettings


@pytest.fixture
def forged(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle whose stored scores are those of other networks."""
    folder = tmp_path / "forged"
    shutil.copytree(tiny_bundle.directory, folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["self_test"]["cqt"] = [0.7, 0.1, 0.1, 0.1]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_the_known_sound_is_heard_in_every_band() -> None:
    """It stays within full scale, and each band of each input comes within 80 dB of the strongest."""
    from soundscene.frontend import FrontEnd

    settings = FrontEndSettings()
    sound = known_sound(settings)
    assert 0.3 < np.abs(sound).max() < 1.0
    spectra = FrontEnd(settings).window_spectra(sound)
    for name in NETWORK_NAMES:
        spectrum = getattr(spectra, name)
        assert (spectrum.max(axis=0) > spectrum.max() - np.log(1e8)).all(), name


def test_a_bundle_scores_its_known_sound_as_its_maker_did(tiny_bundle: Bundle) -> None:
    """What was written is what is computed, and the shipped bundle too."""
    assert require_known_scores(SceneClassifier(tiny_bundle)) < 1e-5
    assert require_known_scores(SceneClassifier(load_bundle())) < 1e-5


def test_other_scores_than_the_stored_ones_are_refused(forged: Path) -> None:
    """The message says by how much."""
    with pytest.raises(BundleError, match=r"known sound differ by \d\.\de-01"):
        require_known_scores(SceneClassifier(load_bundle(forged)))


def test_info_checks_on_demand(tiny_bundle: Bundle, forged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`soundscene info --check` passes a good bundle and refuses one that computes otherwise, with exit code 2."""
    assert main(["info", "--check", "--json", str(tiny_bundle.directory)]) == 0
    assert json.loads(capsys.readouterr().out)["self_test"]["passed"]
    assert main(["info", "--check", str(forged)]) == 2
    assert "known sound" in capsys.readouterr().err
