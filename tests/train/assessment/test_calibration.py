"""Calibration on scores whose truth is drawn from them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from soundscene.fusion import FusionSettings
from soundscene_train.assessment.calibration import expected_calibration_error, fit_temperature, reliability, selective
from soundscene_train.evaluation import apply_temperature, log_loss


@pytest.fixture(scope="module")
def honest() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores that are true probabilities, and labels drawn from them."""
    generator = np.random.default_rng(0)
    scores = generator.dirichlet(np.full(4, 0.5), 4000)
    return scores, np.array([generator.choice(4, p=row) for row in scores])


def test_a_known_temperature_is_found(honest: tuple[NDArray[np.float64], NDArray[np.int64]]) -> None:
    """Scores sharpened by 1/2 need a temperature of 2, which restores log loss and calibration, not the decision."""
    scores, truth = honest
    sharp = apply_temperature(scores, 0.5)
    temperature = fit_temperature(sharp, truth)
    assert temperature == pytest.approx(2.0, rel=0.05)
    mended = apply_temperature(sharp, temperature)
    assert log_loss(mended, truth) < log_loss(sharp, truth) - 0.1
    assert expected_calibration_error(sharp, truth) > 0.08
    assert expected_calibration_error(mended, truth) < 0.03
    np.testing.assert_array_equal(mended.argmax(axis=1), sharp.argmax(axis=1))


def test_scores_that_are_too_timid_are_sharpened(honest: tuple[NDArray[np.float64], NDArray[np.int64]]) -> None:
    """Scores flattened by 2 need a temperature of 1/2: a fit may end below 1 as well as above."""
    scores, truth = honest
    assert fit_temperature(apply_temperature(scores, 2.0), truth) == pytest.approx(0.5, rel=0.05)


def test_bins_hold_every_clip() -> None:
    """A score of 0.5 is in the bin that begins there, one of 1 in the last; the error is worked out by hand."""
    scores = np.array([[1.0, 0.0], [0.85, 0.15], [0.25, 0.75], [0.5, 0.5]])
    truth = np.array([0, 1, 1, 0])
    bins = reliability(scores, truth)
    ends = [(entry["low"], entry["high"], entry["count"]) for entry in bins]
    assert ends == [(0.5, 0.6, 1), (0.7, 0.8, 1), (0.8, 0.9, 1), (0.9, 1.0, 1)]
    assert expected_calibration_error(scores, truth) == pytest.approx((0.5 + 0.25 + 0.85 + 0.0) / 4)


def test_leaving_out_the_unsure_pays(honest: tuple[NDArray[np.float64], NDArray[np.int64]]) -> None:
    """Accuracy rises as coverage falls, and each threshold keeps the share it promises."""
    scores, truth = honest
    curve = selective(scores, truth)
    assert curve[0]["coverage"] == 1.0
    assert curve[0]["unsure_below"] == 0.0
    assert curve[-1]["coverage"] == pytest.approx(0.5)
    assert curve[-1]["accuracy"] > curve[0]["accuracy"] + 0.1
    assert np.mean(scores.max(axis=1) >= curve[5]["unsure_below"]) == pytest.approx(curve[5]["coverage"], abs=0.002)


def test_each_point_keeps_at_least_what_it_is_called_after() -> None:
    """Of 207 decisions of which no two are as sure, 95 % are 197, 90 % are 187, and so on: always rounded up."""
    best = np.random.default_rng(0).uniform(0.5, 1.0, 207)
    curve = selective(np.stack([best, 1.0 - best], axis=1), np.zeros(207, np.int64))
    counts = [207, 197, 187, 176, 166, 156, 145, 135, 125, 114, 104]
    assert [point["coverage"] for point in curve] == [round(count / 207, 4) for count in counts]


def test_a_threshold_close_to_1_keeps_what_it_promises_and_is_a_setting() -> None:
    """Scores of a product crowd below 1: none that is kept falls out by rounding, and 1 itself is no setting."""
    scores = 1.0 - np.geomspace(1e-16, 1e-3, 200)
    curve = selective(np.stack([scores, 1.0 - scores], axis=1), np.zeros(200, np.int64))
    for point in curve:
        assert FusionSettings(unsure_below=point["unsure_below"]).unsure_below < 1.0
        assert np.mean(scores >= point["unsure_below"]) == pytest.approx(point["coverage"], abs=5e-5)


def test_decisions_that_are_as_sure_are_kept_or_left_together() -> None:
    """Seven of ten at the same score are one point of the curve, with the accuracy of all of them."""
    best = np.array([0.6, 0.7, 0.8] + [1.0] * 7)
    truth = np.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
    curve = selective(np.stack([best, 1.0 - best], axis=1), truth)
    assert [(point["coverage"], point["accuracy"]) for point in curve] == [
        (1.0, 0.7),
        (0.9, 0.6667),
        (0.8, 0.625),
        (0.7, 0.5714),
    ]
    served = [np.mean(best >= point["unsure_below"]) for point in curve]
    assert served == [1.0, 0.9, 0.8, 0.7], "a window at the threshold itself is assessable"


def test_a_temperature_flattens_and_keeps_the_order() -> None:
    """Scores at temperature 2 are the roots of those at 1, made to sum to 1; a zero stays next to nothing."""
    scores = np.array([[0.81, 0.16, 0.03], [1.0, 0.0, 0.0]])
    found = apply_temperature(scores, 2.0)
    roots = np.sqrt(scores[0])
    np.testing.assert_allclose(found[0], roots / roots.sum())
    np.testing.assert_allclose(found[1], [1.0, 0.0, 0.0], atol=1e-100)
