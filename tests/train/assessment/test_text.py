"""A terminal tells what the report tells."""

from __future__ import annotations

from typing import Any

import numpy as np

from soundscene_train.assessment.clip_scores import ClipScores
from soundscene_train.assessment.summary import cross_fitted_calibration, summarise
from soundscene_train.assessment.text import calibration_lines, interval_text, robustness_lines

CONDITIONS: dict[str, Any] = {
    "-20 dB": {"kind": "gain", "correct_count": 298, "accuracy": 0.9313, "log_loss": 0.45, "points_lost": 0.0},
    "a name that is long": {
        "kind": "microphone",
        "correct_count": 300,
        "accuracy": 0.9375,
        "log_loss": 0.44,
        "points_lost": -0.62,
    },
}
MICROPHONES = {"count": 1, "mean_points_lost": -0.62, "worst": "a name that is long", "worst_points_lost": -0.62}


def _test_of(part: str, seed: int) -> ClipScores:
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, 2, 40)
    windows = generator.dirichlet(np.ones(2), (3, 40))
    names = tuple(f"{part}/{number}" for number in range(40))
    return ClipScores(windows, np.arange(40), truth, ("bus", "tram"), ("",) * 40, names, (part,), names)


def test_how_sure_the_figures_are_is_told() -> None:
    """The interval with its method, log loss and calibration error, before and after a temperature, as in the JSON."""
    tests = [_test_of("1", 0), _test_of("2", 1)]
    summary = summarise(tests[0], "product")
    interval = summary["accuracy_95"]
    told = interval_text(interval)
    assert told == f"{interval['low']:.1%} to {interval['high']:.1%} (bootstrap over groups)"
    plain = calibration_lines(summary["calibration"])
    fitted = calibration_lines(summary["calibration"] | cross_fitted_calibration(tests, "product"))
    assert plain == fitted[:-1]
    before, after = summary["calibration"]["before"], cross_fitted_calibration(tests, "product")["after"]
    for line, name, found in ((plain[1], "as they are", before), (fitted[-1], "calibrated", after)):
        figures = [f"{found['log_loss']:.3f}", f"{found['expected_calibration_error']:.1%}"]
        assert line.split() == [*name.split(), *figures]
    assert before["log_loss"] > after["log_loss"] + 0.1
    assert calibration_lines(summary["calibration"] | {"served_temperature": 2.0})[1].startswith("as served ")


def test_each_distortion_has_its_line() -> None:
    """Clips right, accuracy and points lost stand in columns; microphones are summed up where some were tested."""
    head, *lines, last = robustness_lines({"conditions": CONDITIONS, "microphones": MICROPHONES}, 320)
    assert [line.split() for line in lines] == [
        ["-20", "dB", "298/320", "93.1%", "0.0"],
        ["a", "name", "that", "is", "long", "300/320", "93.8%", "-0.6"],
    ]
    assert {len(line) for line in lines} == {len(head)}
    assert last == "1 microphone responses: -0.6 points lost on the mean, -0.6 on the worst, a name that is long."
    assert robustness_lines({"conditions": CONDITIONS}, 320) == [head, *lines]
