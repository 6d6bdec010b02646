"""Clips are looked at before work begins with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene.bundle import Bundle
from soundscene_train.__main__ import main


@pytest.mark.parametrize("stage", ["evaluate", "calibrate"])
def test_a_bundle_is_not_tested_on_clips_until_all_can_be_read(
    stage: str, tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that cannot be read are named before the first is scored, with the option that leaves them out."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for label in tiny_bundle.labels:
        (tmp_path / "other" / label).mkdir(parents=True)
        for take in range(2):
            soundfile.write(f"other/{label}/{take}.wav", 0.1 * generator.standard_normal(16_000), 16_000)
    home = tmp_path / "other" / tiny_bundle.labels[0]
    (home / "empty.wav").touch()
    soundfile.write(home / "zz.wav", np.full(16_000, np.nan, np.float32), 16_000, subtype="FLOAT")
    words = [stage, "--bundle", str(tiny_bundle.directory), "--out", "made"]
    assert main([*words, "--dataset", "folder", "--data-dir", "other", "--folds", "2"]) == 2
    told = capsys.readouterr().err
    line = told.splitlines()[-1]
    assert "empty.wav" in line
    assert "zz.wav" in line
    assert "--skip-unreadable" in line
    assert "\nclips" not in told
    assert not Path("made").exists()
