"""Figures over several tests, on scores whose truth is drawn from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.summary import cross_fitted_calibration, require_held_out, summarise
from soundscene_train.datasets import Clip
from soundscene_train.errors import TrainingError


@pytest.fixture
def tests() -> list[ClipScores]:
    """Three tests of 2000 clips, one window each, of which every network says the same true probabilities."""
    generator = np.random.default_rng(0)
    return [_make_test(part, generator) for part in ("1", "2", "3")]


def _make_test(part: str, generator: np.random.Generator) -> ClipScores:
    count = 2000
    scores = generator.dirichlet(np.full(4, 0.5), count)
    truth = np.array([generator.choice(4, p=row) for row in scores])
    texts = ("",) * count
    return ClipScores(np.stack([scores] * 3), np.arange(count), truth, tuple("abcd"), texts, texts, (part,), texts)


def test_the_product_of_three_that_agree_is_mended_by_a_temperature_of_three(tests: list[ClipScores]) -> None:
    """Multiplying the same honest scores three times over is what overconfidence is; each temperature undoes it."""
    found = cross_fitted_calibration(tests, "product")
    assert found["temperature"] == pytest.approx(3.0, rel=0.05)
    assert list(found["temperature_by_part"]) == ["1", "2", "3"]
    assert list(found["temperature_by_part"].values()) == pytest.approx([3.0] * 3, rel=0.1)
    assert found["after"]["expected_calibration_error"] < 0.03
    assert sum(entry["count"] for entry in found["after"]["reliability"]) == 6000


def test_thresholds_of_calibrated_scores_keep_what_they_promise(tests: list[ClipScores]) -> None:
    """Served with the temperature that is found, windows at or above each threshold are as many and as often right."""
    found = cross_fitted_calibration(tests, "product")
    served = [replace(one, temperature=found["temperature"]).fused_windows("product") for one in tests]
    best = np.concatenate([scores.max(axis=1) for scores in served])
    hits = np.concatenate([scores.argmax(axis=1) == one.truth for scores, one in zip(served, tests, strict=True)])
    for point in found["selective_windows"]:
        kept = best >= point["unsure_below"]
        assert kept.mean() == pytest.approx(point["coverage"], abs=0.001)
        assert hits[kept].mean() == pytest.approx(point["accuracy"], abs=0.001)


def test_a_temperature_is_not_fitted_on_a_clip_that_is_tested(tests: list[ClipScores]) -> None:
    """One clip in both is refused by name, whatever the parts are called; so are other labels."""
    clips = [Clip(Path(f"{number}.wav"), "a", "1") for number in range(3)]
    other = replace(tests[1], names=("new.wav", "1.wav", "2.wav"))
    with pytest.raises(TrainingError, match=r"a temperature cannot be fitted on 1\.wav, which"):
        require_held_out(other, "abcd", clips)
    other = replace(other, names=("new.wav",))
    with pytest.raises(TrainingError, match="has other labels"):
        require_held_out(other, "abc", clips)
    require_held_out(other, "abcd", clips)
    found = summarise(tests[0], "product", other)["calibration"]
    assert found["temperature"] == pytest.approx(3.0, rel=0.1)


def test_no_test_takes_part_in_its_own_temperature(tests: list[ClipScores]) -> None:
    """Other labels in one part change the temperatures of the others, and not its own."""
    before = cross_fitted_calibration(tests, "product")["temperature_by_part"]
    other = [replace(tests[0], truth=(tests[0].truth + 1) % 4), *tests[1:]]
    after = cross_fitted_calibration(other, "product")["temperature_by_part"]
    assert after["1"] == before["1"]
    assert all(after[part] > before[part] * 1.5 for part in "23")
