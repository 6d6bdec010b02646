"""Figures over several tests, on scores whose truth is drawn from them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.intervals import accuracy_interval
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


def _make_test(part: str, generator: np.random.Generator, count: int = 2000) -> ClipScores:
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
    with pytest.raises(TrainingError, match="a temperature cannot be fitted on 2, which"):
        require_held_out(other, "abcd", [replace(clips[0], part="2")])
    found = summarise(tests[0], "product", other)["calibration"]
    assert found["temperature"] == pytest.approx(3.0, rel=0.1)


def test_no_test_takes_part_in_its_own_temperature(tests: list[ClipScores]) -> None:
    """Other labels in one part change the temperatures of the others, and not its own."""
    before = cross_fitted_calibration(tests, "product")["temperature_by_part"]
    other = [replace(tests[0], truth=(tests[0].truth + 1) % 4), *tests[1:]]
    after = cross_fitted_calibration(other, "product")["temperature_by_part"]
    assert after["1"] == before["1"]
    assert all(after[part] > before[part] * 1.5 for part in "23")


def test_a_temperature_of_held_out_clips_is_one_of_plain_scores() -> None:
    """It is fitted on held-out clips alone, and is the same at whatever temperatures these and the test were served;
    so are the scores that it makes, and what their thresholds keep.
    """
    generator = np.random.default_rng(1)
    test, other = (_make_test(part, generator, 600) for part in "12")
    half = {name: getattr(test, name)[::2] for name in ("truth", "devices", "groups", "names")}
    test = replace(test, clip_of_window=np.arange(600) // 2, **half)
    other = replace(other, windows=other.windows**2 / (other.windows**2).sum(axis=2, keepdims=True))
    plain = summarise(test, "product", other)["calibration"]
    assert plain["temperature"] == pytest.approx(6.0, rel=0.2)
    served = replace(test, temperature=plain["temperature"])
    assert plain["after"] == summarise(served, "product")["calibration"]["before"]
    assert plain["selective_windows"] == summarise(served, "product")["selective_windows"]
    tempered = replace(test, temperature=1.5), replace(other, temperature=2.0)
    found = summarise(tempered[0], "product", tempered[1])["calibration"]
    assert found["served_temperature"] == 1.5
    assert found["temperature"] == pytest.approx(plain["temperature"], rel=1e-3)
    assert found["after"]["log_loss"] == pytest.approx(plain["after"]["log_loss"], abs=1e-3)
    thresholds = [[point["unsure_below"] for point in one["selective_windows"]] for one in (found, plain)]
    np.testing.assert_allclose(thresholds[0], thresholds[1], atol=1e-3)


def test_each_figure_is_of_its_own_clips() -> None:
    """Of two labels in six places by two devices and some unknown, each count, interval and loss is of these alone."""
    generator = np.random.default_rng(2)
    clips = range(48)
    truth, devices = [clip % 2 for clip in clips], [("a", "b", "")[clip // 2 % 3] for clip in clips]
    groups = [f"place {clip // 8}" for clip in clips]
    windows = np.stack([generator.dirichlet(np.ones(2), 96)] * 3)
    names = tuple(map(str, clips))
    scores = ClipScores(
        windows, np.repeat(clips, 2), np.array(truth), ("bus", "tram"), tuple(devices), tuple(groups), ("1",), names
    )
    fused = scores.fused("product")
    hits = [int(fused[clip].argmax()) == truth[clip] for clip in clips]
    found = summarise(scores, "product")

    def interval(chosen: list[int]) -> dict[str, Any]:
        return accuracy_interval(np.array([hits[clip] for clip in chosen]), [groups[clip] for clip in chosen]).to_dict()

    of_label = {name: [clip for clip in clips if truth[clip] == at] for at, name in enumerate(scores.labels)}
    of_device = {name: [clip for clip in clips if devices[clip] == name] for name in "ab"}
    assert found["accuracy_95"] == interval(list(clips))
    assert found["accuracy_95"]["method"] == "bootstrap over groups"
    assert found["class_95"] == {name: interval(chosen) for name, chosen in of_label.items()}
    assert found["device_95"] == {name: interval(chosen) for name, chosen in of_device.items()}
    losses = {name: -np.mean([np.log(fused[clip, truth[clip]]) for clip in of_device[name]]) for name in "ab"}
    assert found["device_log_loss"] == pytest.approx(losses, abs=1e-4)
    both = {label: {name: set(of_label[label]) & set(of_device[name]) for name in "ab"} for label in of_label}
    assert found["class_by_device"] == {
        label: {name: [sum(hits[clip] for clip in chosen), len(chosen)] for name, chosen in row.items()}
        for label, row in both.items()
    }
    right = windows[0].argmax(axis=1) == np.repeat(truth, 2)
    assert found["selective_windows"][0]["accuracy"] == pytest.approx(right.mean(), abs=1e-4)


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
    (item,) = robustness(_make_right(3, 4), _spoilt(4, far=1), "product")["conditions"].values()
    assert item["points_lost"] == 50.0, "against three of four, not against all"


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
