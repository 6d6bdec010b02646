"""Clips are looked at before work begins with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundscene.bundle import Bundle
from soundscene_train.__main__ import main
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.cross_validation import cross_validate
from soundscene_train.datasets import CitySettings
from soundscene_train.errors import TrainingError
from soundscene_train.plan import Plan
from soundscene_train.recipe import Recipe
from soundscene_train.stages import Reporter, without_unreadable


class _Listener(Reporter):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def step(self, stage: str, done: int, total: int) -> None:
        if done == total:
            self.heard.append(stage)


def test_the_synthetic_city_is_made_before_a_cross_validation_opens_it(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """Whoever waits for it is told how far it is."""
    city = CitySettings(1, 1, 1.1, 16_000)
    plan = Plan(tiny_recipe, "synthetic", tmp_path / "city", tmp_path / "cache", ("train",), city=city)
    reporter = _Listener()
    with pytest.raises(TrainingError, match="needs at least two parts, and there is train"):
        cross_validate(plan, tmp_path / "run", reporter)
    assert reporter.heard == ["synthetic city"]


def test_the_synthetic_city_is_made_before_what_cannot_be_read_of_it_is_left_out(
    tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """`--skip-unreadable` looks at clips, and there are none before."""
    plan = Plan(tiny_recipe, "synthetic", tmp_path / "city", tmp_path / "cache", city=CitySettings(1, 1, 1.1, 16_000))
    reporter = _Listener()
    assert without_unreadable(plan, reporter) == plan
    assert reporter.heard == ["synthetic city", "looking at the clips"]


@pytest.mark.parametrize("words", ["evaluate", "evaluate --calibrate-from run", "export", "compress"])
def test_a_stage_makes_the_synthetic_city_that_its_run_misses(
    words: str, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A city that was removed to save room costs no run: what is told is what else is missing or wrong."""
    monkeypatch.chdir(tmp_path)
    city = CitySettings(1, 1, 1.1, 16_000)
    Plan(tiny_recipe, "synthetic", tmp_path / "city", tmp_path / "cache", city=city).save(Path("run"))
    one = np.zeros(1, np.int64)
    ClipScores(np.ones((3, 1, 1)), one, one, ("rain",), ("",), ("",), ("train",), ("rain.wav",)).save(Path("run"))
    assert main([*words.split(), "--run", "run"]) == 2
    assert "no finished synthetic city" not in capsys.readouterr().err
    assert Path("city/city.json").is_file()


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
