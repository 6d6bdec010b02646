"""Figures over several tests, on scores whose truth is drawn from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.summary import (
    cross_fitted_calibration,
    join_robustness,
    require_held_out,
    robustness,
    summarise,
)
from soundscene_train.datasets import Clip
from soundscene_train.distortions import Distortion
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
    other = replace(tests[1], names=("new.wav", "1.wav", "2.wav", *tests[1].names[3:]))
    with pytest.raises(TrainingError, match=r"a temperature cannot be fitted on 1\.wav, which"):
        require_held_out(other, "abcd", clips)
    other = replace(other, names=("new.wav", *tests[1].names[1:]))
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


RIGHT, WRONG = np.log(730 / 729), np.log(730)
"""Losses of a clip whose label three networks give 0.9, or 0.1, as the product joins them."""


def _make_right(right: int, count: int) -> ClipScores:
    """Clips of one label, one window each, of which all networks get the first so many right."""
    share = np.where(np.arange(count) < right, 0.9, 0.1)
    windows = np.stack([np.stack([share, 1.0 - share], axis=1)] * 3)
    texts = ("",) * count
    truth = np.zeros(count, np.int64)
    return ClipScores(windows, np.arange(count), truth, ("a", "b"), texts, texts, ("1",), texts)


def _spoilt(count: int, **right: int) -> dict[str, tuple[Distortion, ClipScores]]:
    """Tests of as many clips under each distortion; the one called `louder` is no microphone."""
    kinds = {name: "gain" if name == "louder" else "microphone" for name in right}
    return {
        name: (Distortion(name, kinds[name], lambda samples, *_: samples), _make_right(found, count))
        for name, found in right.items()
    }


def test_each_distortion_costs_the_clips_that_it_turns_wrong() -> None:
    """Points lost are the clean accuracy less the spoilt one; microphones are summed up by their mean and worst."""
    found = robustness(_make_right(4, 4), _spoilt(4, far=1, near=3, louder=4), "product")
    assert found["conditions"]["far"] == {
        "kind": "microphone",
        "correct_count": 1,
        "accuracy": 0.25,
        "log_loss": pytest.approx((RIGHT + 3 * WRONG) / 4, abs=1e-4),
        "points_lost": 75.0,
    }
    assert {name: item["points_lost"] for name, item in found["conditions"].items()} == {
        "far": 75.0,
        "near": 25.0,
        "louder": 0.0,
    }
    assert found["microphones"] == {"count": 2, "mean_points_lost": 50.0, "worst": "far", "worst_points_lost": 75.0}
    assert "microphones" not in robustness(_make_right(4, 4), _spoilt(4, louder=3), "product")


def test_folds_are_joined_by_their_clips() -> None:
    """Of a fold of 4 clips and one of 6, counts are summed, losses weighted, and points lost against the clean sum."""
    first = robustness(_make_right(4, 4), _spoilt(4, far=1, near=3, louder=4), "product")
    second = robustness(_make_right(5, 6), _spoilt(6, far=4, near=5, louder=6), "product")
    found = join_robustness(_make_right(9, 10), [(4, first), (6, second)], "product")
    assert {name: (item["correct_count"], item["points_lost"]) for name, item in found["conditions"].items()} == {
        "far": (5, 40.0),
        "near": (8, 10.0),
        "louder": (10, -10.0),
    }
    assert found["conditions"]["near"]["accuracy"] == 0.8
    assert found["conditions"]["near"]["log_loss"] == pytest.approx((8 * RIGHT + 2 * WRONG) / 10, abs=2e-4)
    assert found["microphones"] == {"count": 2, "mean_points_lost": 25.0, "worst": "far", "worst_points_lost": 40.0}
