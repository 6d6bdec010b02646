"""Evaluation, checked against figures worked out by hand."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from soundscene.fusion import RULES, decide
from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.page import render
from soundscene_train.assessment.summary import summarise
from soundscene_train.errors import TrainingError
from soundscene_train.evaluation import evaluate, evaluate_all, fuse_clips
from soundscene_train.report import Evaluation, format_table, write_report

LABELS = ("bus", "park", "tram")
SCORES = np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.25, 0.25, 0.5]])
TRUTH = np.array([0, 1, 1, 2])
DEVICES = ("a", "a", "s4", "")


def test_figures_worked_out_by_hand() -> None:
    """Three of four right; park half right, so macro is 5/6; log loss and confusion as on paper."""
    result = evaluate(SCORES, TRUTH, LABELS, DEVICES)
    assert (result.correct_count, result.clip_count, result.accuracy) == (3, 4, 0.75)
    assert result.macro_accuracy == pytest.approx(5 / 6)
    assert result.log_loss == pytest.approx(-np.mean(np.log([0.5, 0.8, 0.2, 0.5])))
    np.testing.assert_array_equal(result.confusion, [[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    assert result.class_accuracy == {"bus": 1.0, "park": 0.5, "tram": 1.0}
    assert result.device_accuracy == {"a": 1.0, "s4": 0.0}


def test_every_clip_is_counted_in_its_cell() -> None:
    """Three times the same clips are three times the same confusions, by truth and then by decision."""
    result = evaluate(np.tile(SCORES, (3, 1)), np.tile(TRUTH, 3), LABELS)
    np.testing.assert_array_equal(result.confusion, [[3, 0, 0], [3, 3, 0], [0, 0, 3]])
    assert result.to_dict()["confusion"] == result.confusion.tolist()
    assert result.to_dict()["macro_accuracy"] == pytest.approx(5 / 6, abs=1e-4)
    assert result.to_dict()["log_loss"] == pytest.approx(result.log_loss, abs=1e-4)


def test_a_score_of_zero_is_a_finite_loss() -> None:
    """A true label with score 0 costs much and not infinitely."""
    result = evaluate(np.array([[1.0, 0.0]]), np.array([1]), ("x", "y"))
    assert np.isfinite(result.log_loss)
    assert result.log_loss > 100.0


def test_clips_are_fused_as_the_plugin_does() -> None:
    """Windows of a clip are averaged, then networks multiplied, clip by clip."""
    generator = np.random.default_rng(0)
    windows = generator.dirichlet(np.ones(3), (3, 5))
    clip_of_window = np.array([4, 4, 7, 9, 9])
    fused = fuse_clips(windows, clip_of_window, "product")
    np.testing.assert_array_equal(fused[0], decide(windows[:, :2], "product"))
    np.testing.assert_array_equal(fused[1], decide(windows[:, 2:3], "product"))
    results = evaluate_all(windows, clip_of_window, np.array([0, 1, 2]), LABELS)
    assert list(results) == ["mel", "gammatone", "cqt", "product", "average"]
    assert all(result.clip_count == 3 for result in results.values())
    (single,) = evaluate_all(windows[2:], clip_of_window, np.array([0, 1, 2]), LABELS, networks=("cqt",)).values()
    assert single.to_dict() == results["cqt"].to_dict()


@pytest.mark.parametrize("rule", RULES)
def test_a_calibration_is_of_the_rule_that_it_was_fitted_for(rule: str) -> None:
    """A temperature changes the scores of the served rule; the other one and single networks are as they are."""
    windows = np.random.default_rng(0).dirichlet(np.ones(3), (3, 5))
    clip_of_window, truth = np.arange(5), np.array([0, 1, 2, 0, 1])
    plain = evaluate_all(windows, clip_of_window, truth, LABELS)
    served = evaluate_all(windows, clip_of_window, truth, LABELS, temperatures={rule: 2.5})
    tempered = evaluate(fuse_clips(windows, clip_of_window, rule, 2.5), truth, LABELS)
    for name, result in served.items():
        assert result.log_loss == (tempered if name == rule else plain[name]).log_loss
    assert served[rule].log_loss != plain[rule].log_loss


@pytest.mark.parametrize(
    ("scores", "truth", "devices", "message"),
    [
        (SCORES, TRUTH[:3], (), r"expected scores of shape \(3, 3\)"),
        (SCORES[:0], TRUTH[:0], (), "and at least one clip"),
        (SCORES, TRUTH, ("a",), "expected 4 devices, one for each clip, or none, got 1"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    scores: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    truth: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    devices: tuple[str, ...],
    message: str,
) -> None:
    """Too few truths, no clips and too few devices say what was expected."""
    with pytest.raises(TrainingError, match=message):
        evaluate(scores, truth, LABELS, devices)


def test_the_report_is_text_json_a_picture_and_a_page(tmp_path: Path) -> None:
    """All four files appear and agree with the result; the page fetches nothing and closes every tag."""
    clips = ClipScores(
        np.stack([SCORES] * 3), np.arange(4), TRUTH, LABELS, DEVICES, ("",) * 4, ("3",), ("w", "x", "y", "z")
    )
    results = {"product": evaluate(SCORES, TRUTH, LABELS, DEVICES)}
    evaluation = Evaluation(results, {}, "product", LABELS, summarise(clips, "product"))
    write_report(tmp_path, evaluation, "tiny", "part <3>", tested_on=("3",), trained_on=("1", "2"), bundle_hash="0a")
    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert content["results"]["product"]["correct_count"] == 3
    assert (content["tested_on"], content["trained_on"], content["bundle_hash"]) == (["3"], ["1", "2"], "0a")
    text = (tmp_path / "evaluation.txt").read_text()
    assert text == format_table(evaluation)
    assert "3/4" in text
    assert "75.0%" in text
    assert "s4" in text
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text()
    assert page == render("tiny", LABELS, content["metrics"])
    assert "part &lt;3&gt;" in page
    assert page.count("<svg") == page.count("</svg>") == 6
    assert not re.search(r'(src|href)="(?!#|data:)|url\((?!#)', page)
